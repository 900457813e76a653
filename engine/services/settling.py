"""Expiry: index contracts settle after their last session at intrinsic value, never as closed by hand (RULES 6).

The figure is an estimate from the index's price after the close until the exchange's own is known: trades that a broker
shows on a later day in an expired contract.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from engine.domain.instruments import Action, Key
from engine.domain.money import value_paise
from engine.domain.netting import Traded
from engine.domain.orders import Order, OrderState, moved
from engine.domain.runs import RUN_ENDED, Charge, Run
from engine.domain.settlement import ContractEnd, contract_end, intrinsic_value
from engine.services.ledger import Pass
from engine.services.messages import Symbol
from engine.services.outside_read import OutsideRead, tell
from engine.services.price_board import market_of
from engine.services.world import Account, World, trading_day

WATCHED_BEFORE = timedelta(minutes=15)
"""How long before the end of a contract its index is watched."""

PATIENCE = timedelta(seconds=60)
"""How long after the close a settlement may take before it is an alarm."""

TELL_AGAIN = timedelta(hours=1)


def is_over(world: World, venue: str, key: Key, now: datetime) -> bool:
    """Whether a contract's last session has ended: nothing can be sent in it any more."""
    end = contract_end(key.symbol, key.exchange, world.calendar(venue))
    return end is not None and end.over(now)


def indices_wanted(changes: Pass, world: World, run: Run) -> set[Symbol]:
    """Return the indices whose price a run needs: those of what it holds near its end."""
    calendar = world.calendar(run.venue)
    wanted: set[Symbol] = set()
    for key, held in changes.holdings(run.id).items():
        end = contract_end(key.symbol, key.exchange, calendar) if held.quantity else None
        if end is not None and end.index is not None and changes.now >= end.closes_at - WATCHED_BEFORE:
            wanted.add(end.index)
    return wanted


def settle_expired(changes: Pass, world: World, run: Run) -> None:
    """Book the settlement of what a run holds in contracts whose last session is over.

    It waits until the broker has ended the run's orders there, for valid books that began after the close, and for a
    price of the index from after the close; what is not settled within a minute is an alarm, repeated every hour.
    """
    calendar = world.calendar(run.venue)
    for key, held in list(changes.holdings(run.id).items()):
        end = contract_end(key.symbol, key.exchange, calendar) if held.quantity else None
        if end is None or not end.over(changes.now):
            continue
        waits = _settle(changes, world, run, key, end)
        if waits and changes.now - end.closes_at >= PATIENCE:
            _alarm(changes, world, run, key, waits)


def correct_settlements(read: OutsideRead) -> None:
    """Put the exchange's price in the place of estimates: trades on a day after a contract's end are its settlement."""
    changes = read.changes
    exact: dict[Key, Traded] = {}
    for (instrument, _action), traded in read.seen.items():
        if read.settlement_day(instrument) and (instrument not in read.unpriced or not traded.value_paise):
            before = exact.get(read.key(instrument), Traded())
            total = Traded(before.units + traded.units, before.value_paise + traded.value_paise)
            exact[read.key(instrument)] = total
    if not exact:
        return
    for run_id in list(changes.ledger.charges):
        for charge in changes.charges_of(run_id):
            if charge.estimated and charge.source == "settlement" and charge.key in exact:
                price = exact[charge.key]
                # zero is what a worthless option pays; where the estimate is more, it is no price
                if price.value_paise or not charge.value_paise:
                    _correct(read, charge, price.value_paise * charge.quantity // price.units)


def _settle(changes: Pass, world: World, run: Run, key: Key, end: ContractEnd) -> str:
    """Settle one key of a run; return what it waits for, empty when it is done."""
    account = world.accounts.get(key.account_id)
    if account is None:
        return "its account, which is not active"
    if end.index is None:
        return "a person: what is delivered is not settled here"
    if waits := _end_orders(changes, run, account, key, end):
        return waits
    if account.books_since(end.closes_at) is None:
        return f"valid books of after the close ({account.books_problem or 'not read yet'})"
    held = changes.holdings(run.id)[key]
    spot = _closing_price(world, run, end)
    if spot is None:
        return f"a price of {end.index[0]} from after the close"
    price = intrinsic_value(key.symbol, key.exchange, spot)
    quantity = abs(held.quantity)
    changes.put_charge(
        Charge(
            id=next(changes.ledger.counters.fill),
            execution_id=run.id,
            key=key,
            action=Action.SELL if held.quantity > 0 else Action.BUY,
            quantity=quantity,
            value_paise=value_paise(price, quantity),
            estimated=True,
            at=changes.now,
            source="settlement",
        )
    )
    changes.event(
        owner_id=run.owner_id,
        kind="settlement",
        action="alert_only",
        message=f"{held.quantity:+} {key.symbol} of run {run.id} expired and settled at {price:,.2f}, an estimate from "
        f"{end.index[0]} at {spot:,.2f} until the exchange's price is known",
        knew={"quantity": held.quantity, "price": price, "spot": spot, "estimated": True},
        run_id=run.id,
        account_id=key.account_id,
    )
    return ""


def _end_orders(changes: Pass, run: Run, account: Account, key: Key, end: ContractEnd) -> str:
    """Void what was not sent; wait for the broker to end what works: what it filled before the close still counts.

    A day's order cannot outlive its day: one that a later day's valid books do not list any more has expired.
    """
    for order in changes.orders_of(run.id):
        if order.key != key or order.terminal:
            continue
        if order.state is OrderState.PLANNED:
            changes.put_order(moved(order, OrderState.VOID, changes.now, words="its contract expired"))
        elif order.state is OrderState.WORKING and _gone(account, order, end):
            words = "its contract expired, and the books of a later day do not list it"
            changes.put_order(moved(order, OrderState.EXPIRED, changes.now, words=words))
        else:
            return f"the broker to end order {order.orderid or order.tag} ({order.state})"
    return ""


def _gone(account: Account, order: Order, end: ContractEnd) -> bool:
    books = account.books_since(end.closes_at)
    if books is None or trading_day(books.begun_at) <= order.trading_day:
        return False
    return all(row.orderid != order.orderid for row in books.orders)


def _closing_price(world: World, run: Run, end: ContractEnd) -> float | None:
    """Return the index's last price from between the close and the next session, None if there is none."""
    view = world.prices.view(market_of(run.owner_id, run.venue), end.index) if end.index is not None else None
    if view is None or view.ltp is None:
        return None
    seen = max((at for at in (view.tick_at, view.quote_at) if at is not None), default=None)
    return view.ltp if seen is not None and end.closes_at <= seen < end.settles_until else None


def _alarm(changes: Pass, world: World, run: Run, key: Key, waits: str) -> None:
    told = world.unsettled_told.get((run.id, key))
    if told is not None and abs(changes.now - told) < TELL_AGAIN:
        return
    changes.event(
        owner_id=run.owner_id,
        kind="settlement",
        action="alert_only",
        message=f"{key.symbol} of run {run.id} expired and is not settled: it waits for {waits}",
        knew={"waits_for": waits, "product": str(key.product)},
        run_id=run.id,
        account_id=key.account_id,
    )
    changes.after_commit.append(partial(world.unsettled_told.__setitem__, (run.id, key), changes.now))


def _correct(read: OutsideRead, charge: Charge, value: int) -> None:
    changes = read.changes
    changes.put_charge(replace(charge, value_paise=value, estimated=False))
    run = changes.run(charge.execution_id)
    if run.state in RUN_ENDED:
        profit = sum(h.sell_value_paise - h.buy_value_paise for h in changes.holdings(run.id).values())
        changes.put_run(replace(run, profit_paise=profit))
    price, estimate = (paid / charge.quantity / 100 for paid in (value, charge.value_paise))
    tell(
        read,
        run.id,
        f"the exchange settled {charge.quantity} {charge.key.symbol} of run {run.id} at {price:,.2f}; the estimate was "
        f"{estimate:,.2f}",
        {"price": price, "estimate": estimate, "quantity": charge.quantity},
        kind="settlement",
    )
