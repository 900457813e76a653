"""Whatever happens in whatever order, the laws stand after every step (DESIGN 5).

Hypothesis chooses the moves; a failure shows what happened, and prints the blob that replays it
(``@reproduce_failure``). ``SIMULATION_EXAMPLES`` asks for more examples than the gate's, and for others each time;
``SIMULATION_SHRINK=1`` has Hypothesis look for the few moves that matter, which takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.simulation import moves
from tests.simulation.floor import Floor
from tests.simulation.moves import Move
from tests.stage import FLY, SOLD

EXAMPLES = int(os.environ.get("SIMULATION_EXAMPLES", "20"))
STEPS = int(os.environ.get("SIMULATION_STEPS", "30"))
SHRINK = os.environ.get("SIMULATION_SHRINK") == "1"
OFTEN = settings(
    phases=list(Phase) if SHRINK else [Phase.explicit, Phase.reuse, Phase.generate],
    database=None,
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize="SIMULATION_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


class EngineInTrouble(RuleBasedStateMachine):
    """One engine after the other over brokers, databases and people that do what they like."""

    accounts: ClassVar[int] = 1
    legs: ClassVar[tuple[tuple[str, str, str, float], ...]] = FLY

    floor: Floor | None = None

    @initialize(
        stop=st.booleans(),
        lots=st.sampled_from((1, 2)),
        tags=st.booleans(),
        pushes=st.booleans(),
        sold_leg_failure=st.sampled_from(("hold", "unwind")),
    )
    def begin_the_day(self, *, stop: bool, lots: int, tags: bool, pushes: bool, sold_leg_failure: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="floor-"))
        self.floor = Floor(
            self.folder,
            accounts=self.accounts,
            legs=self.legs,
            limits={"max_loss": 3_000.0} if stop else None,
            lots=lots,
            tags=tags,
            pushes=pushes,
            sold_leg_failure=sold_leg_failure,
        )
        self.floor.wait(1.0)

    @invariant()
    def laws_stand(self) -> None:
        if self.floor is not None:
            self.floor.laws.after_step()

    def teardown(self) -> None:
        """Lift every trouble: what was begun comes to its end, exactly."""
        if self.floor is None:
            return
        try:
            self.floor.end()
        finally:
            self.floor.close_floor()
            shutil.rmtree(self.folder)


def _rule(move: Move) -> Callable[..., None]:
    def happen(self: EngineInTrouble, data: st.DataObject) -> None:
        def pick(choices: Sequence[Any]) -> Any:
            return data.draw(st.sampled_from(list(choices)))

        assert self.floor is not None
        move(self.floor, pick)

    happen.__name__ = move.__name__
    happen.__doc__ = move.__doc__
    return rule(data=st.data())(happen)


for _move, _weight in moves.MOVES.items():
    for _number in range(min(_weight, 3)):
        setattr(EngineInTrouble, f"{_move.__name__}_{_number}", _rule(_move))


class TwoAccounts(EngineInTrouble):
    """A straddle on two accounts: one account's trouble stays its own."""

    accounts = 2
    legs = SOLD


@pytest.mark.timeout(120 + EXAMPLES * 5 + SHRINK * 600)
@pytest.mark.parametrize("machine", [EngineInTrouble, TwoAccounts])
def test_laws_stand_whatever_happens(machine: type[EngineInTrouble]) -> None:
    run_state_machine_as_test(machine, settings=OFTEN)
