"""How far exits are: of every active plan and account what it waits for, and what became of its orders (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.domain.exits import exits_due, held_as_cover
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose
from engine.domain.runs import AccountState, ExitPlan, PlanState, Run
from engine.services.amounts import count, grouped
from engine.services.exit_alarms import failed
from engine.services.exit_scopes import covers_key
from engine.services.ledger import Pass
from engine.services.messages import NEEDS_SESSION
from engine.services.open_keys import open_keys
from engine.services.views import ExitView
from engine.services.world import Account, World

_LEFT = frozenset({AccountState.FLAT, AccountState.SKIPPED, AccountState.TAKEN_OVER})
_NEVER_LEFT = frozenset({OrderState.PLANNED, OrderState.DENIED, OrderState.VOID, OrderState.NOT_SENT})


def exit_views(changes: Pass, world: World, run: Run) -> list[ExitView]:
    """Return how far each active exit of a run is, account by account; accounts that are out are left out."""
    return [
        _view(changes, world, run, plan, row.account_id)
        for plan in changes.plans_of(run.id)
        if plan.state is PlanState.ACTIVE
        for row in sorted(changes.accounts_of(run.id), key=lambda row: world.shown(row.account_id))
        if plan.covers(row.account_id) and row.state not in _LEFT
    ]


def _view(changes: Pass, world: World, run: Run, plan: ExitPlan, account_id: int) -> ExitView:
    account = world.accounts.get(account_id)
    mine = [order for order in changes.orders_of(run.id) if order.account_id == account_id]
    orders = [order for order in mine if covers_key(run, plan, order.key)]
    exits = [
        order
        for order in orders
        if order.purpose is Purpose.EXIT and (order.created_at >= plan.created_at or not order.terminal)
    ]
    return ExitView(
        plan_id=plan.id,
        account_id=account_id,
        account=account.facts.name if account else f"account {account_id}",
        reason=plan.reason,
        begun_at=plan.created_at,
        waits_for=_waits_for(changes, world, run, plan, account, orders=orders, exits=exits),
        sent=sum(order.state not in _NEVER_LEFT for order in exits),
        filled=sum(order.state is OrderState.FILLED for order in exits),
        failed=sum(failed(order) and not order.filled_quantity for order in exits),
        reprices=sum(order.reprices for order in exits),
        blocked=world.told_lately(("exit_blocked", plan.id, account_id), changes.now),
        part=part_words(plan, account_id),
    )


def part_words(plan: ExitPlan, account_id: int) -> str:
    """Return in words what of an account leaves by a plan, and what of it stays; empty where all leaves."""
    legs = ", ".join(str(index) for index in plan.leg_indexes)
    words = [f"{'leg' if len(plan.leg_indexes) == 1 else 'legs'} {legs}"] if legs else []
    stays = [f"{grouped(kept[4])} {kept[1]}" for kept in plan.keep if kept[0] == account_id]
    return "; ".join([*words, *([f"{', '.join(stays)} stay"] if stays else [])])


def _waits_for(
    changes: Pass,
    world: World,
    run: Run,
    plan: ExitPlan,
    account: Account | None,
    *,
    orders: Sequence[Order],
    exits: Sequence[Order],
) -> str:
    """Return in words what the exit of one account waits for, what is furthest from its end first."""
    if account is None:
        return "its account, which is not active any more"
    if doubtful := [order for order in orders if order.state in IN_DOUBT]:
        first = doubtful[0]
        what = "the broker's answer to" if first.state is OrderState.SENDING else "certainty about"
        return f"{what} {first.action} {grouped(first.quantity)} {first.symbol} (order {first.id})"
    if entries := [order for order in orders if order.purpose.enters and not order.terminal]:
        return f"{count(len(entries), 'entry order')} to be cancelled"
    if account.quarantine:
        return f"a person: nothing is sent there, {account.quarantine}"
    if not account.connected:
        if NEEDS_SESSION in account.waits_for:
            return f"its server, which {account.waits_for}"
        return account.waits_for or "its server to answer"
    if working := sum(order.pending_quantity for order in exits if order.state is OrderState.WORKING):
        return f"{count(working, 'unit')} to fill at the broker"
    if account.books_problem:
        return f"valid books ({account.books_problem})"
    if planned := [order for order in exits if order.state is OrderState.PLANNED]:
        return f"{count(len(planned), 'order')} to have their turn at the send limit"
    keys = open_keys(changes, world, run, plan, account)
    if not any(one.leaving for one in keys):
        return "books that show it" if plan.partial else "books that show it flat"
    if held_as_cover(keys) and not exits_due(keys, changes.now):
        return f"sold legs that stay open: {held_as_cover(keys)[0].symbol} covers them"
    last = next((order for order in reversed(exits) if order.terminal and order.state is not OrderState.VOID), None)
    if last is not None and failed(last) and not last.filled_quantity:
        said = f" ({last.words})" if last.words else ""
        return f"the next try after an order that ended {last.state}{said}"
    return "books read after its last change"
