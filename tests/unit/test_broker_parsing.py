"""What the recordings cannot tell apart because two figures happen to be equal in them, or a case never came."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from engine.broker.errors import BadAnswerError
from engine.broker.parsing import account, calendar, gtt, market, options
from tests.contract.client_stage import Replay, client_for, load

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def test_each_kind_of_profit_has_its_own_figure() -> None:
    row = {
        "symbol": "X", "exchange": "NFO", "product": "NRML", "quantity": 65, "pnl": 1.0, "unrealized_pnl": 2.0,
        "today_realized_pnl": 3.0, "total_pnl_today": 4.0,
    }  # fmt: skip
    sums = {"total_pnl": 5, "total_pnl_today": 6, "total_unrealized_pnl": 7, "total_today_realized_pnl": 8}
    book = account.symbol_pnl({"data": [row], **sums}, NOW, NOW)
    told = book.rows[0]
    assert (told.pnl, told.unrealized_pnl, told.today_realized_pnl, told.total_pnl_today) == (1, 2, 3, 4)
    assert (book.total_pnl, book.total_pnl_today) == (5, 6)
    assert (book.total_unrealized_pnl, book.total_today_realized_pnl) == (7, 8)


def test_each_fund_has_its_own_figure() -> None:
    sent = {"availablecash": "1.01", "collateral": 2, "utiliseddebits": "3", "m2munrealized": -4, "m2mrealized": "-5"}
    funds = account.funds({"data": sent, "mode": "analyze"}, NOW, NOW)
    assert (funds.availablecash, funds.collateral, funds.utiliseddebits) == (101, 200, 300)
    assert (funds.m2munrealized, funds.m2mrealized, funds.mode) == (-400, -500, "analyze")


def test_a_strike_that_is_listed_on_one_side_only_has_none_on_the_other() -> None:
    answer = load("optionchain.success-2-strikes")["response"]
    answer["chain"][0]["pe"] = None
    del answer["chain"][1]["ce"]
    chain = options.option_chain(answer, NOW, NOW)
    assert (chain.rows[0].ce is None, chain.rows[0].pe) == (False, None)
    assert (chain.rows[1].ce, chain.rows[1].pe is None) == (None, False)


@pytest.mark.parametrize("kind", ["FUT", "EQ", "XX"])
def test_greeks_of_what_is_no_option_are_an_error(kind: str) -> None:
    answer = load("optiongreeks.success")["response"] | {"option_type": kind}
    with pytest.raises(BadAnswerError, match="option_type"):
        options.option_greeks(answer)


def test_expiries_come_nearest_first_in_whatever_order_they_are_sent() -> None:
    found = options.expiries({"data": ["29-DEC-26", "01-DEC-26", "05-JAN-27"]})
    assert found == [date(2026, 12, 1), date(2026, 12, 29), date(2027, 1, 5)]


def test_a_trigger_has_three_times_and_they_are_not_mixed_up() -> None:
    row = load("gttorderbook.live-success")["response"]["data"][0]
    row |= {"created_at": "first", "updated_at": "second", "expires_at": "third"}
    told = gtt.triggers({"data": [row]})[0]
    assert (told.created_at, told.updated_at, told.expires_at) == ("first", "second", "third")


@pytest.mark.parametrize("end", [1_795_405_500_000, 1_795_405_499_999])
def test_a_session_that_ends_before_it_begins_is_none(end: int) -> None:
    answer = {"data": [{"exchange": "NSE", "start_time": 1_795_405_500_000, "end_time": end}]}
    with pytest.raises(BadAnswerError, match="end_time"):
        calendar.timings(answer, date(2026, 11, 23))


def test_quotes_of_several_are_matched_by_name_and_not_by_place() -> None:
    answer = load("multiquotes.success")["response"]
    answer["results"].reverse()
    asked: list[Any] = [(row["symbol"], market.Exchange(row["exchange"])) for row in reversed(answer["results"])]
    found = market.multiquotes(answer, [*asked, ("NOSUCH", market.Exchange.NFO)])
    for row in answer["results"]:
        told = found[row["symbol"], market.Exchange(row["exchange"])]
        assert not isinstance(told, str)
        assert told.ltp == row["data"]["ltp"]
    assert found["NOSUCH", market.Exchange.NFO] == "not in the answer"


@pytest.mark.parametrize("flag", ["true", 1, None])
def test_a_mode_that_is_neither_true_nor_false_is_named(flag: Any) -> None:
    with pytest.raises(BadAnswerError, match=r"^analyze_mode: expected true or false"):
        account.analyzer_status({"data": {"analyze_mode": flag, "mode": "analyze"}})


@pytest.mark.parametrize(("analyze", "mode"), [(True, "live"), (False, "analyze")])
def test_a_mode_that_contradicts_itself_is_none(analyze: bool, mode: str) -> None:
    with pytest.raises(BadAnswerError, match="contradicts"):
        account.analyzer_status({"data": {"analyze_mode": analyze, "mode": mode}})


def test_a_server_that_did_not_change_its_mode_has_not_done_what_it_was_told() -> None:
    client = client_for(Replay(load("analyzertoggle.to-analyze")))
    assert client.analyzer_toggle(analyze=True, confirm_whole_server=True).analyze_mode
    with pytest.raises(BadAnswerError, match="not the mode that was asked for"):
        client.analyzer_toggle(analyze=False, confirm_whole_server=True)
