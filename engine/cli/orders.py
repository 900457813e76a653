"""Commands that order: execute, exit, halt, rearm."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from engine.cli.door import (
    DONE,
    ENDED,
    FAILED,
    NOT_FINISHED,
    NOT_TAKEN,
    CommandLineError,
    account_ids,
    desk_of,
    one_account,
    show,
    taken,
)
from engine.cli.words import Place, account_lines, part_lines, preview_lines, run_line
from engine.desk import Desk
from engine.services.part_views import leaving
from engine.services.views import CommandView, PositionView, PreviewView, RunView


def execute(options: argparse.Namespace) -> int:
    """Send a strategy to its accounts, or show what would be sent."""
    desk = desk_of(options)
    strategies = desk.strategies()
    strategy = next((s for s in strategies if s.name == options.name), None)
    if strategy is None:
        known = ", ".join(s.name for s in strategies)
        raise CommandLineError(f"there is no strategy {options.name!r}; there are {known or 'none'}")
    chosen = None if options.accounts is None else account_ids(desk, options.accounts)
    if not desk.engine().alive:
        raise CommandLineError(f"{desk.engine().problem} Nothing was ordered.", NOT_TAKEN)
    if strategy.open_run_ids and not (options.again or options.dry_run):
        raise CommandLineError(f"{strategy.name} already has an open run: --again opens a second one")
    if options.dry_run:
        command = taken(desk, desk.request_preview(strategy.id, chosen))
        preview = PreviewView.model_validate(command.outcome["preview"])
        show(options, preview.model_dump(mode="json"), preview_lines(preview))
        return DONE
    command = taken(
        desk,
        desk.execute(strategy.id, strategy.version, chosen, strategy.open_run_ids, uuid4().hex, again=options.again),
    )
    run_id = int(command.outcome["run_id"])
    return _finish(options, desk, command, run_id, lambda run: run.state not in {"resolving", "entering"})


def exit_run(options: argparse.Namespace) -> int:
    """Close a run, or a part of it: accounts, legs, a share."""
    desk = desk_of(options)
    accounts = None if options.accounts is None else account_ids(desk, options.accounts)
    before = next((run for run in desk.live().runs if run.id == options.run), None)
    order = desk.close_run(options.run, accounts, uuid4().hex, leg_indexes=options.legs, share=options.share)
    command = taken(desk, order)
    part = accounts or options.legs or options.share
    if not part:
        return _finish(options, desk, command, options.run, lambda run: run.state in ENDED)
    if before is None:
        return _finish(options, desk, command, options.run, _no_exit_left)
    leaves = leaving(before, account_ids=accounts or (), legs=options.legs or (), share=options.share)
    return _finish(
        options,
        desk,
        command,
        options.run,
        _no_exit_left,
        ordered=part_lines(before, {_place(row): row.quantity for row in leaves}, "leave"),
        more=lambda run: part_lines(before, _gone(before, run), "closed"),
    )


def _place(row: PositionView) -> Place:
    return row.account_id, row.symbol, row.product


def _gone(before: RunView, after: RunView) -> dict[Place, int]:
    """Return the signed units that were there before and are not after."""
    left = {_place(row): row.quantity for row in after.positions}
    return {_place(row): row.quantity - left.get(_place(row), 0) for row in before.positions}


def _no_exit_left(run: RunView) -> bool:
    """Whether what was ordered of a run is out: no exit of it is under way."""
    return run.state in ENDED or not run.exits


def halt(options: argparse.Namespace) -> int:
    """Press the kill switch: for the user, for one account or for everyone."""
    desk = desk_of(options)
    command = taken(desk, desk.halt(uuid4().hex, _account(options, desk), everyone=options.everyone))
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def rearm(options: argparse.Namespace) -> int:
    """Allow entries again: of the user, on one account or of everyone."""
    desk = desk_of(options)
    command = taken(desk, desk.rearm(uuid4().hex, _account(options, desk), everyone=options.everyone))
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def rearm_rule(options: argparse.Namespace) -> int:
    """Re-arm a rule of a run that acted; what is breached now acts at once."""
    desk = desk_of(options)
    command = taken(desk, desk.rearm_rule(options.run, options.latch, uuid4().hex))
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def _account(options: argparse.Namespace, desk: Desk) -> int | None:
    return None if options.account is None else one_account(desk, options.account)


def _finish(
    options: argparse.Namespace,
    desk: Desk,
    command: CommandView,
    run_id: int,
    done: Callable[[RunView], bool],
    *,
    ordered: Sequence[str] = (),
    more: Callable[[RunView], list[str]] = lambda _run: [],
) -> int:
    """Say what was ordered (``ordered`` in detail), or wait and say what came of it (``more`` in detail)."""
    if options.wait is None:
        show(options, command.model_dump(mode="json"), [command.message, *ordered])
        return DONE
    until, taken_by = time.monotonic() + options.wait, datetime.now(UTC)
    while time.monotonic() < until:
        live = desk.live()
        run = next((run for run in [*live.runs, *desk.run_history()] if run.id == run_id), None)
        if run is not None and done(run) and live.as_of >= taken_by:
            show(options, run.model_dump(mode="json"), [run_line(run), *account_lines(run), *more(run)])
            return FAILED if run.state == "refused" else DONE
        time.sleep(0.2)
    raise CommandLineError(f"run {run_id} is not there yet after {options.wait:.0f} s; it goes on", NOT_FINISHED)
