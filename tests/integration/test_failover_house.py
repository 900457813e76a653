"""The house with a primary whose stream dies, freezes or falls mute: prices go on from the next account, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, select

from engine.store import tables
from tests.house import House
from tests.paper_server import wait_until

PRIMARY = "Asha"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as house:
        yield house


def failovers(house: House) -> list[str]:
    with house.database.read() as session:
        rows = session.exec(
            select(tables.RiskEvent).where(tables.RiskEvent.kind == "failover").order_by(col(tables.RiskEvent.id))
        )
        return [row.message for row in rows]


def giver(house: House) -> str:
    feeds = house.desk.live().feeds
    return feeds[0].account if feeds else ""


@pytest.mark.parametrize(("kind", "seconds"), [("stream_cut", 6.0), ("stream_silence", 12.0), ("stream_frozen", 20.0)])
def test_prices_come_from_the_next_account_and_the_stop_fires(house: House, kind: str, seconds: float) -> None:
    run = house.execute(house.straddle(max_loss=20_000.0))
    house.until_open(run)
    wait_until(lambda: giver(house), lambda name: name == PRIMARY, seconds=10)
    house.paper.fault(kind, "stream", seconds=120.0, api_key=house.keys[PRIMARY])
    wait_until(lambda: giver(house), lambda name: name not in {"", PRIMARY}, seconds=seconds)
    told = wait_until(lambda: failovers(house), bool, seconds=3)
    assert f"instead of {PRIMARY}" in told[0]
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 20)
    house.paper.clear_faults()
    assert closed.exit_reason == "max_loss"
    house.assert_clean(run)
    assert len(failovers(house)) == 1


def test_prices_come_back_to_the_primary_after_thirty_seconds(house: House) -> None:
    run = house.execute(house.straddle())
    house.until_open(run)
    wait_until(lambda: giver(house), lambda name: name == PRIMARY, seconds=10)
    house.paper.fault("stream_cut", "stream", seconds=6.0, api_key=house.keys[PRIMARY])
    wait_until(lambda: giver(house), lambda name: name not in {"", PRIMARY}, seconds=6)
    wait_until(lambda: giver(house), lambda name: name == PRIMARY, seconds=60)
    away, back = wait_until(lambda: failovers(house), lambda told: len(told) == 2, seconds=3)
    assert f"instead of {PRIMARY}" in away
    assert f"come from {PRIMARY} again" in back
