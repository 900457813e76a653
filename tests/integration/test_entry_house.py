"""Entries of a real engine at the real exchange: limits that time out, and a hedge that one broker refuses."""

from __future__ import annotations

from pathlib import Path

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from tests.house import House
from tests.paper_server import wait_until


def test_limits_that_rest_are_cancelled_at_their_time_out_and_the_rest_goes_at_market(tmp_path: Path) -> None:
    legs = [
        LegDraft(
            underlying="NIFTY", action="SELL", instrument_type=kind, expiry_choice="next_week",
            price_type="LIMIT", limit_offset=20.0,
        )
        for kind in ("CE", "PE")
    ]  # fmt: skip
    with House(tmp_path) as house:
        draft = StrategyDraft(
            name="At a limit", account_ids=[account.id for account in house.desk.accounts()], legs=legs,
            limits=LimitsDraft(), fixed_lots=1, limit_seconds=2.0, limit_timeout="market",
        )  # fmt: skip
        run = house.execute(house.desk.save_strategy(draft).id)
        house.until_open(run, 40)
        for name in house.keys:
            by_symbol: dict[str, list[tuple[str, str, int]]] = {}
            for order in house.books(name)["orders"]:
                kinds = (order["price_type"], order["status"], order["quantity"])
                by_symbol.setdefault(order["symbol"], []).append(kinds)
            quantities = {abs(quantity) for quantity in house.net(name).values()}
            assert len(by_symbol) == 2, name
            assert len(quantities) == 1, name
            (quantity,) = quantities
            for kinds in by_symbol.values():
                assert sorted(kinds) == [("LIMIT", "cancelled", quantity), ("MARKET", "complete", quantity)], name
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)


def test_hedge_refused_by_one_broker_of_three_leaves_that_account_flat_and_the_others_whole(tmp_path: Path) -> None:
    hedge = LegDraft(
        underlying="NIFTY", action="BUY", instrument_type="CE", expiry_choice="next_week",
        strike_kind="otm", strike_value=6,
    )  # fmt: skip
    sold = hedge.model_copy(update={"action": "SELL", "strike_kind": "atm", "strike_value": 0.0})
    with House(tmp_path) as house:
        house.paper.fault("reject", "placeorder", api_key=house.keys["Ravi"], count=1, message="no margin")
        run = house.execute(house.straddle("Spread", legs=[sold, hedge]))
        house.until_open(run)
        assert {name: len(house.net(name)) for name in house.keys} == {"Asha": 2, "Ravi": 0, "Meera": 2}
        assert len(house.books("Ravi")["orders"]) <= 1
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)
        wait_until(lambda: [house.net(name) for name in house.keys], lambda nets: not any(nets))
