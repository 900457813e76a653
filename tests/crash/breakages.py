"""Ways to break the engine on purpose, from outside: the crash matrix must notice each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.domain.day_limits import rearmed
from engine.domain.orders import OrderState
from engine.domain.runs import PlanState, Run
from engine.runtime.core import Core
from engine.services import recovery
from engine.services.world import World
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


def _forgets(of_run: Callable[[Any, Run], None]) -> Callable[[], None]:
    """Return a recovery that first does this to what is remembered of each open run."""

    def install() -> None:
        def recover(original: Any, changes: Any, world: Any) -> None:
            for run in changes.open_runs():
                of_run(changes, run)
            original(changes, world)

        wrap(recovery, "recover", recover)

    return install


def _what_stays(changes: Any, run: Run) -> None:
    for plan in changes.plans_of(run.id):
        if plan.state is PlanState.ACTIVE:
            changes.put_plan(replace(plan, keep=()))


def _latches(changes: Any, run: Run) -> None:
    changes.put_run(replace(run, latches=()))


def _stops(changes: Any, run: Run) -> None:
    changes.put_run(replace(run, trailing_active=False, peak_paise=None, stop_paise=None))


def _tries(changes: Any, run: Run) -> None:
    legs = {
        place: {name: value for name, value in state.items() if name not in {"reentries", "tried_at"}}
        for place, state in run.watch.get("legs", {}).items()
    }
    changes.put_run(replace(run, watch=run.watch | {"legs": legs}))


def _day(changes: Any, run: Run) -> None:
    for limits in changes.ledger.limits.values():
        changes.put_limits(rearmed(limits))


def _takes_no_price_for_a_price() -> None:
    begun_anew: list[bool] = []

    def recover(original: Any, changes: Any, world: Any) -> None:
        begun_anew.extend([True] * len(changes.open_runs()))
        original(changes, world)

    def confirmed_price(original: Any, *args: Any) -> Any:
        price = original(*args)
        return 100_000.0 if price is None and begun_anew else price

    wrap(recovery, "recover", recover)
    wrap(World, "confirmed_price", confirmed_price)


BREAKAGES = {
    "acts-first": Breakage("orders are handed out before the intent is committed", _acts_before_the_commit),
    "sending-is-not-sent": Breakage(
        "recovery takes a sending order for one that never left", _takes_sending_for_not_sent
    ),
    "plans-forgotten": Breakage("recovery forgets the exits that were under way", _forgets_plans),
    "parts-forgotten": Breakage("recovery forgets what an exit of a part keeps", _forgets(_what_stays)),
    "latches-forgotten": Breakage("recovery forgets which rules acted", _forgets(_latches)),
    "stops-forgotten": Breakage("recovery forgets where a trailing stop stood", _forgets(_stops)),
    "tries-forgotten": Breakage("recovery forgets how often a leg entered again", _forgets(_tries)),
    "day-forgotten": Breakage("recovery forgets halts and which limits of the day acted", _forgets(_day)),
    "no-price": Breakage("an engine that follows another takes no price for a price", _takes_no_price_for_a_price),
}
