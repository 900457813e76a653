"""Legs that enter again after their stop or target, at most n times, on each account by itself (RULES 7).

A try is counted, with its orders, in the commit before anything leaves; what a crash leaves is counted too. It goes at
market, for as many lots as the leg had when it left. A sold leg enters only beside every bought leg of its run and
account, and for no more than they cover (``reentry_cover``): nothing is sold naked. A re-entry re-arms the stop and
target of its leg, reckoned from the new average. Nothing enters again for an owner who may not trade any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from engine.domain.breaches import ExitAction, ExitRule, latch
from engine.domain.calendar import IST, ist_day
from engine.domain.due_times import first_due
from engine.domain.errors import DomainError
from engine.domain.exit_scopes import side_of
from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.reentry import ClosedLeg, Reentry, is_over, may_try
from engine.domain.runs import AccountState, PlanState, Run
from engine.domain.schedule import may_enter
from engine.domain.slicing import slice_quantity
from engine.services import supertrend_exit
from engine.services.entry_slices import take_back, turn_missed, void_planned
from engine.services.ledger import Pass
from engine.services.messages import Resolved
from engine.services.owned import lot_and_freeze
from engine.services.reentry_cover import uncovered_room
from engine.services.rule_terms import rule_terms
from engine.services.terms import StrategyTerms
from engine.services.world import World, trading_day

READ_PATIENCE = timedelta(seconds=15)
"""How long a fresh contract may take to be read."""

BARRED = "its owner may not trade any more"
"""Why nothing enters again for a user who was deactivated or made a viewer."""


def progress(changes: Pass, world: World, run: Run) -> None:
    """Bring every re-entry of an open run one step further."""
    terms = world.terms_of(run.version_id)
    for place, state in _places(run).items():
        begun = state.get("reentry")
        if begun is None and "closed_by" not in state:
            continue
        barred = world.may_trade(run.owner_id, changes.now) is False
        if begun is None and barred:
            _bar(changes, world, changes.run(run.id), terms, place)
        elif begun is None:
            _try(changes, world, changes.run(run.id), terms, place)
        elif begun["state"] == "resolving":
            if barred:
                _failed(changes, changes.run(run.id), place, f"{BARRED}; nothing was sent")
            elif abs(changes.now - _moment(begun["since"])) > READ_PATIENCE:
                _failed(changes, changes.run(run.id), place, "no contract was read in time; nothing was sent")
        else:
            _after_sending(changes, world, changes.run(run.id), terms, place, barred=barred)


def on_resolved(changes: Pass, world: World, run: Run, message: Resolved) -> None:
    """Send the leg that waits for its fresh contract; what does not wait any more ignores it."""
    place = next((place for place, state in _places(run).items() if _is_resolving(state)), None)
    if place is None:
        return
    resolution, (account_id, leg_index) = message.resolution, _account_and_leg(place)
    if resolution is None or message.problem:
        _failed(changes, run, place, f"{message.problem or 'no contract was read'}; nothing was sent")
        return
    row = resolution.as_json()["legs"][0]
    if row["leg_index"] != leg_index:
        return  # asked for another leg, which waits no more: it came late
    why = _may_not(changes, world, run, world.terms_of(run.version_id), account_id) or _taken(run, row)
    if not (may := world.may_trade(run.owner_id, changes.now, at_once=True)):
        why = BARRED if may is False else "whether its owner may trade could not be read"
    if why:
        _failed(changes, run, place, f"{why}; nothing was sent")
        return
    # the last contract of a leg is the one it has now
    others = [
        leg for leg in run.resolved["legs"] if (leg["leg_index"], leg["symbol"]) != (row["leg_index"], row["symbol"])
    ]
    run = changes.put_run(replace(run, resolved=run.resolved | {"legs": [*others, row]}))
    _send(changes, run, place, row)


def waits(changes: Pass, world: World, run: Run, account_id: int) -> bool:
    """Whether an account of a run may still enter again: until then it is not over, although nothing is held."""
    terms = world.terms_of(run.version_id)
    for place, state in _places(run).items():
        if _account_and_leg(place)[0] != account_id:
            continue
        if "reentry" in state:
            return True
        if "closed_by" in state and not _given_up(changes, world, run, terms, place):
            return True
    return False


@dataclass(frozen=True, slots=True)
class OpenTry:
    """A closed leg that may still enter again. ``state``: waiting, reading or entering; ``contract``: its last one.

    ``until`` (UTC): when it is given up, None for the end of the day. ``held_up``: in words, why it may not enter now,
    whatever its price; empty when it may.
    """

    account_id: int
    leg_index: int
    closed: ClosedLeg
    kind: Reentry
    most: int
    state: str
    contract: Mapping[str, Any]
    until: datetime | None
    held_up: str


def open_tries(changes: Pass, world: World, run: Run) -> list[OpenTry]:
    """Return the legs of a run that wait to enter again, or are about to, account by account."""
    terms = world.terms_of(run.version_id)
    return [
        _open_try(changes, world, run, terms, place)
        for place, state in _places(run).items()
        if "reentry" in state or ("closed_by" in state and not _given_up(changes, world, run, terms, place))
    ]


def _open_try(changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str) -> OpenTry:
    account_id, leg_index = _account_and_leg(place)
    draft, begun, leg = (
        terms.leg_drafts[leg_index - 1],
        _places(run)[place].get("reentry"),
        _leg_rows(run, leg_index)[-1],
    )
    state = "waiting" if begun is None else "reading" if begun["state"] == "resolving" else "entering"
    return OpenTry(
        account_id=account_id,
        leg_index=leg_index,
        closed=_closed(run, place),
        kind=Reentry(draft.reentry),
        most=draft.reentry_most,
        state=state,
        contract=leg,
        until=_until(world, run, terms, changes.now),
        held_up="" if begun is not None else _held_up(changes, world, run, terms, place),
    )


def _held_up(changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str) -> str:
    account_id, leg_index = _account_and_leg(place)
    if why := _may_not(changes, world, run, terms, account_id):
        return why
    if _alive(changes, run, account_id, leg_index):
        return "it is not out yet"
    try:
        lots = _lots(changes, run, place, _leg_rows(run, leg_index)[-1])
    except DomainError as error:
        return str(error)
    return "" if lots else "what covers it is not open"


def _until(world: World, run: Run, terms: StrategyTerms, now: datetime) -> datetime | None:
    """Return when legs of a run enter no more (UTC): its last entry time, or the first time that takes it out."""
    exchange = Exchange(run.resolved["legs"][0]["exchange"])
    limits = rule_terms(terms, str(run.resolved.get("product", ""))).limits
    ends = [first_due(limits, run.entered_at or run.created_at, world.calendar(run.venue), exchange)]
    if (last := terms.schedule.last_entry_time) is not None:
        ends.append(datetime.combine(ist_day(now), time.fromisoformat(last), IST).astimezone(UTC))
    known = [end for end in ends if end is not None and ist_day(end) == ist_day(now)]
    return min(known, default=None)


def _try(changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str) -> None:
    account_id, leg_index = _account_and_leg(place)
    if _given_up(changes, world, run, terms, place):
        return
    if any(plan.state is PlanState.ACTIVE for plan in changes.plans_of(run.id)):
        return  # not while an exit of the run is active (RULES 7)
    if _alive(changes, run, account_id, leg_index) or _may_not(changes, world, run, terms, account_id):
        return
    draft, closed = terms.leg_drafts[leg_index - 1], _closed(run, place)
    leg = _leg_rows(run, leg_index)[-1]
    symbol = (str(leg["symbol"]), Exchange(leg["exchange"]))
    price = world.confirmed_price(run.owner_id, run.venue, symbol, changes.now)
    if not may_try(Reentry(draft.reentry), draft.reentry_most, closed, price, changes.now):
        return
    if not _lots(changes, run, place, leg):
        return
    if not (may := world.may_trade(run.owner_id, changes.now, at_once=True)):
        if may is False:
            _bar(changes, world, run, terms, place)
        return  # where it cannot be read the leg waits on
    if Reentry(draft.reentry) is Reentry.AT_COST:
        _note(changes, run, place, _counted(changes, run, place))
        _send(changes, changes.run(run.id), place, leg)
    elif not any(_is_resolving(state) for state in _places(run).values()):
        begun = {"state": "resolving", "since": changes.now.isoformat()}
        _note(changes, run, place, _counted(changes, run, place) | {"reentry": begun})
        reader = world.of_venue(run.owner_id, run.venue)[0]
        legs = (terms.legs[leg_index - 1],)
        changes.after_commit.append(partial(reader.hands.resolve, legs, run_id=run.id, command_id=None))


def _bar(changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str) -> None:
    """End the wait of a leg whose owner may not trade any more, and tell it; what is open still leaves by its rules."""
    if _given_up(changes, world, run, terms, place):
        return
    _note(changes, run, place, _remembered(run, place))
    _tell(changes, run, place, f"does not enter again: {BARRED}", [])


def _given_up(changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str) -> bool:
    """Whether a closed leg will never enter again: no try left, too late in the day, or the run's time has come."""
    draft = terms.leg_drafts[_account_and_leg(place)[1] - 1]
    closed = _closed(run, place)
    if is_over(Reentry(draft.reentry), draft.reentry_most, closed, changes.now):
        return True
    if may_enter(terms.schedule.last_entry_time, changes.now):
        return True
    if changes.halted(run.owner_id, _account_and_leg(place)[0]):
        return True
    exchange = Exchange(run.resolved["legs"][0]["exchange"])
    rules = rule_terms(terms, str(run.resolved.get("product", "")))
    trend = supertrend_exit.judge(changes, world, run, terms) if rules.supertrend.enabled else None
    if trend is not None and rules.supertrend.action is ExitAction.CLOSE_ALL:
        return True  # what entered now would leave at once
    limits = rules.limits
    due = first_due(limits, run.entered_at or run.created_at, world.calendar(run.venue), exchange)
    return due is not None and changes.now >= due


def _may_not(changes: Pass, world: World, run: Run, terms: StrategyTerms, account_id: int) -> str:
    """Return why nothing may enter on an account now, empty when it may."""
    account = world.accounts.get(account_id)
    if account is None or not account.armed:
        return "the account may not enter"
    if changes.account_of(run.id, account_id).state is not AccountState.ENTERED:
        return "the account is not in the run any more"
    if any(plan.state is PlanState.ACTIVE for plan in changes.plans_of(run.id)):
        return "an exit of the run is active"
    return changes.halted(run.owner_id, account_id) or may_enter(terms.schedule.last_entry_time, changes.now)


def _taken(run: Run, row: Mapping[str, Any]) -> str:
    """Return why a fresh contract is not the leg's to trade, empty where it is: another leg has it, or had it.

    Under one key the two would close each other, or leave by each other's stop.
    """
    for leg in run.resolved["legs"]:
        if leg["symbol"] == row["symbol"] and leg["leg_index"] != row["leg_index"]:
            return f"its fresh strike is {row['symbol']}, the contract of leg {leg['leg_index']}"
    return ""


def _lots(changes: Pass, run: Run, place: str, leg: Mapping[str, Any]) -> int:
    """Return how many lots of a contract may enter: what the leg had when it left, and what covers it if it is sold.

    Raises DomainError for a contract that the run does not know.
    """
    account_id, leg_index = _account_and_leg(place)
    entered = [
        order
        for order in changes.orders_of(run.id)
        if order.purpose is Purpose.ENTRY and order.account_id == account_id and order.leg_index == leg_index
    ]
    lots = sum(order.filled_quantity // lot_and_freeze(run, order.symbol)[0] for order in entered)
    if (units := _places(run)[place].get("units")) is not None:
        lots = min(lots, int(units) // int(_leg_rows(run, leg_index)[0]["lot_size"]))
    if Action(leg["action"]) is Action.SELL:
        side = side_of(str(leg["instrument_type"]))
        lots = min(lots, uncovered_room(changes, run, account_id, side) // int(leg["lot_size"]))
    return max(0, lots)


def _alive(changes: Pass, run: Run, account_id: int, leg_index: int) -> bool:
    """Whether the leg still holds something on the account, or an order of it may still fill."""
    symbols = {leg["symbol"] for leg in _leg_rows(run, leg_index)}
    if any(
        key.account_id == account_id and key.symbol in symbols and holding.quantity
        for key, holding in changes.holdings(run.id).items()
    ):
        return True
    return any(
        order.account_id == account_id and order.symbol in symbols and not order.terminal
        for order in changes.orders_of(run.id)
    )


def _send(changes: Pass, run: Run, place: str, leg: Mapping[str, Any]) -> None:
    """Plan the orders of a try; they go after the commit that counts it."""
    account_id, leg_index = _account_and_leg(place)
    lot = int(leg["lot_size"])
    try:
        lots = _lots(changes, run, place, leg)
        if not lots:
            _failed(changes, run, place, "nothing covers it any more; nothing was sent")
            return
        slices = slice_quantity(lots * lot, lot_size=lot, freeze_quantity=leg["freeze_quantity"])
    except DomainError as error:
        _failed(changes, run, place, f"{error}; nothing was sent")
        return
    key = Key(account_id, str(leg["symbol"]), Exchange(leg["exchange"]), Product(run.resolved["product"]))
    orders = [
        changes.plan_order(
            run=run,
            purpose=Purpose.REENTRY,
            key=key,
            leg_index=leg_index,
            slice_index=index,
            action=Action(leg["action"]),
            quantity=quantity,
            trading_day=trading_day(changes.now),
        )
        for index, quantity in enumerate(slices)
    ]
    begun = {"state": "entering", "since": changes.now.isoformat(), "orders": [order.id for order in orders]}
    rearmed = {latch(rule, account_id, leg_index) for rule in (ExitRule.LEG_SL, ExitRule.LEG_TARGET)}
    run = changes.put_run(replace(run, latches=tuple(one for one in run.latches if one not in rearmed)))
    _note(changes, run, place, _places(run)[place] | {"reentry": begun})


def _after_sending(
    changes: Pass, world: World, run: Run, terms: StrategyTerms, place: str, *, barred: bool = False
) -> None:
    account_id, begun = _account_and_leg(place)[0], _places(run)[place]["reentry"]
    orders = [order for number in begun["orders"] if (order := changes.order(int(number))) is not None]
    if stuck := BARRED if barred else turn_missed(changes, world, changes.account_of(run.id, account_id), orders):
        void_planned(changes, orders, stuck)
    for order in orders:
        late = order.sent_at is not None and changes.now - order.sent_at > timedelta(seconds=terms.entry.limit_seconds)
        if order.state is OrderState.WORKING and late:
            take_back(changes, world, order)
    orders = [changes.order(order.id) or order for order in orders]
    if any(not order.terminal for order in orders):
        return
    filled = sum(order.filled_quantity for order in orders)
    if not filled:
        words = next((order.words for order in reversed(orders) if order.words), "nothing filled")
        _failed(changes, run, place, words)
        return
    _note(changes, run, place, _remembered(run, place))
    _tell(changes, run, place, f"entered again: {filled} {orders[0].symbol}", orders)


def _failed(changes: Pass, run: Run, place: str, why: str) -> None:
    """End a try that sent or filled nothing; it stays counted."""
    state = _places(changes.run(run.id))[place]
    _note(changes, changes.run(run.id), place, {key: value for key, value in state.items() if key != "reentry"})
    _tell(changes, run, place, f"did not enter again: {why}", [])


def _tell(changes: Pass, run: Run, place: str, words: str, orders: Sequence[Order]) -> None:
    account_id, leg_index = _account_and_leg(place)
    changes.event(
        owner_id=run.owner_id,
        kind="reentry",
        action="alert_only",
        message=f"leg {leg_index} {words}",
        knew={
            "tries": _places(changes.run(run.id))[place].get("reentries", 0),
            "orders": [{"id": o.id, "symbol": o.symbol, "state": str(o.state), "words": o.words} for o in orders],
        },
        run_id=run.id,
        account_id=account_id,
    )


def _counted(changes: Pass, run: Run, place: str) -> dict[str, Any]:
    state = _places(run)[place]
    return state | {"reentries": int(state.get("reentries", 0)) + 1, "tried_at": changes.now.isoformat()}


def _note(changes: Pass, run: Run, place: str, state: Mapping[str, Any]) -> None:
    legs = _places(run) | {place: dict(state)}
    changes.put_run(replace(changes.run(run.id), watch=run.watch | {"legs": legs}))


def _remembered(run: Run, place: str) -> dict[str, Any]:
    """Return what a leg that waits no more to enter again keeps of it."""
    return {key: value for key, value in _places(run)[place].items() if key in {"reentries", "tried_at", "at_cost"}}


def _closed(run: Run, place: str) -> ClosedLeg:
    state = _places(run)[place]
    return ClosedLeg(
        action=Action(_leg_rows(run, _account_and_leg(place)[1])[0]["action"]),
        closed_by=ExitRule(state["closed_by"]),
        closed_at=_moment(state["closed_at"]),
        entry_price=float(state["entry_price"]),
        done=int(state.get("reentries", 0)),
        tried_at=_moment(state["tried_at"]) if "tried_at" in state else None,
    )


def _places(run: Run) -> dict[str, dict[str, Any]]:
    """Return what the run remembers of its legs, by ``ACCOUNT:LEG``."""
    legs: dict[str, dict[str, Any]] = run.watch.get("legs", {})
    return legs


def _leg_rows(run: Run, leg_index: int) -> list[dict[str, Any]]:
    """Return the contracts a leg had, the one it entered with first."""
    return [leg for leg in run.resolved["legs"] if leg["leg_index"] == leg_index]


def _is_resolving(state: Mapping[str, Any]) -> bool:
    return bool((state.get("reentry") or {}).get("state") == "resolving")


def _account_and_leg(place: str) -> tuple[int, int]:
    account, leg = place.split(":")
    return int(account), int(leg)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
