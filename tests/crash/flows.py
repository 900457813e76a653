"""The workflows in which engines are killed: entry and exit of one run, driven until it is closed and then judged;
and what happens to runs that are open (``tales``).

What is doomed dies in its phase; the next engine has to bring the run to its end:

* killed in the entry: what filled is held as the exchange shows it, no further entry is sent, and the test closes;
* killed in the exit: it goes on by itself, nobody orders it a second time;
* killed in the recovery of an engine killed before: the third one does the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from tests.crash.judge import final_problems, holding_problems
from tests.crash.places import DAY_FILES, PART_FILES, REENTRY_FILES, RULE_FILES, TREND_FILES, WATCHED
from tests.crash.scene import HEDGED, WAITING, Scene
from tests.crash.tales import CostTale, DayTale, FreshTale, PartTale, RearmTale, Tale, TrailTale, TrendTale
from tests.crash.telling import LOOK_SECONDS, Engines, Played

FAMILY = (("Asha", 60_000_000.0, "A"), ("Ravi", 60_000_000.0, "A"))
ALONE = (("Asha", 60_000_000.0, "A"),)
LIMIT_SECONDS = 120.0
BY_ITSELF_SECONDS = 5.0
"""How long a run with limits may stay open before it is closed by hand: its P may move away from them."""
KNOWN_SECONDS = 40.0
OF_THE_PREMIUM = {"max_loss_unit": "percent_of_premium", "max_profit_unit": "percent_of_premium"}
"""Known only once the entry is complete: such limits cannot end a run before."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A workflow. ``lots`` a leg on each account; ``limits`` end the run by themselves, else it is closed by hand.

    ``entry``: how the strategy enters. ``trouble``: faults of the exchange for these accounts. ``torn_at``: where a
    recovery's first engine dies. ``tale``: what happens to a run that is open, told by itself; its lines are those of
    the files ``watched``.
    """

    name: str
    phases: tuple[str, ...]
    accounts: tuple[tuple[str, float, str], ...]
    lots: int
    limits: dict[str, Any] = field(default_factory=dict)
    legs: tuple[LegDraft, ...] = HEDGED
    entry: dict[str, Any] = field(default_factory=dict)
    trouble: tuple[dict[str, Any], ...] = ()
    torn_at: tuple[str, str, int] | None = None
    tale: type[Tale] | None = None
    watched: tuple[str, ...] = WATCHED

    @property
    def entries(self) -> int:
        """How often a leg may enter at most."""
        return 1 if self.tale is None else self.tale.entries


FLOWS = {
    flow.name: flow
    for flow in (
        Flow("fly", ("entry", "exit"), FAMILY, lots=28),
        Flow(
            "rest",
            ("entry", "exit"),
            ALONE,
            lots=10,
            limits={"max_loss": 0.01, "max_profit": 0.01, **OF_THE_PREMIUM},
            trouble=(
                {"kind": "rate_limit_429", "endpoint": "placeorder", "after": 1},
                {"kind": "clip", "endpoint": "placeorder", "action": "BUY", "after": 1, "fraction": 0.5},
                {
                    "kind": "reject",
                    "endpoint": "placeorder",
                    "action": "SELL",
                    "after": 2,
                    "message": "not enough margin",
                },
            ),
        ),
        Flow("limit", ("entry",), ALONE, lots=2, legs=WAITING, entry={"limit_seconds": 1.0, "limit_timeout": "market"}),
        Flow("cut", ("recovery",), ALONE, lots=28, torn_at=("entry", "send-left", 4)),
        Flow("torn", ("recovery",), ALONE, lots=28, torn_at=("exit", "send-left", 2)),
        Flow("part", ("part",), ALONE, lots=29, tale=PartTale, watched=PART_FILES),
        Flow("again", ("reentry",), ALONE, lots=28, tale=CostTale, watched=REENTRY_FILES),
        Flow("fresh", ("reentry",), ALONE, lots=28, tale=FreshTale, watched=REENTRY_FILES),
        Flow("day", ("day",), FAMILY, lots=10, tale=DayTale, watched=DAY_FILES),
        Flow("trail", ("trail",), ALONE, lots=28, tale=TrailTale, watched=RULE_FILES),
        Flow("trend", ("trend",), ALONE, lots=28, tale=TrendTale, watched=TREND_FILES),
        Flow("rearm", ("rearm",), ALONE, lots=29, tale=RearmTale, watched=RULE_FILES),
    )
}


def play(
    scene: Scene, flow: Flow, *, doom: dict[str, Any] | None = None, record: str | None = None, broken: str = ""
) -> Played:
    """Drive the workflow once, with one engine doomed or recorded; what went wrong is in the result, nothing raises."""
    played = Played()
    how: dict[str, Any] = {"doom": doom} if doom else {"record": record}
    every: dict[str, Any] = {"broken": broken} if broken else {}
    if flow.tale is not None:
        how |= {"first": "before", "tale": flow.phases[0], "runs": flow.tale.runs}
        every |= flow.tale.engine
    hows = [{"first": "before"} | how]
    if flow.torn_at is not None:
        phase, place, hit = flow.torn_at
        torn = {"first": "before", "doom": {"phase": phase, "place": place, "hit": hit}}
        hows = [torn, how | {"first": "recovery"}]
    engines = Engines(scene, hows, every, played)
    try:
        for fault in flow.trouble:
            for key in scene.keys.values():
                scene.paper.fault(**fault, api_key=key)
        if flow.tale is None:
            _Story(scene, flow, engines).tell()
        else:
            flow.tale(scene, flow.lots, engines, played.problems).tell()
        played.problems += final_problems(scene, lots=flow.lots, entries=flow.entries)
    except AssertionError as error:
        played.problems.append(str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001 - one scene in trouble is a finding, the others go on
        played.problems.append(f"{type(error).__name__}: {error}")
    return played


class _Story:
    def __init__(self, scene: Scene, flow: Flow, engines: Engines) -> None:
        self._scene, self._flow, self._engines = scene, flow, engines
        self._closed = self._judged = False
        self._open_since: float | None = None

    def tell(self) -> None:
        engine = self._engines.start()
        assert engine.ready(), f"the first engine ended with {engine.status}"
        self._scene.until_armed(30.0)
        self._scene.submit(self._strategy())
        until = time.monotonic() + LIMIT_SECONDS
        while not self._over():
            assert time.monotonic() < until, (
                f"not over in {LIMIT_SECONDS:.0f} s: the run is {self._scene.run_state()!r}"
            )
            if not engine.alive:
                engine = self._engines.after(engine)
            elif self._scene.run_state() == "open":
                self._when_open()
            time.sleep(LOOK_SECONDS)
        self._engines.end(engine)

    def _when_open(self) -> None:
        now = time.monotonic()
        self._open_since = self._open_since or now
        if self._flow.limits:
            if not self._closed and now - self._open_since > BY_ITSELF_SECONDS and not self._scene.closing():
                self._close()
            return
        if not self._judged:
            self._judged = True
            if self._engines.begun > 1:  # what an entry cut by a kill left is held, and the books show the same
                self._until_known()
        if not self._closed:
            self._close()

    def _until_known(self) -> None:
        problems: list[str] = []

        def known() -> bool:
            problems[:] = holding_problems(self._scene)
            return not problems

        self._scene.wait(known, KNOWN_SECONDS, lambda: "; ".join(problems))

    def _close(self) -> None:
        self._closed = True
        ((run,),) = self._scene.rows("SELECT id FROM strategy_execution")
        self._scene.desk.close_run(run, None, uuid4().hex)

    def _over(self) -> bool:
        if self._scene.ended:
            return True
        states = self._scene.commands("execute")
        return not self._scene.run_state() and bool(states) and states[0] not in {"pending", "taken"}

    def _strategy(self) -> int:
        draft = StrategyDraft(
            name="Hedged straddle",
            account_ids=[account.id for account in self._scene.desk.accounts()],
            legs=list(self._flow.legs),
            fixed_lots=self._flow.lots,
            limits=LimitsDraft(**self._flow.limits),
            **self._flow.entry,
        )
        return self._scene.desk.save_strategy(draft).id
