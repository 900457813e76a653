"""What tests of the risk page, the kill switch and the limits of the day share."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.desk import Desk
from engine.services.risk_views import DayLimitView
from engine.services.views import AccountView, LiveView
from tests import risk_sample
from tests.desk_factory import NOW, sample_live
from tests.pages.scene import Scene


def show(scene: Scene, accounts: list[AccountView], **changed: Any) -> LiveView:
    view = risk_sample.at_risk(sample_live(accounts, as_of=NOW)).model_copy(update=changed)
    scene.show(view)
    return view


def with_limits(monkeypatch: pytest.MonkeyPatch, *limits: DayLimitView) -> None:
    """Have the desk tell limits of the day as if they were stored so."""
    live = Desk.live
    monkeypatch.setattr(Desk, "live", lambda desk: live(desk).model_copy(update={"day_limits": list(limits)}))


def press(at: AppTest, label: str) -> AppTest:
    next(button for button in at.button if button.label == label).click()
    return at.run()


def bars(at: AppTest) -> list[tuple[int, str]]:
    return [(bar.proto.value, bar.proto.text) for bar in at.get("progress")]


def limit_of(account_id: int | None, profit: int | None, **fields: Any) -> DayLimitView:
    return DayLimitView(account_id=account_id, account="Ravi", profit_paise=profit, **fields)
