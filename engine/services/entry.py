"""Entry of a run, each account by itself: size, buy, wait until filled, sell (RULES 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from engine.domain.errors import DomainError, SizingError
from engine.domain.instruments import Action, Exchange, InstrumentType, Key, Product
from engine.domain.legs import ResolvedLeg
from engine.domain.margin import structure_leg, structure_margin
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.pnl import EntryFill, entry_premium_value
from engine.domain.runs import ENTRY_ENDED, AccountState, Run, RunAccount, RunState
from engine.domain.sizing import AccountSizing, LegTerms, SizingRequest, size_account
from engine.services.amounts import regrouped
from engine.services.exiting import CANCEL_AGAIN, open_plan
from engine.services.ledger import Pass, with_reason
from engine.services.messages import Resolved
from engine.services.resolution import Resolution
from engine.services.terms import StrategyTerms
from engine.services.world import Account, World, trading_day

HEDGE_PATIENCE = timedelta(seconds=10)
SOLD_PATIENCE = timedelta(seconds=10)
SIZING_PATIENCE = timedelta(seconds=15)
ATTEMPTS = 3
RATE_LIMITED = "429"
_RETRIABLE = frozenset({OrderState.NOT_SENT})


def size(account: Account, terms: StrategyTerms, resolution: Resolution, reserved_paise: int) -> AccountSizing:
    """Return what one account would trade of these legs with the funds last read (RULES 2).

    Raises SizingError where no figure can be derived; it never guesses.
    """
    margin = structure_margin(
        [structure_leg(leg) for leg in resolution.legs], terms.margin_rows, expiry_day=resolution.expiry_day
    )
    request = SizingRequest(
        available=None if account.available_paise is None else account.available_paise / 100,
        percentage=terms.percentage if terms.percentage is not None else account.facts.percentage,
        structure_margin_paise=margin.total_paise,
        legs=tuple(
            LegTerms(leg.leg.lots_ratio, leg.contract.lot_size, leg.contract.freeze_quantity) for leg in resolution.legs
        ),
        reserved=reserved_paise / 100,
        fixed_lots=None if terms.fixed_lots is None else terms.fixed_lots * account.facts.multiplier,
        cap_lots=account.facts.max_lots,
    )
    return size_account(request)


def sizing_json(sizing: AccountSizing) -> dict[str, Any]:
    """Return the waterfall as a run keeps it."""
    return {
        "available_paise": sizing.available_paise,
        "percentage": sizing.percentage,
        "usable_paise": sizing.usable_paise,
        "structure_margin_paise": sizing.structure_margin_paise,
        "lots": sizing.structures,
        "bound_by": str(sizing.limit),
        "legs": [{"lots": leg.lots, "quantity": leg.quantity, "slices": list(leg.slices)} for leg in sizing.legs],
    }


def reserved_paise(changes: Pass, account_id: int, *, besides: int | None = None) -> int:
    """Return the margin of runs on an account that its funds do not show yet (RULES 2)."""
    return sum(
        row.reserved_paise
        for run in changes.open_runs()
        if run.id != besides
        for row in changes.accounts_of(run.id)
        if row.account_id == account_id
    )


def on_resolved(changes: Pass, world: World, run: Run, message: Resolved) -> None:
    """Begin the entry with the contracts that were read, or refuse the run with the reason; nothing was sent yet."""
    resolution = message.resolution
    problem = message.problem
    if resolution is not None and not problem:
        problem = _not_as_shown(world, run, resolution)
    if resolution is None or problem:
        changes.put_run(replace(run, state=RunState.REFUSED, reason=problem, closed_at=changes.now, profit_paise=0))
        return
    world.resolutions[run.id] = resolution
    resolved = resolved_json(resolution, resolution.legs)
    changes.put_run(replace(run, state=RunState.ENTERING, resolved=resolved))


def _not_as_shown(world: World, run: Run, resolution: Resolution) -> str:
    """Return why these contracts are not what was ordered: another kind of day, or other strikes than previewed."""
    condition = world.terms_of(run.version_id).market_condition
    if condition in {"expiry", "non_expiry"} and (condition == "expiry") is not resolution.expiry_day:
        return f"the strategy is {'' if condition == 'expiry' else 'not '}for expiry days"
    symbols = tuple(leg.contract.symbol for leg in resolution.legs)
    shown = world.previewed.pop(run.id, None)
    if shown is not None and shown != symbols:
        return f"the preview showed {', '.join(shown)}, by now it is {', '.join(symbols)}; nothing was sent"
    return ""


def size_accounts(changes: Pass, world: World, run: Run, terms: StrategyTerms, resolution: Resolution) -> None:
    """Size and plan every account of the run whose funds were read after the run began."""
    for row in changes.accounts_of(run.id):
        if row.state is not AccountState.SIZING:
            continue
        account = world.accounts.get(row.account_id)
        problem = _cannot_enter(changes, run, account)
        if account is None or problem:
            changes.put_account(replace(row, state=AccountState.SKIPPED, reason=problem))
            continue
        if account.funds_begun is None or account.funds_begun <= run.created_at:
            continue
        if account.funds_problem:
            changes.put_account(replace(row, state=AccountState.SKIPPED, reason=f"funds: {account.funds_problem}"))
            continue
        _size_one(changes, run, terms, row, account, resolution=resolution)


def progress(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Bring the entry of each account one step further, and call the run open when all have ended theirs."""
    for row in changes.accounts_of(run.id):
        match row.state:
            case AccountState.SIZING if changes.now - run.created_at > SIZING_PATIENCE:
                why = "no funds or contracts were read in time; nothing was sent"
                changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED), why))
            case AccountState.BUYING:
                _after_buying(changes, run, terms, row)
            case AccountState.SELLING:
                _after_selling(changes, world, run, terms, row)
            case _:
                pass
    run = changes.run(run.id)
    rows = changes.accounts_of(run.id)
    if run.state is RunState.ENTERING and all(row.state in ENTRY_ENDED for row in rows):
        _entered(changes, run, rows)


def _cannot_enter(changes: Pass, run: Run, account: Account | None) -> str:
    if account is None:
        return "the account is not active"
    if not account.armed:
        return f"the account waits for {account.waits_for}"
    if run.owner_id in changes.ledger.halted:
        return "entries are halted until re-armed"
    return ""


def _size_one(
    changes: Pass, run: Run, terms: StrategyTerms, row: RunAccount, account: Account, *, resolution: Resolution
) -> None:
    try:
        sizing = size(account, terms, resolution, reserved_paise(changes, account.id, besides=run.id))
    except SizingError as error:
        changes.put_account(replace(row, state=AccountState.SKIPPED, reason=regrouped(str(error))))
        return
    row = replace(row, sizing=sizing_json(sizing), lots=sizing.structures)
    if sizing.skipped:
        why = regrouped(sizing.reason or str(sizing.limit))
        changes.put_account(replace(row, state=AccountState.SKIPPED, reason=why))
        return
    row = replace(row, reserved_paise=sizing.margin_used_paise)
    has_bought = any(leg.leg.action is Action.BUY for leg in resolution.legs)
    stage, action = (AccountState.BUYING, Action.BUY) if has_bought else (AccountState.SELLING, Action.SELL)
    changes.put_account(replace(row, state=stage))
    _plan_stage(changes, run, row, action)


def _plan_stage(changes: Pass, run: Run, row: RunAccount, action: Action) -> None:
    for leg, size_of_leg in zip(run.resolved["legs"], row.sizing["legs"], strict=True):
        if leg["action"] != action:
            continue
        for index, quantity in enumerate(size_of_leg["slices"]):
            changes.plan_order(
                run=run,
                purpose=Purpose.ENTRY,
                key=Key(row.account_id, leg["symbol"], Exchange(leg["exchange"]), Product(run.resolved["product"])),
                leg_index=leg["leg_index"],
                slice_index=index,
                action=action,
                quantity=quantity,
                trading_day=trading_day(changes.now),
            )


def _entry_orders(changes: Pass, run: Run, account_id: int, action: Action) -> list[Order]:
    """Return the newest entry order of each slice of a stage."""
    newest: dict[tuple[int, int], Order] = {}
    for order in changes.orders_of(run.id):
        if order.account_id == account_id and order.purpose is Purpose.ENTRY and order.action is action:
            newest[order.leg_index, order.slice_index] = order
    return list(newest.values())


def _retry(changes: Pass, run: Run, orders: list[Order]) -> bool:
    """Plan again what provably never reached the exchange, a few times; return whether anything was planned."""
    again = False
    for order in orders:
        rate_limited = order.state is OrderState.REJECTED and order.words.startswith(RATE_LIMITED)
        if order.state not in _RETRIABLE and not rate_limited:
            continue
        tried = sum(
            other.key == order.key and other.leg_index == order.leg_index and other.slice_index == order.slice_index
            for other in changes.orders_of(run.id)
            if other.purpose is Purpose.ENTRY
        )
        if tried >= ATTEMPTS:
            continue
        changes.plan_order(
            run=run,
            purpose=Purpose.ENTRY,
            key=order.key,
            leg_index=order.leg_index,
            slice_index=order.slice_index,
            action=order.action,
            quantity=order.quantity,
            trading_day=trading_day(changes.now),
        )
        again = True
    return again


def _after_buying(changes: Pass, run: Run, terms: StrategyTerms, row: RunAccount) -> None:
    orders = _entry_orders(changes, run, row.account_id, Action.BUY)
    if all(order.state is OrderState.FILLED for order in orders):
        sold = any(leg["action"] == Action.SELL for leg in run.resolved["legs"])
        if sold:
            changes.put_account(replace(row, state=AccountState.SELLING))
            _plan_stage(changes, run, row, Action.SELL)
        else:
            changes.put_account(replace(row, state=AccountState.ENTERED))
        return
    if _retry(changes, run, orders):
        return
    failed = [order for order in orders if order.terminal and order.state is not OrderState.FILLED]
    begun = min((order.sent_at for order in orders if order.sent_at is not None), default=None)
    late = begun is not None and changes.now - begun > HEDGE_PATIENCE
    if not failed and not late:
        return
    why = (
        f"bought leg {failed[0].symbol}: {failed[0].words or failed[0].state}"
        if failed
        else "bought legs not filled in 10 s"
    )
    _entry_failed(changes, run, row, why, policy=terms.entry.hedge_failure)


def _after_selling(changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount) -> None:
    orders = _entry_orders(changes, run, row.account_id, Action.SELL)
    for order in orders:
        late = order.sent_at is not None and changes.now - order.sent_at > SOLD_PATIENCE
        asked = order.cancel_requested and changes.now - order.updated_at < CANCEL_AGAIN
        account = world.accounts.get(row.account_id)
        if late and order.state is OrderState.WORKING and order.orderid and not asked and account is not None:
            # a remainder that rests keeps the run from being whole: it is taken back, and the policy decides
            asked_order = changes.put_order(replace(order, cancel_requested=True, updated_at=changes.now))
            changes.after_commit.append(partial(account.hands.cancel, asked_order))
    if not all(order.terminal for order in orders) or _retry(changes, run, orders):
        return
    failed = [order for order in orders if order.state is not OrderState.FILLED]
    if not failed:
        changes.put_account(replace(row, state=AccountState.ENTERED))
        return
    why = f"sold leg {failed[0].symbol}: {failed[0].words or failed[0].state}"
    _entry_failed(changes, run, row, why, policy=terms.entry.sold_leg_failure)


def _entry_failed(changes: Pass, run: Run, row: RunAccount, why: str, *, policy: str) -> None:
    mine = [order for order in changes.orders_of(run.id) if order.account_id == row.account_id]
    if all(order.terminal and not order.filled_quantity for order in mine):
        changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED, reserved_paise=0), why))
        return
    knew = {"orders": [{"id": o.id, "symbol": o.symbol, "state": str(o.state), "words": o.words} for o in mine]}
    if policy == "unwind":
        open_plan(changes, run, kind="entry_failed", message=why, knew=knew, account_ids=(row.account_id,))
        return
    changes.put_account(with_reason(replace(row, state=AccountState.ENTERED), why))
    changes.event(
        owner_id=run.owner_id,
        kind="entry_failed",
        action="alert_only",
        message=f"{why}; what filled is held, the run's stops are live",
        knew=knew,
        run_id=run.id,
        account_id=row.account_id,
    )


def _entered(changes: Pass, run: Run, rows: list[RunAccount]) -> None:
    orders = [o for o in changes.orders_of(run.id) if o.purpose is Purpose.ENTRY and o.filled_quantity]
    if not orders:
        reasons = "; ".join(sorted({row.reason for row in rows if row.reason}))
        state, why = RunState.REFUSED, reasons or "no account entered"
        changes.put_run(replace(run, state=state, reason=why, closed_at=changes.now, profit_paise=0))
        return
    per_leg: dict[int, int] = {}
    for order in orders:
        per_leg[order.leg_index] = per_leg.get(order.leg_index, 0) + order.filled_quantity
    legs = {leg["leg_index"]: leg for leg in run.resolved["legs"]}
    changes.put_run(
        replace(
            run,
            state=RunState.OPEN,
            entered_at=changes.now,
            premium_value_paise=_premium_value(orders, legs),
            units=max(per_leg.values()),
            lots_filled=max(quantity // legs[index]["lot_size"] for index, quantity in per_leg.items()),
        )
    )


def _premium_value(orders: list[Order], legs: dict[int, dict[str, Any]]) -> int | None:
    fills = [
        EntryFill(o.action, InstrumentType(legs[o.leg_index]["instrument_type"]), o.filled_value_paise) for o in orders
    ]
    try:
        return entry_premium_value(fills)
    except DomainError:
        return None  # limits in % of V are refused where V says nothing (RULES 7)


def resolved_json(resolution: Resolution, legs: list[ResolvedLeg]) -> dict[str, Any]:
    """Return what the run keeps of its resolution; the product is the same on every leg."""
    return resolution.as_json() | {"product": str(legs[0].leg.product)}
