"""A Supertrend exit in the whole house: a real engine reads the exchange's history and shows what it watches."""

from __future__ import annotations

from pathlib import Path

from tests.house import House
from tests.paper_server import wait_until


def test_a_run_is_watched_on_bars_of_the_exchanges_history(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 4_000_000.0, "B"),)) as house:
        followed = {}
        for series in ("combined", "underlying"):
            strategy = house.straddle(series, supertrend={"series": series, "interval": "1m"})
            followed[series] = house.execute(strategy)
        for series, run_id in followed.items():
            house.until_open(run_id)

            def shown(run_id: int = run_id) -> object:
                run = house.run(run_id)
                return None if run is None else run.supertrend

            view = wait_until(shown, lambda view: view is not None and view.bars > 0, seconds=30)  # type: ignore[attr-defined]
            assert view.state in {"watching", "warming"}, view  # type: ignore[attr-defined]
            assert view.source == "history", view  # type: ignore[attr-defined]
            assert (view.state == "watching") is (view.bars >= 50), (series, view)  # type: ignore[attr-defined]
            found = wait_until(lambda run_id=run_id: house.desk.supertrend_series(run_id), bool, seconds=10)
            assert found is not None
            # the newest 400 at most, the open one among them; a bar may have closed since the view was read
            closed, still_open = sum(bar.closed for bar in found.bars), sum(not bar.closed for bar in found.bars)
            bars = view.bars  # type: ignore[attr-defined]
            assert closed in {min(400 - still_open, bars), min(400 - still_open, bars + 1)}
            assert all(bar.low <= bar.close <= bar.high for bar in found.bars)
        assert house.desk.supertrend_series(999) is None
