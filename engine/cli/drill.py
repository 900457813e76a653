"""The fire drill at the console: what the kill switch would send, in which order, and how long it would take."""

from __future__ import annotations

import argparse
from uuid import uuid4

from engine.cli.door import DONE, FAILED, desk_of, show, taken
from engine.services.amounts import count, grouped
from engine.services.risk_views import DrillAccountView, DrillView


def drill(options: argparse.Namespace) -> int:
    """Rehearse the kill switch; the exit code says whether every account could be reached."""
    desk = desk_of(options)
    command = taken(desk, desk.drill(uuid4().hex))
    view = desk.drill_result(command.id)
    show(options, view.model_dump(mode="json"), [command.message, *drill_lines(view)])
    return FAILED if any(account.problem for account in view.accounts) else DONE


def drill_lines(view: DrillView) -> list[str]:
    """Return a drill line by line: accounts, orders in the order they would go, notes."""
    unreachable = {account.account_id for account in view.accounts if account.problem}
    lines = [_account_line(account) for account in view.accounts]
    for order in view.orders:
        when = "not sendable" if order.account_id in unreachable else f"{order.at_seconds:6.2f} s"
        lines.append(
            f"  {when}  {order.account}, run {order.run_id}, stage {order.stage}: "
            f"{order.action} {grouped(order.quantity)} {order.symbol}"
        )
    if view.crossed:
        lines.append(f"{grouped(view.crossed)} units would be crossed inside: no order is needed for them")
    return [*lines, *view.notes]


def _account_line(account: DrillAccountView) -> str:
    sent = f"{count(account.orders, 'order')}, {count(account.units, 'unit')}"
    if account.problem:
        return f"{account.account}: NOT REACHABLE ({account.problem}); {sent} could not be sent"
    flat = "not flat, see below" if account.seconds_to_flat is None else f"flat after {account.seconds_to_flat:.2f} s"
    return f"{account.account}: {sent}, {flat}"
