"""Market data calls of the paper exchange answer as the recorded server did: status, shape, names, types, messages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from engine.paper.clock import IST
from tests.contract.paper_stage import KEY, Stage, difference, prepared, recordings
from tests.paper_server import PaperServer

ENDPOINTS = (
    "depth",
    "history",
    "intervals",
    "search",
    "instruments",
    "optionsymbol",
    "optiongreeks",
    "multioptiongreeks",
    "syntheticfuture",
)
DIFFERENT = {
    "depth.broker-token-expired": "told by the tests of faults: a broker's failure is scripted",
    "history.broker-rate-limited": "told by the tests of faults: a broker's failure is scripted",
    "history.no-data-weekend": "this exchange never closes; a day without data lies ahead (test below)",
    "optionsymbol.strike-beyond-chain": "more than 50 strikes are listed on each side; the words are in a test below",
    "optiongreeks.rate-limited": "limits are off on this stage; told by the tests of limits",
}
FIGURES = {
    "search.success": "Found ",
    "search.success-with-exchange": "Found ",
    "instruments.success-json-nfo": "Found ",
    "instruments.success-json-one-exchange": "Found ",
}


def _names() -> list[str]:
    return [name for name in recordings(ENDPOINTS) if name not in DIFFERENT]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with PaperServer(seed=3) as paper:
        yield Stage(paper)


def _today() -> datetime:
    return datetime.now(tz=IST)


def _recorded(stage: Stage, name: str) -> dict[str, Any]:
    """The recorded exchange on days of this month."""
    text = prepared(stage, name)
    for written, days in (("2026-11-20", 1), ("2026-11-02", 19)):
        text = text.replace(written, f"{_today() - timedelta(days=days):%Y-%m-%d}")
    return json.loads(text.replace(" DEC ", f" {stage.call_option[7:10]} "))


def _ask(stage: Stage, recorded: dict[str, Any]) -> httpx.Response:
    url = f"{stage.paper.url}{recorded['path']}"
    if recorded["method"] == "GET":
        return httpx.get(url, params=recorded.get("query"), timeout=10.0)
    return httpx.post(url, json=recorded["request"], timeout=10.0)


@pytest.mark.parametrize("name", _names())
def test_answer_has_the_recorded_form(stage: Stage, name: str) -> None:
    recorded = _recorded(stage, name)
    answer = _ask(stage, recorded)
    assert answer.status_code == recorded["status_code"], answer.text
    for header, value in recorded["response_headers"].items():
        assert answer.headers[header] == value
    if isinstance(recorded["response"], str):
        ours, theirs = (list(csv.reader(io.StringIO(text))) for text in (answer.text, recorded["response"]))
        assert ours[0] == theirs[0]
        assert theirs[1][:4] in [row[:4] for row in ours[1:]]
        return
    given = answer.json()
    assert difference(recorded["response"], given) is None
    if "message" in recorded["response"]:
        expected = FIGURES.get(name, recorded["response"]["message"])
        assert given["message"] == expected or (name in FIGURES and given["message"].startswith(expected))
    assert set(given) == set(recorded["response"])


def test_every_recording_of_these_endpoints_is_told() -> None:
    assert {name.split(".")[0] for name in _names()} == set(ENDPOINTS)
    assert set(DIFFERENT) <= set(recordings(ENDPOINTS))


def test_intervals_are_the_recorded_ones(stage: Stage) -> None:
    recorded = _recorded(stage, "intervals.success")
    assert _ask(stage, recorded).json() == recorded["response"]


def test_offset_beyond_the_strikes_is_refused_in_the_recorded_words(stage: Stage) -> None:
    recorded = _recorded(stage, "optionsymbol.strike-beyond-chain")
    recorded["request"]["strike_int"] = 500
    answer = _ask(stage, recorded)
    assert (answer.status_code, answer.json()) == (recorded["status_code"], recorded["response"])


def test_days_ahead_have_no_bars(stage: Stage) -> None:
    recorded = _recorded(stage, "history.no-data-weekend")
    days = [f"{_today() + timedelta(days=ahead):%Y-%m-%d}" for ahead in (1, 2)]
    recorded["request"] |= {"start_date": days[0], "end_date": days[1]}
    answer = _ask(stage, recorded)
    assert (answer.status_code, answer.json()) == (200, recorded["response"])


def test_daily_bars_stand_at_midnight_utc_of_their_date_and_others_at_their_start(stage: Stage) -> None:
    day = f"{_today() - timedelta(days=1):%Y-%m-%d}"
    body = {"apikey": KEY, "symbol": "RELIANCE", "exchange": "NSE", "start_date": day, "end_date": day}
    daily = stage.paper.call("history", interval="D", **body)["data"]
    assert [bar["timestamp"] for bar in daily] == [datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()]
    hourly = stage.paper.call("history", interval="1h", **body)["data"]
    midnight = datetime.fromisoformat(day).replace(tzinfo=IST).timestamp()
    assert [bar["timestamp"] for bar in hourly] == [midnight + 3600 * hour for hour in range(24)]


def test_history_of_more_days_than_one_call_may_ask_for_is_refused(stage: Stage) -> None:
    today = _today()
    body = {"apikey": KEY, "symbol": "NIFTY", "exchange": "NSE_INDEX", "end_date": f"{today:%Y-%m-%d}"}
    for interval, days in (("1m", 31), ("D", 101)):
        start = f"{today - timedelta(days=days):%Y-%m-%d}"
        answer = stage.paper.post("history", interval=interval, start_date=start, **body)
        assert answer.status_code == 400
        assert f"At most {days - 1} days of {interval} bars" in answer.json()["message"]["start_date"][0]
