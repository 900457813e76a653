"""Cards of runs: legs that wait to enter again, lots that did not fill, lock and trail in words."""

from __future__ import annotations

import pytest

from engine.services.drafts import LimitsDraft
from engine.services.lock_words import lock_words
from tests.pages.risk_scene import show
from tests.pages.scene import Scene, texts


@pytest.mark.parametrize("page", ["desk", "positions", "risk"])
def test_a_leg_that_waits_to_enter_again_says_for_what_and_how_often(risky: Scene, page: str) -> None:
    said = texts(risky.open(page))
    assert "**Leg 1, Asha** waits for **₹148.35 or below** to enter 26000 CE again (now ₹171.20)" in said
    assert "1 of 2 re-entries left · until 14:00:00" in said
    assert "**Leg 2, Ravi** waits for its turn: a fresh strike, at once · 2 of 3 re-entries left" in said
    assert "not before 12:00:40 · until the end of the day · :orange[held up: an exit of the run is active]" in said


def test_legs_on_their_way_in_say_so(risky: Scene) -> None:
    view = show(risky, risky.desk.accounts())
    first, second = view.runs[0].reentries
    moving = [first.model_copy(update={"state": "entering"}), second.model_copy(update={"state": "reading"})]
    show(risky, risky.desk.accounts(), runs=[view.runs[0].model_copy(update={"reentries": moving}), view.runs[1]])
    said = texts(risky.open("risk"))
    assert "is entering 26000 CE again · 1 of 2 re-entries left after this one" in said
    assert "is choosing its fresh strike · 2 of 3 re-entries left after this one" in said


def test_an_account_that_entered_less_than_planned_says_how_much(risky: Scene) -> None:
    said = texts(risky.open()).replace("\\", "")
    assert "Ravi :orange[1 of 2 lots]" in said
    assert "Asha 3 lots" in said
    assert "Ravi did not enter its legs evenly: leg 1: 2 of 2, leg 2: 1 of 2 lots" in said
    at = risky.open("positions")
    (rows, _condor) = [frame.value for frame in at.table if "State" in frame.value]
    assert dict(zip(rows["Account"], rows["Lots"], strict=True)) == {
        "Asha": "3",
        "Ravi": "1\u00a0of\u00a02",
        "Meera": "4",
    }
    assert "leg 1: 2 of 2, leg 2: 1 of 2 lots" in texts(at).replace("\\", "")


def test_positions_stand_by_account_in_few_columns_with_the_age_of_their_prices(risky: Scene) -> None:
    at = risky.open("positions")
    shown = [frame.value for frame in at.table if "LTP" in frame.value]
    assert len(shown) == 4
    assert all(list(frame.columns) == ["Leg", "Qty", "P", "LTP", "Average"] for frame in shown)
    said = texts(at)
    assert "**Ravi** · :small[:gray[prices now]]" in said
    assert "**Asha** · :small[:orange[26400 CE unconfirmed, 18 s ago]]" in said
    assert "NIFTY23NOV2626000CE, NIFTY23NOV2626000PE · NRML" in said


def test_lock_and_trail_is_told_on_the_risk_page(risky: Scene) -> None:
    view = show(risky, risky.desk.accounts())
    words = lock_words(LimitsDraft(lock_reach=4_000, lock_keep=1_000, lock_step=500, lock_rise=250))
    limits = view.runs[0].limits.model_copy(update={"trailing": "lock_and_trail", "trailing_words": words})
    show(risky, risky.desk.accounts(), runs=[view.runs[0].model_copy(update={"limits": limits}), view.runs[1]])
    assert "Lock and trail: Once the run has made ₹4,000, it leaves when" in texts(risky.open("risk"))
    assert "(trailing, lock and trail)" in texts(risky.open())
