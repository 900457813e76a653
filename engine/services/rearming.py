"""A rule that acted is latched for its run; a person may re-arm it (RULES 7)."""

from __future__ import annotations

from dataclasses import replace

from engine.services.errors import Refused
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.world import World


def rearm_rule(changes: Pass, world: World, command: CommandArrived) -> None:
    """Re-arm one latch of a run by command of its owner; what is breached then acts again at once.

    A trailing stop keeps its peak and its stop. Raises Refused for a run that is not open or not the caller's, and for
    a latch that it does not have.
    """
    run_id, latch = int(command.payload["run_id"]), str(command.payload["latch"])
    run = next((one for one in changes.open_runs() if one.id == run_id), None)
    if run is None or run.owner_id != command.user_id:
        raise Refused(f"Run {run_id} is not open.")
    if latch not in run.latches:
        there = ", ".join(run.latches) or "none"
        raise Refused(f"{latch!r} is not latched in run {run_id}; latched: {there}.")
    changes.put_run(replace(run, latches=tuple(one for one in run.latches if one != latch)))
    scope = latch.partition("@")[2].partition(".")[0]
    account_id = int(scope) if scope.isdecimal() else None
    changes.event(
        owner_id=run.owner_id,
        kind="rearmed",
        action="alert_only",
        message=f"{_words(world, latch)} was re-armed by hand",
        knew={"latch": latch, "latched": list(run.latches), "by": command.user_id},
        run_id=run_id,
        account_id=account_id,
    )
    words = f"{_words(world, latch)} of run {run_id} is armed again: if it is breached now, it acts at once."
    changes.answer_command(command.id, "done", {"run_id": run_id, "latch": latch, "message": words})


def _words(world: World, latch: str) -> str:
    """Return a latch in words: the rule, and on what."""
    rule, _, scope = latch.partition("@")
    account, _, leg = scope.partition(".")
    name = rule.replace("_sl", "_stop").replace("_", " ")
    if leg:
        name = f"{name} of leg {leg}"
    if not account:
        return name
    known = world.accounts.get(int(account)) if account.isdecimal() else None
    return f"{name} on {known.facts.name if known else f'account {account}'}"
