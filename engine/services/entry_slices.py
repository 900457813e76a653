"""Orders of an account's entry, slice by slice: planned, tried again, taken back; never two alive for one slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from engine.domain.entries import SliceState, late, slice_state, unfilled
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product
from engine.domain.orders import Order, OrderState, Purpose, moved
from engine.domain.runs import Run, RunAccount
from engine.services.ledger import Pass
from engine.services.terms import StrategyTerms
from engine.services.withdrawing import ask_to_cancel
from engine.services.world import Account, World, trading_day

TURN_PATIENCE = timedelta(seconds=60)
"""How long a planned order may wait for its turn to be sent, from when the account last sent one of the run."""
DISARMED_PATIENCE = timedelta(seconds=10)
"""The same where the account may not enter: what comes back later must not send an entry of long ago."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a leg on one account: what it shall fill, and its orders so far, the newest last."""

    leg: dict[str, Any]
    index: int
    quantity: int
    orders: tuple[Order, ...]
    state: SliceState

    @property
    def rest(self) -> int:
        """Units that nothing filled yet."""
        return unfilled(self.orders, self.quantity)


def slices_of(
    changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount, *, action: Action
) -> list[Slice]:
    """Return the slices of a stage with what each needs next."""
    cut = run.id not in world.resolutions  # only this life of the engine may send: it read the contracts
    orders: dict[tuple[int, int], list[Order]] = {}
    for order in entry_orders(changes, run, row):
        orders.setdefault((order.leg_index, order.slice_index), []).append(order)
    found = []
    for leg, size_of_leg in zip(run.resolved["legs"], row.sizing["legs"], strict=True):
        if leg["action"] != action:
            continue
        for index, quantity in enumerate(size_of_leg["slices"]):
            mine = tuple(orders.get((leg["leg_index"], index), ()))
            state = slice_state(mine, quantity, terms.entry, changes.now, cut=cut)
            found.append(Slice(leg, index, quantity, mine, state))
    return found


def entry_orders(changes: Pass, run: Run, row: RunAccount) -> list[Order]:
    """Return the entry orders of a run on one account, in the order they were planned."""
    return [
        order
        for order in changes.orders_of(run.id)
        if order.account_id == row.account_id and order.purpose is Purpose.ENTRY
    ]


def plan_slice(changes: Pass, run: Run, account_id: int, one: Slice, *, kind: PriceType) -> None:
    """Plan an order for what is left of a slice; a limit is that of the run's one reading."""
    leg = one.leg
    changes.plan_order(
        run=run,
        purpose=Purpose.ENTRY,
        key=Key(account_id, leg["symbol"], Exchange(leg["exchange"]), Product(run.resolved["product"])),
        leg_index=leg["leg_index"],
        slice_index=one.index,
        action=Action(leg["action"]),
        quantity=one.rest,
        trading_day=trading_day(changes.now),
        price_type=kind,
        price=float(leg["limit_price"]) if kind is PriceType.LIMIT else 0.0,
    )


def send_on(
    changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount, *, slices: Sequence[Slice]
) -> None:
    """Take back what rests too long, and plan what a slice needs next; there is never a second order beside one."""
    for one in slices:
        match one.state:
            case SliceState.WAITS:
                for order in one.orders:
                    if late(order, terms.entry, changes.now):
                        take_back(changes, world, order)
                    elif order.state is OrderState.PLANNED and order.quantity > one.rest:
                        void_planned(changes, [order], "an earlier order of the slice filled meanwhile")
                        if one.rest:
                            plan_slice(changes, run, row.account_id, one, kind=order.price_type)
            case SliceState.AGAIN:
                plan_slice(changes, run, row.account_id, one, kind=one.orders[-1].price_type)
            case SliceState.MARKET:
                if _settled(world, one.orders[-1]):
                    plan_slice(changes, run, row.account_id, one, kind=PriceType.MARKET)
            case SliceState.FILLED | SliceState.FAILED | SliceState.CUT:
                pass
            case _:
                assert_never(one.state)


def take_back(changes: Pass, world: World, order: Order) -> None:
    """Ask to cancel a working order, again every 2 s; the books say when it has ended."""
    account = world.accounts.get(order.account_id)
    if account is not None and order.state is OrderState.WORKING:
        ask_to_cancel(changes, account, order)


def void_planned(changes: Pass, orders: Sequence[Order], words: str) -> None:
    """Give up those that are planned; nothing of them was sent."""
    for order in orders:
        if order.state is OrderState.PLANNED:
            changes.put_order(moved(order, OrderState.VOID, changes.now, words=words))


def _settled(world: World, order: Order) -> bool:
    """Whether valid books were read since the order ended: a push may call it cancelled before its last fill shows."""
    account = world.accounts.get(order.account_id)
    if account is None:
        return False
    if account.books_since(account.last_change.get(order.key)) is not None:
        return True
    account.books_wanted = True
    return False


def failure_of(slices: Sequence[Slice], which: str) -> str:
    """Return why a stage has failed, empty where it has not."""
    for one in slices:
        if one.state is SliceState.FAILED:
            last = one.orders[-1] if one.orders else None
            ended = "" if last is None else last.words or str(last.state)
            return f"{which} leg {one.leg['symbol']}: {ended or 'was not planned'}"
    return ""


def turn_missed(changes: Pass, world: World, row: RunAccount, orders: Sequence[Order]) -> str:
    """Return why planned orders will not be sent any more: their account may not enter, or their turn never came."""
    planned = [order for order in orders if order.state is OrderState.PLANNED]
    if not planned:
        return ""
    account: Account | None = world.accounts.get(row.account_id)
    sent = [order.sent_at for order in orders if order.sent_at is not None]
    since = max([planned[0].created_at, *sent])
    may_enter = account is not None and account.armed
    if abs(changes.now - since) <= (TURN_PATIENCE if may_enter else DISARMED_PATIENCE):
        return ""
    waits_for = "its turn to be sent" if may_enter else account.waits_for if account else "the account to be active"
    return f"{planned[0].symbol} was not sent: it waited for {waits_for}"
