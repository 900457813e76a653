"""The kill switch and the way back: of a user, of one account, of everyone (RULES 7).

What it halts stays halted until a person re-arms that scope; exits go on in any case, and outside positions are left
alone. An account that somebody took over by hand is taken back: a kill switch leaves nothing of ours open.
"""

from __future__ import annotations

from engine.domain.day_limits import killed, rearmed
from engine.services.amounts import count
from engine.services.day_limits import open_on, scope_name
from engine.services.errors import Refused
from engine.services.exit_plans import open_plan
from engine.services.knowledge import knowledge
from engine.services.ledger import Pass
from engine.services.limit_setting import still_breached
from engine.services.messages import CommandArrived
from engine.services.world import World

KILL_SWITCH = "kill_switch"
ADMIN = "admin"

Scope = tuple[int, int | None]
"""A user and, for one account only, that account."""


def halt(changes: Pass, world: World, command: CommandArrived) -> None:
    """Halt entries of the scope and take out every run of it, in one commit."""
    scopes = _scopes(changes, world, command)
    everyone = len(scopes) > 1 or bool(command.payload.get("everyone"))
    reason = f"kill switch (everyone, by {command.by})" if everyone else "kill switch"
    closing: list[int] = []
    for owner_id, account_id in scopes:
        changes.put_limits(killed(changes.limits_of(owner_id, account_id), changes.now, reason))
        took = _take_out(changes, world, command, owner_id, account_id)
        closing += took
        if owner_id != command.user_id and not took:  # whoever has no run open must still learn why he is halted
            changes.event(
                owner_id=owner_id, kind=KILL_SWITCH, action="alert_only", message=f"{reason}: no entries", knew={}
            )
    runs = f"{count(len(closing), 'open run is', 'open runs are')} being closed" if closing else "No run is open"
    where = _where(changes, world, command, scopes)
    there = " there" if scopes[0][1] is not None else ""
    words = f"{runs}{where}; no entries{there} until re-armed."
    changes.answer_command(command.id, "done", {"run_ids": closing, "message": words})


def rearm(changes: Pass, world: World, command: CommandArrived) -> None:
    """Allow entries of the scope again; its limits of the day that acted may act again."""
    scopes = _scopes(changes, world, command)
    beyond = []
    for owner_id, account_id in scopes:
        before = changes.limits_of(owner_id, account_id)
        after = changes.put_limits(rearmed(before))
        if before.halted_at is not None or before.latched:
            changes.event(
                owner_id=owner_id,
                kind="rearmed",
                action="alert_only",
                message=f"entries of {scope_name(world, after)} re-armed by {command.by}",
                knew={"halted_for": before.reason, "latched": list(before.latched)},
                account_id=account_id,
            )
        if breached := still_breached(changes, world, after):
            whose = breached if owner_id == command.user_id else "Another user is at or beyond a limit of the day"
            beyond.append(f"{whose}: it acts again at once. Change the limit first.")
    where = _where(changes, world, command, scopes)
    still = _still_halted(changes, world, scopes)
    message = " ".join([f"Entries are allowed again{where}.", *dict.fromkeys(beyond), *still])
    changes.answer_command(command.id, "done", {"message": message})


def _scopes(changes: Pass, world: World, command: CommandArrived) -> list[Scope]:
    """Return what a command is for: nobody gives one for another's account, only an admin one for everyone."""
    account_id = command.payload.get("account_id")
    if command.payload.get("everyone"):
        if command.role != ADMIN:
            raise Refused("Only an admin may do this for everyone.")
        if account_id is not None:
            raise Refused("Say one account or everyone, not both.")
        owners = {command.user_id, *(account.facts.owner_id for account in world.accounts.values())}
        owners |= {run.owner_id for run in changes.open_runs()} | {owner for owner, _ in changes.ledger.limits}
        owners |= {int(user_id) for user_id in command.payload.get("user_ids", ())}
        return [(owner_id, None) for owner_id in sorted(owners)]
    if account_id is None:
        return [(command.user_id, None)]
    account = world.accounts.get(int(account_id))
    if account is None or account.facts.owner_id != command.user_id:
        raise Refused(f"There is no active account {account_id}.")
    return [(command.user_id, account.id)]


def _take_out(changes: Pass, world: World, command: CommandArrived, owner_id: int, account_id: int | None) -> list[int]:
    """Open the exits of a scope; return the runs that are being closed by it."""
    closing = []
    for run in changes.open_runs():
        if run.owner_id != owner_id or (account_id is not None and not open_on(changes, run, account_id)):
            continue
        plan = open_plan(
            changes,
            run,
            kind=KILL_SWITCH,
            message="kill switch",
            knew=knowledge(changes, world, run),
            account_ids=() if account_id is None else (account_id,),
            requested_by=command.user_id,
        )
        if plan is not None:
            closing.append(run.id)
    return closing


def _where(changes: Pass, world: World, command: CommandArrived, scopes: list[Scope]) -> str:
    if command.payload.get("everyone"):
        return " for everyone"
    owner_id, account_id = scopes[0]
    return "" if account_id is None else f" on {scope_name(world, changes.limits_of(owner_id, account_id))}"


def _still_halted(changes: Pass, world: World, scopes: list[Scope]) -> list[str]:
    """Return what stays halted after a re-arm: its wider or narrower scopes are re-armed by themselves."""
    owners = {owner_id for owner_id, _account in scopes}
    if any(account_id is not None for _owner, account_id in scopes):
        return [f"All entries are still halted: {why}." for owner in owners if (why := changes.halted(owner))]
    names = [
        account.facts.name
        for account in sorted(world.accounts.values(), key=lambda account: world.shown(account.id))
        if account.facts.owner_id in owners and changes.halted(account.facts.owner_id, account.id)
    ]
    return [f"Still halted by themselves: {', '.join(names)}."] if names else []
