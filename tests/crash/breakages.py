"""Ways to break the engine on purpose, from outside: the crash matrix must notice each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.domain.orders import OrderState
from engine.runtime.core import Core
from engine.services import recovery
from tests.crash.failpoints import wrap


@dataclass(frozen=True, slots=True)
class Breakage:
    """A defect: what it is, and how to put it into this process."""

    what: str
    install: Callable[[], None]


def _acts_before_the_commit() -> None:
    def commit(original: Any, core: Core, changes: Any) -> None:
        acts = list(changes.after_commit)
        for act in acts:
            act()
        changes.after_commit.clear()
        original(core, changes)

    wrap(Core, "_commit", commit)


def _takes_sending_for_not_sent() -> None:
    def recover(original: Any, changes: Any, world: Any) -> None:
        for run in changes.open_runs():
            for order in changes.orders_of(run.id):
                if order.state is OrderState.SENDING:
                    changes.put_order(replace(order, state=OrderState.NOT_SENT, updated_at=changes.now))
        original(changes, world)

    wrap(recovery, "recover", recover)


def _forgets_plans() -> None:
    def recover(original: Any, changes: Any, world: Any) -> None:
        changes.ledger.plans.clear()
        original(changes, world)

    wrap(recovery, "recover", recover)


BREAKAGES = {
    "acts-first": Breakage("orders are handed out before the intent is committed", _acts_before_the_commit),
    "sending-is-not-sent": Breakage(
        "recovery takes a sending order for one that never left", _takes_sending_for_not_sent
    ),
    "plans-forgotten": Breakage("recovery forgets the exits that were under way", _forgets_plans),
}
