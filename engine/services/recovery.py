"""Start is recovery (law 10): planned becomes void, sending unknown, and nothing is sent before books."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.domain.orders import Order, OrderState, moved
from engine.domain.runs import AccountState, Run, RunState
from engine.services import quarantine
from engine.services.ledger import Pass, with_reason
from engine.services.refusing import refuse
from engine.services.world import World

UNWATCHED = timedelta(seconds=5)
"""A restart shorter than this is not told."""

_ENTERING = frozenset({AccountState.SIZING, AccountState.BUYING, AccountState.SELLING})


def recover(changes: Pass, world: World) -> None:
    """Bring what an earlier engine left into states that are true now.

    An entry that was cut is not continued: what filled is held, with the run's stops live, and an event says so.
    """
    _tell_gap(changes, world)
    for run in changes.open_runs():
        for order in changes.orders_of(run.id):
            if order.state is OrderState.PLANNED:
                words = "the engine restarted before it was sent"
                changes.put_order(moved(order, OrderState.VOID, changes.now, words=words))
            elif order.state is OrderState.SENDING:
                sent = order.sent_at or order.created_at
                changes.put_order(
                    moved(
                        order,
                        OrderState.UNKNOWN,
                        changes.now,
                        words="the engine ended while it was being sent",
                        quiet_until=min(
                            changes.now + world.quiet_unanswered, max(changes.now, sent + world.quiet_unanswered)
                        ),
                    )
                )
            elif order.state is OrderState.UNKNOWN:
                _bound_quiet(changes, world, order)
        _cut_entry(changes, run)
    for account in world.accounts.values():
        quarantine.judge(changes, account)


def _tell_gap(changes: Pass, world: World) -> None:
    """Record how long nobody watched the open runs: stops that would have fired then fire only now."""
    since = world.unwatched_since
    if since is None or changes.now - since < UNWATCHED:
        return
    gap = (changes.now - since).total_seconds()
    for owner_id in sorted({run.owner_id for run in changes.open_runs()}):
        runs = [run.id for run in changes.open_runs() if run.owner_id == owner_id]
        changes.event(
            owner_id=owner_id,
            kind="blind",
            action="alert_only",
            message=f"no engine ran for {gap:,.0f} s: nobody watched {len(runs)} open run{'s'[: len(runs) > 1]}",
            knew={"unwatched_from": since.isoformat(), "until": changes.now.isoformat(), "runs": runs},
        )


def _bound_quiet(changes: Pass, world: World, order: Order) -> None:
    """Give an unknown order a quiet time: its connection ended; a clock set back must not stretch it."""
    longest = changes.now + max(world.quiet_unanswered, world.quiet_answered)
    if order.quiet_until is None:
        quiet = max(changes.now, (order.sent_at or order.created_at) + world.quiet_unanswered)
    else:
        quiet = order.quiet_until
    if min(quiet, longest) != order.quiet_until:
        changes.put_order(replace(order, quiet_until=min(quiet, longest), updated_at=changes.now))


def _cut_entry(changes: Pass, run: Run) -> None:
    """End what provably holds nothing; the rest ends in ``entry.progress`` when the fate of every order is known."""
    for row in changes.accounts_of(run.id):
        if row.state not in _ENTERING:
            continue
        orders = [order for order in changes.orders_of(run.id) if order.account_id == row.account_id]
        if all(order.terminal and not order.filled_quantity for order in orders):
            why = "the engine restarted during the entry"
            changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED, reserved_paise=0), why))
    if run.state is RunState.RESOLVING:
        why = "the engine restarted before the entry; nothing was sent"
        refuse(changes, run, why)
