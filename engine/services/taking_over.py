"""A person takes an account of a run over, by name: no rule sends an exit order there any more (RULES 7).

Planned orders are void and working ones cancelled, because he trades by hand now and nothing shall fill beside it.
Position and P stay in sight; what he closes is charged to the run from the books, and the run ends when they show it
flat. Close by hand and kill switch are orders of a person too: they take the account back.
"""

from __future__ import annotations

from dataclasses import replace

from engine.domain.orders import IN_DOUBT
from engine.domain.runs import AccountState, PlanState, Run, RunAccount
from engine.services.amounts import count
from engine.services.errors import Refused
from engine.services.exit_plans import ENDED, NOT_OURS, TAKEN_BY_HAND
from engine.services.ledger import Pass, with_reason
from engine.services.messages import CommandArrived
from engine.services.world import World

_MAY_BE_TAKEN = frozenset({AccountState.ENTERED, AccountState.UNWINDING})


def take_over(changes: Pass, world: World, command: CommandArrived) -> None:
    """Take an account of a run out of every exit; payload ``run_id``, ``account_id``.

    Raises Refused with the reason.
    """
    run_id, account_id = int(command.payload["run_id"]), int(command.payload["account_id"])
    run = next((one for one in changes.open_runs() if one.id == run_id), None)
    if run is None or run.owner_id != command.user_id:
        raise Refused(f"Run {run_id} is not open.")
    row = next((one for one in changes.accounts_of(run_id) if one.account_id == account_id), None)
    if row is None:
        raise Refused(f"Run {run_id} has no account {account_id}.")
    account = world.accounts.get(account_id)
    name = account.facts.name if account is not None else f"account {account_id}"
    if row.state in ENDED:
        raise Refused(f"{name} holds nothing of run {run_id} any more ({row.state}).")
    if row.state is AccountState.TAKEN_OVER:
        raise Refused(f"{name} of run {run_id} was taken over already.")
    if row.state not in _MAY_BE_TAKEN:
        raise Refused(f"{name} is still entering run {run_id}: wait for that to end, or close the run.")
    changes.put_account(with_reason(replace(row, state=AccountState.TAKEN_OVER), TAKEN_BY_HAND))
    plans = _hand_over_plans(changes, run, account_id)
    orders = [order for order in changes.orders_of(run_id) if order.account_id == account_id and not order.terminal]
    held = {
        key.symbol: held.quantity
        for key, held in changes.holdings(run_id).items()
        if key.account_id == account_id and held.quantity
    }
    doubtful = [order.id for order in orders if order.state in IN_DOUBT]
    changes.event(
        owner_id=run.owner_id,
        kind="taken_over",
        action="alert_only",
        message=f"{command.by} took {name} of run {run_id} over: no exit order is sent there any more",
        knew={
            "user_id": command.user_id,
            "held": held,
            "orders": {str(order.id): str(order.state) for order in orders},
            "plans": plans,
        },
        run_id=run_id,
        account_id=account_id,
        plan_id=plans[0] if plans else None,
    )
    words = f"{name} of run {run_id} is yours: the engine sends no exit order there and cancels what still works."
    if doubtful:
        words += f" {count(len(doubtful), 'order is', 'orders are')} in doubt and may still fill."
    changes.answer_command(command.id, "done", {"run_id": run_id, "account_id": account_id, "message": words})


def _hand_over_plans(changes: Pass, run: Run, account_id: int) -> list[int]:
    """End the plans in which no other account is left; the others go on without this one."""
    touched = []
    rows: list[RunAccount] = changes.accounts_of(run.id)
    for plan in changes.plans_of(run.id):
        if plan.state is not PlanState.ACTIVE or not plan.covers(account_id):
            continue
        touched.append(plan.id)
        if all(row.state in NOT_OURS for row in rows if plan.covers(row.account_id)):
            changes.put_plan(replace(plan, state=PlanState.TAKEN_OVER, done_at=changes.now))
    return touched
