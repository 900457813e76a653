"""One run over many accounts, each of which suffers its own fault at the chosen step; then everybody goes home.

    with Company(folder, "live") as company:
        rows = company.play(Step.EXIT)

gives a row per account: what it suffered, what it sent, how long it took, and everything that was wrong.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection
from enum import StrEnum
from pathlib import Path
from typing import Self

from engine.services.views import RunView
from tests.faults.cases import CALLS, CALM, QUIET_ANSWERED, QUIET_UNANSWERED, READ, STREAM, TOKEN, Case
from tests.faults.judge import Judge, Row
from tests.faults.people import People
from tests.house import ENDED, House

FUNDS = 1_500_000.0
PATIENCE = 60.0
"""Seconds after which a scene is given up: far beyond what any case needs."""
LOOK_SECONDS = 0.2
"""Pause between two looks at what the engine writes once a second, in which people do their part."""
STARVED = "Timeout (0:00:03)!"
"""How the stacks begin that an engine leaves behind when a pass took too long."""
PARTLY = 0.4
"""Of three lots one fills, two are held until the order is changed or cancelled."""


class Step(StrEnum):
    """Where in a run's life the trouble comes."""

    ENTRY = "entry"
    EXIT = "exit"
    RETRY = "retry"
    REPRICE = "re-price"
    CANCEL = "cancel"


def cases_of(step: Step, face: str) -> tuple[Case, ...]:
    """Return what can go wrong at a step."""
    match step:
        case Step.EXIT if face == "live":
            return (*CALLS, *READ, *STREAM, *TOKEN)
        case Step.ENTRY | Step.EXIT:
            return (*CALLS, *READ, *STREAM)
        case Step.RETRY:
            return CALLS
        case Step.REPRICE | Step.CANCEL:
            return tuple(case for case in CALLS if case.kind in CHANGES)


CHANGES = {
    "drop_before", "drop_after", "delay", "late", "bad_gateway", "garbage", "wrong_content_type", "slow_body",
    "half_body", "rate_limit_429", "broker_429", "error_500", "broker_error", "broker_error_after", "null_orderid",
}  # fmt: skip
"""What can befall a call that changes or cancels an order; the other kinds concern orders that are made."""


class Company:
    """A house with an account for every case, on one face; scene after scene is played in it.

    ``sound`` is False once a scene did not end: what comes after it would be judged by its remains.
    """

    def __init__(self, folder: Path, face: str, *, kinds: Collection[str] | None = None) -> None:
        """``kinds``: only these, instead of all."""
        self.face, self.sound = face, True
        self._kinds = kinds
        self.house = House(
            folder, accounts=(), engine=False, quiet_unanswered=QUIET_UNANSWERED, quiet_answered=QUIET_ANSWERED
        )
        for name in (*CALM, *(case.name for case in self._all())):
            self.house.add_account(name, FUNDS, face=face)
        self.house.start_engine(wait=False).ready(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.house.__exit__()

    def play(self, step: Step) -> list[Row]:
        """Play one scene and return what was found, account by account."""
        self.sound = False
        try:
            self.house.until_armed(PATIENCE)
        except AssertionError as problem:
            tell_end(self.house)
            waits = {view.name: view.waits_for for view in self.house.desk.live().accounts if not view.armed}
            raise AssertionError(f"{step} on {self.face}: not armed: {waits}") from problem
        rows = Scene(self.house, step, self.face, self._of(step)).play()
        self.sound = all(row.flat for row in rows)
        return rows

    def _all(self) -> tuple[Case, ...]:
        return tuple(dict.fromkeys(case for step in Step for case in self._of(step)))

    def _of(self, step: Step) -> tuple[Case, ...]:
        return tuple(case for case in cases_of(step, self.face) if self._kinds is None or case.kind in self._kinds)


class Starved(AssertionError):  # noqa: N818 - a state of the machine, not of the engine
    """The machine gave the engine no whole pass within 3 s: it ended itself, as it must, and nothing can be judged."""


def tell_end(house: House) -> None:
    """Raise Starved or AssertionError, with where its core stood, if the engine has ended."""
    if (code := house.engine.process.poll()) is None:
        return
    text = (house.folder / "engine.err").read_text()
    core = [thread for thread in text.split("\n\n") if "runtime/core.py" in thread]
    kind = Starved if STARVED in text else AssertionError
    raise kind("\n".join([f"the engine ended with {code}", *(core[-1:] or text.splitlines()[-30:])]))


class Companies:
    """Plays scenes in one company per face, in a new one after a scene that left something behind."""

    def __init__(self, folder: Path, *, kinds: Collection[str] | None = None) -> None:
        self._folder, self._kinds = folder, kinds
        self._now: Company | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._now is not None:
            self._now.__exit__()
            self._now = None

    def play(self, step: Step, face: str) -> list[Row]:
        """Play a scene; once more if the machine was too busy for an engine."""
        try:
            return self._on(face).play(step)
        except Starved:
            return self._on(face).play(step)

    def _on(self, face: str) -> Company:
        if self._now is None or self._now.face != face or not self._now.sound:
            self.__exit__()
            self._now = Company(Path(tempfile.mkdtemp(dir=self._folder)), face, kinds=self._kinds)
        return self._now


class Scene:
    """A house, the trouble of each of its accounts, and the one run that goes through it."""

    def __init__(self, house: House, step: Step, face: str, cases: tuple[Case, ...]) -> None:
        self.house, self.step, self.face = house, step, face
        self.cases = {case.name: case for case in cases}
        self.people = People(house, self.cases, face)
        self.judge = Judge(house, step, self.cases, face)

    def play(self) -> list[Row]:
        """Enter, close, and judge."""
        house = self.house
        ids = {account.name: account.id for account in house.desk.accounts()}
        if self.step is Step.ENTRY:
            self._trouble("placeorder", action="SELL")
        if self.step is Step.CANCEL:
            for case in self.cases.values():
                self._fault("clip", "placeorder", case, action="SELL", fraction=PARTLY)
        run = house.execute(
            house.straddle(self.step, account_ids=[ids[name] for name in (*CALM, *self.cases)]), seen=[]
        )
        self.judge.run_id = self.people.run_id = run
        if self.step is Step.CANCEL:
            self._until(run, lambda view: all(self._clipped(name) for name in self.cases), "every entry is half filled")
            self._trouble("cancelorder")
        else:
            self._until(run, lambda view: view.state in {"open", *ENDED}, "the run is open")
            house.paper.clear_faults()
            self.judge.entered()
        self._before_the_exit(run)
        self.judge.closing()
        house.close(run)
        self._until(run, lambda view: view.state in ENDED, "the run is closed")
        house.paper.clear_faults()
        self.judge.outside(self.people.clear_up())
        return self.judge.rows()

    def _before_the_exit(self, run: int) -> None:
        view = self.house.run(run)
        assert view is not None
        call = min((p.symbol for p in view.positions), default="")
        match self.step:
            case Step.EXIT:
                self._trouble("placeorder", action="BUY")
            case Step.RETRY:
                for number, case in enumerate(self.cases.values()):
                    kind, count = (("reject", 1), ("rate_limit_429", 1))[number % 2]
                    self._fault(kind, "placeorder", case, symbol=call, action="BUY", count=count)
                self._trouble("placeorder", symbol=call, action="BUY")
            case Step.REPRICE:
                for case in self.cases.values():
                    self._fault("clip", "placeorder", case, symbol=call, action="BUY", fraction=PARTLY)
                self._trouble("modifyorder")
            case _:
                pass

    def _trouble(self, endpoint: str, **narrowed: str) -> None:
        """Let every account suffer its own from now on."""
        self.judge.trouble(endpoint)
        for case in self.cases.values():
            if case.is_token:
                self.house.paper.change(self.house.keys[case.name], token="dead")
            elif case.is_stream:
                self.house.paper.fault(case.kind, api_key=self.house.keys[case.name], **case.fields)
            elif case.endpoints:
                for book in case.endpoints:
                    self._fault(case.kind, book, case, **case.fields)
            else:
                self._fault(case.kind, endpoint, case, **{**narrowed, **case.fields})

    def _fault(self, kind: str, endpoint: str, case: Case, **fields: object) -> None:
        self.house.paper.fault(kind, endpoint, api_key=self.house.keys[case.name], **fields)

    def _clipped(self, name: str) -> bool:
        orders = [order for order in self.house.books(name)["orders"] if order["status"] == "open"]
        return any(0 < order["filled"] < order["quantity"] for order in orders)

    def _until(self, run: int, wanted: Callable[[RunView], bool], what: str) -> None:
        """Wait while people do their part; a scene that does not get there tells who holds it up."""
        deadline = time.monotonic() + PATIENCE
        while (view := self.house.run(run)) is None or not wanted(view):
            tell_end(self.house)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.step} on {self.face}: not reached: {what}\n{self.judge.stuck()}")
            self.people.act()
            time.sleep(LOOK_SECONDS)
