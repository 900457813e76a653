"""Planned orders become sending ones: one per key at a time, exits first, under the send limit and a licence.

The move to ``sending`` is committed before anything leaves (law 1); the licence made after that commit lasts a
second, and the worker checks it again immediately before the first byte (DESIGN 1).
"""

from __future__ import annotations

from dataclasses import replace

from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Key
from engine.domain.movement import unexplained, unlisted_trades, visible_ids
from engine.domain.orders import Order, OrderState, Purpose, moved
from engine.domain.runs import AccountState, PlanState, RunState
from engine.services.exit_scopes import kept_now, plan_over
from engine.services.exiting import owned_now
from engine.services.ledger import Pass
from engine.services.reentry_cover import still_covered
from engine.services.settling import is_over
from engine.services.sightings import claimed_ids
from engine.services.smart_exits import fits, holds_key
from engine.services.world import Account, Licence, World, trading_day

WORKERS = 4
LICENCE_SECONDS = 1.0
AFTER_RENEWAL_SECONDS = 3.0
_BLOCKING = frozenset({OrderState.UNKNOWN, OrderState.QUEUED})


def dispatch(changes: Pass, world: World, *, only: int | None = None) -> bool:
    """Move what may go now to ``sending`` and hand it to the workers after the commit; ``only``: of one account.

    Returns whether planned orders are left that wait only for the send limit or a free worker.
    """
    if world.stopping:
        return False
    waiting = False
    planned: dict[int, list[Order]] = {}
    for order in changes.planned_orders():
        if only in {None, order.account_id} and changes.open_run(order.execution_id) is not None:
            planned.setdefault(order.account_id, []).append(order)
    for account_id, orders in planned.items():
        account = world.accounts.get(account_id)
        if account is not None and account.connected and not account.quarantine and account.books is not None:
            orders.sort(key=lambda order: (order.purpose is not Purpose.EXIT, order.id))
            waiting |= _dispatch_account(changes, world, account, orders)
    return waiting


def _dispatch_account(changes: Pass, world: World, account: Account, planned: list[Order]) -> bool:
    everything = changes.alive_orders(account.id)
    sending: set[Key] = {o.key for o in everything if o.state is OrderState.SENDING or holds_key(o)}
    blocked = {(order.execution_id, order.key) for order in everything if order.state in _BLOCKING}
    busy = len(account.sending)
    for order in planned:
        if order.purpose.enters and not account.armed:
            continue
        if order.key in sending:
            continue  # its answer wakes the core
        if (order.execution_id, order.key) in blocked:
            continue
        if is_over(world, account.facts.venue, order.key, changes.now) or not _still_right(changes, account, order):
            changes.put_order(moved(order, OrderState.VOID, changes.now, words="superseded before it was sent"))
            continue
        boot = world.clock.boot()
        if busy >= WORKERS or account.bucket.ready_at(order.exchange, boot) > boot:
            return True
        account.bucket.take(order.exchange, boot)
        busy += 1
        sending.add(order.key)
        _send(changes, world, account, replace(order, smart=fits(changes, account, order, everything)))
    return False


def _send(changes: Pass, world: World, account: Account, order: Order) -> None:
    instrument = Instrument(order.symbol, order.exchange, order.product)
    sent = changes.put_order(
        moved(
            order,
            OrderState.SENDING,
            changes.now,
            sent_at=changes.now,
            trading_day=trading_day(changes.now),
            visible_before=visible_ids(account.books, account.pushes, instrument, order.action),
            unexplained_before=_unexplained(changes, account, instrument),
        )
    )

    def go() -> None:
        account.sending[sent.id] = world.clock.now()
        expires = min(world.clock.boot() + LICENCE_SECONDS, world.lease_renewed_boot + AFTER_RENEWAL_SECONDS)
        account.hands.send(sent, Licence(sent.id, expires))

    changes.after_commit.append(go)


def _unexplained(changes: Pass, account: Account, instrument: Instrument) -> int | None:
    """Return what nothing explains in the newest books; who is ours is asked only where an order is not listed."""
    books = account.books
    if books is None:
        return None
    strange = any(unlisted_trades(books, instrument, action) for action in Action)
    ours = claimed_ids(changes, account.id, trading_day(changes.now)) if strange else set()
    return unexplained(books, instrument, ours)


def _still_right(changes: Pass, account: Account, order: Order) -> bool:
    """Whether a planned order is still what should be sent: exits never exceed what shall leave (law 4)."""
    run = changes.run(order.execution_id)
    if order.purpose is Purpose.REENTRY:
        leaving = any(plan.state is PlanState.ACTIVE for plan in changes.plans_of(run.id))
        return run.state is RunState.OPEN and not leaving and still_covered(changes, run, order)
    if order.purpose.enters:
        return run.state is RunState.ENTERING and plan_over(changes, run, order.key) is None
    if changes.account_of(run.id, account.id).state is AccountState.TAKEN_OVER:
        return False
    owned = owned_now(changes, account, run, order.key)
    in_flight = sum(
        other.pending_quantity
        for other in changes.orders_of(run.id)
        if other.key == order.key and other.purpose is Purpose.EXIT and other.state is not OrderState.PLANNED
    )
    left = abs(owned) - abs(kept_now(changes, run, order.key, owned)) - in_flight
    return owned * order.action.sign < 0 and order.quantity <= left
