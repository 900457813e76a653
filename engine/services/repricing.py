"""Exit orders whose remainder rests are re-priced on the same id, further each time (RULES 7, "Exit means").

What is asked for is on disk first (``reprices``, ``repriced_at``, ``price``), so the schedule goes on after a restart.
A modification can never make a second order; it may be repeated once the books show that the order still works.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from engine.broker.answers import Acknowledged, NotSent, RateLimited, Refused, Unclear
from engine.domain.instruments import Exchange
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.repricing import UNKNOWN, Answer, Modification, Step, limit_price, next_step, reference_price
from engine.domain.runs import ExitPlan, PlanState, Run
from engine.services.exit_alarms import BLOCKED_AFTER, tell_blocked
from engine.services.exit_scopes import covers_key
from engine.services.ledger import Pass
from engine.services.messages import ModifyAnswered, Symbol
from engine.services.owned import tick_size
from engine.services.sightings import OTHER_ID, named_another
from engine.services.withdrawing import ask_to_cancel, still_its_id
from engine.services.world import Account, World

MODIFYING = 4
"""Modifications of one account that may wait for their answer at a time."""

ANSWERED_WITHIN = timedelta(seconds=45)
"""A change is answered by then: its connection ends before."""


def reprice(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account) -> None:
    """Ask for the next limit of the exit orders in the plan's keys that rest on an account; in quarantine for none."""
    if account.quarantine or not account.connected:
        return
    for order in changes.orders_of(run.id):
        if order.account_id != account.id or order.purpose is not Purpose.EXIT or order.state is not OrderState.WORKING:
            continue
        if not covers_key(run, plan, order.key):
            continue
        if order.orderid is None or named_another(order) or not still_its_id(account, order, changes.now):
            continue
        if not world.in_session(account.facts.venue, order.exchange, changes.now):
            continue
        since = order.answered_at or order.sent_at or order.created_at
        if abs(changes.now - since) >= BLOCKED_AFTER:
            resting = f"{order.pending_quantity} {order.symbol} to fill" + (f" at {order.price}" if order.price else "")
            tell_blocked(changes, world, run, plan, account=account, what=resting)
        if order.cancel_requested:
            continue  # asked for again every 2 s until the books show its end
        last = account.modifications.get(order.id, UNKNOWN)
        step = next_step(
            acknowledged_at=since,
            repriced_at=order.repriced_at,
            last=last,
            seen_since=_seen_since(account, order, changes.now),
            now=changes.now,
        )
        match step:
            case Step.WAIT:
                pass
            case Step.CANCEL:
                ask_to_cancel(changes, account, order)
            case Step.MODIFY:
                _modify(changes, world, run, plan, account, order=order)
            case _:
                assert_never(step)


def on_modify_answered(changes: Pass, world: World, message: ModifyAnswered) -> None:
    """Take the answer to a modification: it proves nothing by itself, the books say what the order became."""
    order = changes.order(message.order_id)
    account = None if order is None else world.accounts.get(order.account_id)
    if order is None or account is None:
        return
    account.books_wanted = True
    refusals = account.modifications.get(order.id, UNKNOWN).refusals
    match message.outcome:
        case Acknowledged(orderid=orderid):
            known = Modification(Answer.TAKEN)
            if orderid != order.orderid:
                _other_id(changes, account, order, orderid)
        case Refused(message=words):
            known = Modification(Answer.REFUSED, refusals + 1)
            if not order.terminal and not named_another(order):
                words = f"not modified to {message.price}: {words}"
                changes.put_order(replace(order, words=words, updated_at=changes.now))
        case NotSent() | RateLimited():
            known = Modification(Answer.NOT_SENT, refusals)
        case Unclear():
            known = Modification(Answer.UNCLEAR, refusals)
        case _:
            assert_never(message.outcome)
    changes.after_commit.append(partial(_note, account, order, known))


def resting_symbols(changes: Pass, run: Run) -> set[Symbol]:
    """Return the symbols in which an exit order of the run works: their quotes must be young."""
    if all(plan.state is not PlanState.ACTIVE for plan in changes.plans_of(run.id)):
        return set()
    return {
        (order.symbol, Exchange(order.exchange))
        for order in changes.orders_of(run.id)
        if order.purpose is Purpose.EXIT and order.state is OrderState.WORKING
    }


def _modify(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account, *, order: Order) -> None:
    boot, market, symbol = world.clock.boot(), account.facts.market, (order.symbol, order.exchange)
    waiting = sum(one.answer is Answer.WAITED_FOR for one in account.modifications.values())
    if world.stopping or waiting >= MODIFYING or account.bucket.ready_at(order.exchange, boot) > boot:
        return
    reference = reference_price(
        order.action,
        touch=world.prices.touch_of(market, symbol),
        ltp=world.confirmed_price(run.owner_id, run.venue, symbol, changes.now),
        now=changes.now,
    )
    if reference is None:
        tell_blocked(changes, world, run, plan, account=account, what=f"a price of {order.symbol}")
        return
    price = limit_price(
        order.action,
        reference,
        step=order.reprices + 1,
        tick_size=tick_size(run, order.symbol),
        before=order.price,
    )
    last = account.modifications.get(order.id, UNKNOWN)
    if price == order.price and last.answer is Answer.TAKEN:
        return  # as far as it may go; the next price may be better
    account.bucket.take(order.exchange, boot)
    asked = changes.put_order(
        replace(order, price=price, reprices=order.reprices + 1, repriced_at=changes.now, updated_at=changes.now)
    )

    def go() -> None:
        _note(account, asked, Modification(Answer.WAITED_FOR, last.refusals))
        account.hands.modify(asked, price)

    changes.after_commit.append(go)


def _note(account: Account, order: Order, known: Modification) -> None:
    if order.terminal:
        account.modifications.pop(order.id, None)
    else:
        account.modifications[order.id] = known


def _seen_since(account: Account, order: Order, now: datetime) -> bool:
    """Whether valid books begun after the newest modification list the order, whose state they would have ended."""
    asked = order.repriced_at
    if asked is None:
        return False
    # ahead of now: an earlier engine asked before the clock was set back, and every read of this one came later
    books = account.books_since(asked if asked <= now else None)
    return books is not None and any(row.orderid == order.orderid for row in books.orders)


def may_be_replaced(account: Account, order: Order, now: datetime) -> bool:
    """Whether an order that others cancelled while it was being changed may work on under another id."""
    if order.state is not OrderState.CANCELLED or order.cancel_requested or order.repriced_at is None:
        return False
    waited_for = account.modifications.get(order.id, UNKNOWN).answer is Answer.WAITED_FOR
    return waited_for and abs(now - order.repriced_at) < ANSWERED_WITHIN


def _other_id(changes: Pass, account: Account, order: Order, orderid: str) -> None:
    words = f"{OTHER_ID}: {orderid} for {order.orderid}"
    changes.put_order(replace(order, words=words, updated_at=changes.now))
    changes.event(
        owner_id=changes.run(order.execution_id).owner_id,
        kind="unknown_order",
        action="alert_only",
        message=f"{order.action} {order.quantity} {order.symbol} on {account.facts.name}: {words}; "
        "no further exit order goes there, look at the broker",
        knew={"order": order.id, "orderid": order.orderid, "named": orderid},
        run_id=order.execution_id,
        account_id=order.account_id,
        plan_id=order.exit_plan_id,
    )
