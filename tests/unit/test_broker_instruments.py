"""What one strange row does to an instrument master of a hundred thousand."""

import logging
from typing import Any

import pytest

from engine.broker.errors import BadAnswerError
from engine.domain.instruments import Exchange, InstrumentType
from tests.contract.client_stage import Replay, client_for, load


def replay(spoil: dict[str, Any]) -> Replay:
    exchange = load("search.success")
    exchange["response"]["data"][1] |= spoil
    return Replay(exchange)


@pytest.mark.parametrize("strange", [{"instrumenttype": "PERPFUT"}, {"exchange": "MARS", "instrumenttype": "EQ"}])
def test_a_row_of_an_unknown_kind_takes_no_other_away_and_is_told(
    strange: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    good = client_for(replay({})).search("NIFTY")
    with caplog.at_level(logging.WARNING):
        left = client_for(replay(strange)).search("NIFTY")
    assert left == good[:1] + good[2:]
    assert "left out" in caplog.text
    assert next(iter(strange.values())) in caplog.text


@pytest.mark.parametrize(
    ("spoil", "named"),
    [({"instrumenttype": None}, "instrumenttype"), ({"exchange": ""}, "exchange"), ({"lotsize": "many"}, "lotsize"),
     ({"strike": float("nan")}, "strike"), ({"expiry": "soon"}, "expiry"), ({"tick_size": True}, "tick_size")],
)  # fmt: skip
def test_a_spoiled_row_spoils_the_read(spoil: dict[str, Any], named: str) -> None:
    with pytest.raises(BadAnswerError, match=rf"data\[1\]\.{named}: "):
        client_for(replay(spoil)).search("NIFTY")


def test_an_index_is_one_whatever_kind_a_plugin_gives_it() -> None:
    rows = client_for(replay({"exchange": "NSE_INDEX", "instrumenttype": "AMXIDX"})).search("NIFTY")
    assert (rows[1].exchange, rows[1].instrument_type) == (Exchange.NSE_INDEX, InstrumentType.INDEX)


def test_one_symbol_of_an_unknown_kind_is_an_error() -> None:
    exchange = load("symbol.success-option")
    exchange["response"]["data"]["instrumenttype"] = "PERPFUT"
    with pytest.raises(BadAnswerError, match="instrumenttype: 'PERPFUT'"):
        client_for(Replay(exchange)).symbol("X", Exchange.NFO)
