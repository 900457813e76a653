"""An exit that a person orders: a run or a part of it (accounts, legs, a share), as long as nothing is left naked."""

from __future__ import annotations

from engine.domain.runs import AccountState, Run
from engine.services.errors import Refused
from engine.services.exit_parts import id_of, ids_of, part_words, share_of
from engine.services.exit_plans import open_plan
from engine.services.exit_scopes import ENTERING, held_keys, plan_over
from engine.services.knowledge import knowledge
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.world import World


def close_run(changes: Pass, world: World, command: CommandArrived) -> None:
    """Open the exit of a run; payload ``run_id``, and ``account_ids``, ``leg_indexes``, ``share`` (%), each or None.

    Raises InvalidInput naming the field, and Refused where the run is not open, an account is still entering, or a
    bought leg would leave alone.
    """
    payload = command.payload
    run_id = id_of("run", payload["run_id"])
    run = next((one for one in changes.open_runs() if one.id == run_id), None)
    if run is None or run.owner_id != command.user_id:
        raise Refused(f"Run {run_id} is not open.")
    chosen = payload.get("account_ids")
    accounts = ids_of("accounts", "account", None if chosen == [] else chosen)
    legs = ids_of("legs", "leg", payload.get("leg_indexes"))
    share = share_of(payload.get("share"))
    if unknown := set(accounts) - {row.account_id for row in changes.accounts_of(run_id)}:
        raise Refused(f"Run {run_id} has no account {min(unknown)}.")
    there = {int(leg["leg_index"]) for leg in run.resolved.get("legs", [])}
    if missing := set(legs) - there:
        raise Refused(f"Run {run_id} has no leg {min(missing)}.")
    legs = () if set(legs) == there else legs
    if legs or share is not None:
        _may_be_parted(changes, world, run, accounts)
    if legs:
        _leaves_nothing_naked(changes, world, run, accounts, legs)
    what = part_words(run_id, legs, share)
    plan = open_plan(
        changes,
        run,
        kind="by_hand",
        message=f"{what} closed by hand",
        knew=knowledge(changes, world, run),
        account_ids=accounts,
        leg_indexes=legs,
        share=share,
        requested_by=command.user_id,
    )
    where = f" on {', '.join(_name(world, number) for number in accounts)}" if accounts else ""
    are = "are" if len(legs) > 1 and share is None else "is"
    words = f"{what} {are} being closed{where}." if plan else f"an exit of {what} is already under way."
    changes.answer_command(command.id, "done", {"run_id": run_id, "message": words[0].upper() + words[1:]})


def _may_be_parted(changes: Pass, world: World, run: Run, accounts: tuple[int, ...]) -> None:
    for row in changes.accounts_of(run.id):
        if row.state in ENTERING and (not accounts or row.account_id in accounts):
            name = _name(world, row.account_id)
            raise Refused(
                f"{name} is still entering run {run.id}: wait for that to end, or close all of the run there."
            )


def _leaves_nothing_naked(
    changes: Pass, world: World, run: Run, accounts: tuple[int, ...], legs: tuple[int, ...]
) -> None:
    """Refuse to sell a bought leg while a sold leg that stays is open on the account (RULES 7)."""
    out = {row.account_id for row in changes.accounts_of(run.id) if row.state is AccountState.FLAT}
    held = [one for one in held_keys(changes, run) if not accounts or one.key.account_id in accounts]
    for one in held:
        if one.quantity <= 0 or not one.leg_indexes & set(legs) or one.key.account_id in out:
            continue
        for other in held:
            if other.key.account_id != one.key.account_id or other.quantity >= 0 or other.leg_indexes & set(legs):
                continue
            leaving = plan_over(changes, run, other.key)
            if leaving is not None and not leaving.kept(other.key):
                continue
            raise Refused(
                f"{one.key.symbol} covers {other.key.symbol} on {_name(world, one.key.account_id)}, which would stand "
                f"naked: close leg {min(other.leg_indexes, default=0)} first, or with it."
            )


def _name(world: World, account_id: int) -> str:
    account = world.accounts.get(account_id)
    return account.facts.name if account is not None else f"account {account_id}"
