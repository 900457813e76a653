"""The connection test says in words what is wrong, and never shows the key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from engine.services.connection import probe

HOST = "http://127.0.0.1:5000"
KEY = "made-up-key"
PONG = {"status": "success", "data": {"broker": "zerodha", "message": "pong"}}
LIVE = {"status": "success", "data": {"analyze_mode": False, "mode": "live", "total_logs": 0}}
ANALYZE = {"status": "success", "data": {"analyze_mode": True, "mode": "analyze", "total_logs": 0}}
FUNDS = {
    "status": "success",
    "data": {
        "availablecash": "500000.00", "collateral": "0.00", "m2mrealized": "0.00", "m2munrealized": "-293.10",
        "utiliseddebits": "9082.77",
    },
}  # fmt: skip
REFUSED = {"status": "error", "message": "Invalid openalgo apikey"}


def server(**answers: tuple[int, Any]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        status, body = answers[request.url.path.rsplit("/", 1)[1]]
        return httpx.Response(status, json=body) if not isinstance(body, str) else httpx.Response(status, text=body)

    return httpx.MockTransport(answer)


def test_a_good_server_names_broker_venue_and_funds() -> None:
    report = probe(HOST, KEY, transport=server(ping=(200, PONG), analyzer=(200, LIVE), funds=(200, FUNDS)))
    assert (report.ok, report.broker, report.mode, report.venue) == (True, "zerodha", "live", "live")
    assert (report.funds_model, report.funds_paise) == ("gross", 50_000_000 - 908_277)


def test_an_analyzer_account_is_net_whatever_the_broker() -> None:
    funds = FUNDS | {"mode": "analyze"}
    report = probe(HOST, KEY, transport=server(ping=(200, PONG), analyzer=(200, ANALYZE), funds=(200, funds)))
    assert (report.mode, report.venue, report.funds_model, report.funds_paise) == ("analyze", "live", "net", 50_000_000)


def test_the_paper_exchange_is_a_venue_of_its_own() -> None:
    pong = {"status": "success", "data": {"broker": "paper", "message": "pong"}}
    report = probe(
        "http://127.0.0.1:5056", KEY, transport=server(ping=(200, pong), analyzer=(200, LIVE), funds=(200, FUNDS))
    )
    assert (report.venue, report.funds_model) == ("paper:127.0.0.1:5056", "net")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"ping": (403, REFUSED)}, "refuses this API key"),
        ({"ping": (200, "<html>hello</html>")}, "not as OpenAlgo does"),
        ({"ping": (500, {"status": "error", "message": "boom"})}, "failed with 500"),
        ({"ping": (429, {"message": "50 per 1 second"})}, "asked too often"),
        (
            {"ping": (200, PONG), "analyzer": (200, LIVE), "funds": (200, {"status": "success", "data": {}})},
            "session of today has ended",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(answers: dict[str, tuple[int, Any]], words: str) -> None:
    report = probe(HOST, KEY, transport=server(**answers))
    assert not report.ok
    assert words in report.problem
    assert KEY not in report.problem


def test_nobody_at_the_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    report = probe(HOST, KEY, transport=httpx.MockTransport(refuse))
    assert "No server answers" in report.problem
