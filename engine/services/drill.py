"""The fire drill: the kill switch rehearsed on live books, nothing sent (DESIGN 2: decide is shared with drills)."""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.exits import BOOK_AGE, LAST_BOOK_AGE
from engine.domain.runs import AccountState
from engine.services.amounts import count, grouped
from engine.services.errors import Refused
from engine.services.exit_plans import ENDED
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.rehearsal import BUDGET_SECONDS, Rehearsal, RehearsedOrder, rehearse
from engine.services.risk_views import DrillAccountView, DrillOrderView, DrillView
from engine.services.settling import is_over
from engine.services.world import World

DRILLS_WITHIN_SECONDS = 10.0
"""Drills of so long take no more of the core's time than one may: real exits, and its watchdog, wait meanwhile."""

Press = Callable[[Pass, World, CommandArrived], None]
"""What the kill switch does with its command."""


def drill(changes: Pass, world: World, command: CommandArrived, *, press: Press) -> None:
    """Answer a drill command with a DrillView, and record that it was rehearsed; ``press`` is the kill switch.

    Raises Refused where the drills just before, of whomever, already took the time that one may.
    """
    begun = world.clock.boot()
    lately = [(at, spent) for at, spent in world.drills if abs(begun - at) < DRILLS_WITHIN_SECONDS]
    if sum(spent for _at, spent in lately) >= BUDGET_SECONDS / 2:
        raise Refused("Fire drills have just kept the engine busy. Try again in ten seconds: real exits come first.")
    view = drilled(changes, world, command, press=press)
    world.drills = [*lately, (begun, world.clock.boot() - begun)]
    words = _words(view)
    unreachable = {one.account: one.problem for one in view.accounts if one.problem}
    changes.event(
        owner_id=command.user_id,
        kind="drill",
        action="alert_only",
        message=words,
        knew={
            "run_ids": view.run_ids,
            "orders": len(view.orders),
            "crossed": view.crossed,
            "seconds_to_flat": view.seconds_to_flat,
            "unreachable": unreachable,
            "notes": view.notes,
        },
    )
    changes.answer_command(command.id, "done", {"message": words, "drill": view.model_dump(mode="json")})


def drilled(changes: Pass, world: World, command: CommandArrived, *, press: Press) -> DrillView:
    """Return what the kill switch would do now for the caller; nothing of ``changes`` or ``world`` is changed."""
    owner = command.user_id
    found = rehearse(changes, world, owner, press=lambda scratch, copied: press(scratch, copied, command))
    names = {account.id: account.facts.name for account in world.accounts.values()}
    rows = [row for run_id in found.run_ids for row in changes.accounts_of(run_id) if row.state not in ENDED]
    concerned = sorted({row.account_id for row in rows}, key=world.shown)
    problems = {account_id: problem_of(changes, world, account_id) for account_id in concerned}
    accounts = []
    for account_id in concerned:
        mine = [one for one in found.orders if one.order.account_id == account_id]
        accounts.append(
            DrillAccountView(
                account_id=account_id,
                account=names.get(account_id, f"account {account_id}"),
                orders=len(mine),
                units=sum(one.order.quantity for one in mine),
                seconds_to_flat=None if problems[account_id] or not found.complete else found.flat_seconds[account_id],
                problem=problems[account_id],
            )
        )
    seconds = [one.seconds_to_flat for one in accounts]
    return DrillView(
        as_of=changes.now,
        run_ids=found.run_ids,
        accounts=accounts,
        orders=[_order_view(one, names) for one in found.orders],
        crossed=found.crossed,
        seconds_to_flat=None if None in seconds else max((one for one in seconds if one is not None), default=0.0),
        notes=_notes(changes, world, found, names, problems),
    )


def problem_of(changes: Pass, world: World, account_id: int) -> str:
    """Return why an exit would not reach an account now, empty when it would (RULES 7, "Exit means")."""
    account = world.accounts.get(account_id)
    if account is None:
        return "it is not active"
    if account.quarantine:
        return account.quarantine
    if account.semi_auto:
        return "its server queues orders for approval"
    if not account.connected:
        return account.waits_for or "its server does not answer"
    why = account.books_problem or "no answer"
    if account.books is None:
        return f"its books were not read yet: {why}"
    age = changes.now - account.books.begun_at
    if age > LAST_BOOK_AGE:
        return f"its last valid books are {age.total_seconds():.0f} s old: {why}"
    return ""


def _order_view(one: RehearsedOrder, names: dict[int, str]) -> DrillOrderView:
    order = one.order
    return DrillOrderView(
        account_id=order.account_id,
        account=names.get(order.account_id, ""),
        run_id=order.execution_id,
        stage=one.stage,
        action=str(order.action),
        symbol=order.symbol,
        quantity=order.quantity,
        at_seconds=one.at_seconds,
    )


def _words(view: DrillView) -> str:
    if not view.run_ids:
        return "Fire drill: no run is open, the kill switch would send nothing."
    orders, accounts = count(len(view.orders), "order"), count(len(view.accounts), "account")
    unreachable = [one.account for one in view.accounts if one.problem]
    if unreachable:
        end = f"not reachable: {', '.join(unreachable)}"
    elif view.seconds_to_flat is None:
        end = "something would stay open, see the notes"
    else:
        end = f"flat after {view.seconds_to_flat:.1f} s"
    return f"Fire drill: the kill switch would send {orders} on {accounts}, {end}. Nothing was sent."


def _notes(changes: Pass, world: World, found: Rehearsal, names: dict[int, str], problems: dict[int, str]) -> list[str]:
    if not found.run_ids:
        return []
    notes = [_timing(found, names, problems)]
    if not found.complete:
        notes.append(f"There is more than could be rehearsed in time: the first {count(len(found.orders), 'order')}.")
    if found.cancelled:
        notes.append(f"{count(found.cancelled, 'entry order')} would be cancelled first.")
    if found.taken_as_filled:
        notes.append(f"{count(found.taken_as_filled, 'exit order')} at a broker already: taken as filled.")
    notes += [f"{names[one]} is not reachable ({why}): its orders could not be sent." for one, why in problems.items()
              if why and one in names]  # fmt: skip
    notes += [
        f"{grouped(abs(units))} {key.symbol} on {names.get(key.account_id, key.account_id)} would stay open: "
        "an order there is in doubt or was refused."
        for key, units in (found.left if found.complete else [])
    ]
    for run_id in found.run_ids:
        run = changes.run(run_id)
        notes += [
            f"{names.get(row.account_id, row.account_id)} of run {run_id} was taken over by hand: "
            "the kill switch takes it back."
            for row in changes.accounts_of(run_id)
            if row.state is AccountState.TAKEN_OVER
        ]
        notes += [
            f"{key.symbol} of run {run_id} has expired: it settles by itself."
            for key, held in changes.holdings(run_id).items()
            if held.quantity and is_over(world, run.venue, key, changes.now)
        ]
    return notes + _closed_or_late(changes, world, found, names, problems)


def _timing(found: Rehearsal, names: dict[int, str], problems: dict[int, str]) -> str:
    """Say what the seconds are made of: the send limit, and the brokers' answers where they were measured."""
    limit = "Seconds count the send limit"
    measured = {one: found.answer_seconds[one] for one in problems if one in found.answer_seconds}
    if not measured:
        return f"{limit} only, without the broker's own time."
    times = ", ".join(f"{names.get(one, one)} {seconds * 1000:.0f} ms" for one, seconds in measured.items())
    rest = "" if len(measured) == len(problems) else "; the others without the broker's own time"
    return f"{limit} and the median answer of each broker to recent orders ({times}){rest}; filled when answered."


def _closed_or_late(
    changes: Pass, world: World, found: Rehearsal, names: dict[int, str], problems: dict[int, str]
) -> list[str]:
    notes = []
    places = {(world.accounts[o.account_id].facts.venue, o.exchange) for o in (one.order for one in found.orders)}
    for venue, exchange in sorted(places):
        if not world.in_session(venue, exchange, changes.now):
            notes.append(f"{exchange} is closed now: brokers may refuse these orders until it opens.")
    for account_id, why in problems.items():
        account = world.accounts.get(account_id)
        if why or account is None or account.books is None:
            continue
        age = changes.now - account.books.begun_at
        if age > BOOK_AGE:
            notes.append(
                f"The books of {names[account_id]} are {age.total_seconds():.0f} s old "
                f"({account.books_problem or 'not answered'}): exits wait up to 3 s for new ones, then go unverified."
            )
    return notes
