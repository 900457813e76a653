"""A short straddle through the whole house: sized, sent, watched and taken out, judged by the exchange's books."""

from __future__ import annotations

from pathlib import Path

from tests.house import House


def test_straddle_is_entered_on_three_accounts_and_taken_out_by_its_max_loss(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        opened = house.until_open(run)
        lots = {account.account: account.lots for account in opened.accounts}
        assert len(set(lots.values())) > 1
        for name, count in lots.items():
            assert sorted(house.net(name).values()) == [-65 * count, -65 * count], name
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        closed = house.until_closed(run)
        assert closed.state == "closed"
        house.assert_clean(run)
        event = next(event for event in house.desk.risk_events() if event.kind == "max_loss")
        assert event.value_paise is not None
        assert event.value_paise <= -2_000_000
        assert {leg["account"] for leg in event.knew["legs"]} == set(house.keys)
