"""What people are shown of a part of a run that would leave: whole lots, and no cover of what stays sold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.services.part_views import leaving
from engine.services.views import LimitView, PositionView, RunView

CE, PE, HEDGE = "NIFTY23NOV2626000CE", "NIFTY23NOV2626000PE", "NIFTY23NOV2626500CE"


def row(leg: int, symbol: str, quantity: int, account_id: int = 1) -> PositionView:
    return PositionView(
        run_id=1, account_id=account_id, account="Asha", leg_index=leg, symbol=symbol, exchange="NFO", product="NRML",
        quantity=quantity, average_price=None, ltp=None, ltp_age_seconds=None, confirmed=False, realised_paise=0,
        profit_paise=None, lot_size=65,
    )  # fmt: skip


def run(*positions: PositionView) -> RunView:
    return RunView(
        id=1, strategy_id=1, strategy="Any", version=1, venue="live", state="open", reason="",
        created_at=datetime(2026, 11, 23, tzinfo=UTC), entered_at=None, closed_at=None, profit_paise=None, problem="",
        limits=LimitView(), accounts=[], positions=list(positions),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("held", "asked", "leaves"),
    [
        ([row(1, CE, -195)], {"share": 50}, {CE: -130}),
        ([row(1, CE, -65)], {"share": 1}, {CE: -65}),
        ([row(1, CE, -195), row(2, PE, -130)], {"legs": [2], "share": 50}, {PE: -65}),
        ([row(1, CE, -195), row(2, PE, -130)], {}, {CE: -195, PE: -130}),
        ([row(1, CE, -195), row(2, PE, 0)], {"share": 100}, {CE: -195}),
        ([row(1, CE, -130), row(2, HEDGE, 130)], {"share": 50}, {CE: -65, HEDGE: 65}),
        ([row(1, CE, -130), row(2, HEDGE, 130)], {"legs": [2], "share": 50}, {}),
        ([row(1, PE, -130), row(2, HEDGE, 130)], {"legs": [2], "share": 50}, {HEDGE: 65}),
        ([row(1, CE, -130), row(1, CE, -65, account_id=2)], {"account_ids": [2], "share": 50}, {CE: -65}),
    ],
)
def test_what_would_leave(held: list[PositionView], asked: dict[str, object], leaves: dict[str, int]) -> None:
    assert {one.symbol: one.quantity for one in leaving(run(*held), **asked)} == leaves  # type: ignore[arg-type]
