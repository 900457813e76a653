"""The connection test says in words what is wrong, and never shows the key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from engine.services.connection import clean_host, clean_ws_url, probe
from engine.services.errors import InvalidInput

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
        ({"ping": (200, "<html>hello</html>")}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
        ({"ping": (501, "<html>Unsupported method</html>")}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
        ({"ping": (405, "<html>Not allowed</html>")}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
        ({"ping": (405, {"message": "Not allowed"})}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
        ({"ping": (404, {"message": "Not found"})}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
        ({"ping": (200, {"hello": "world"})}, "There is no OpenAlgo server at http://127.0.0.1:5000"),
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


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("HTTP://LocalHost:5000/", "http://localhost:5000"),
        ("http://algo.example.:80/login/x", "http://algo.example"),
        ("https://algo.example:443", "https://algo.example"),
        ("https://algo.example:80", "https://algo.example:80"),
        ("http://127.0.0.1:05000", "http://127.0.0.1:5000"),
        ("http://[0:0:0:0:0:0:0:1]:5000", "http://[::1]:5000"),
        ("http://[::FFFF:127.0.0.1]", "http://[::ffff:7f00:1]"),
        ("http://bücher.example:5000", "http://xn--bcher-kva.example:5000"),
        ("http://straße.example", "http://xn--strae-oqa.example"),
        ("http://open_algo:5000", "http://open_algo:5000"),
    ],
)
def test_a_server_has_one_address(typed: str, kept: str) -> None:
    assert clean_host(typed) == kept
    assert clean_host(kept) == kept


_NO_PLACE = [
    "x://:5000", "x://", "x://h:0", "x://h:65536", "x://h:-1", "x://h:port", "x://h:+5", "x://h:٥٠٠٠",
    "x://[::1", "x://[::zz]:5", "x://[fe80::1%25eth0]:5", "x://::1:5", "x://[::1]x:5", "x://a..b", "x://.a", "x://-a.b",
    "x://a b",
    "x://a\tb", "x://a\nb:5", "x://a\x00b", "x://a\u202eb", "x://a\\b", "x://a/\ud800", "x://u@h", "x://u:p@h",
    "x://@h", "x://h?a=b", "x://h?", "x://h#f", "x://h#", "x://127.1:5", "x://2130706433", "x://0x7f.0.0.1",
    "x://256.1.1.1", "x://xn--a.example", "x://" + "a" * 64 + ".example", "x://" + ".".join(["abcdefgh"] * 29),
    "x://h/" + "a" * 300, "x://a,b", "x://a%41", "ftp://h", "h:5000", "//h", "javascript:alert(1)", "x://\u2100.b",
]  # fmt: skip


@pytest.mark.parametrize("typed", _NO_PLACE)
def test_what_is_no_address_is_refused_by_name(typed: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(InvalidInput, match=r"^host: "):
            clean_host(typed.replace("x://", f"{scheme}://", 1))
    for scheme in ("ws", "wss"):
        with pytest.raises(InvalidInput, match=r"^ws_url: "):
            clean_ws_url(typed.replace("x://", f"{scheme}://", 1), host=HOST, broker="zerodha")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("WS://LocalHost:8765", "ws://localhost:8765"),
        ("wss://Algo.Example.:443/ws", "wss://algo.example/ws"),
        ("ws://[::0001]:80/", "ws://[::1]/"),
    ],
)
def test_a_stream_has_one_address(typed: str, kept: str) -> None:
    assert clean_ws_url(typed, host=HOST, broker="zerodha") == kept


def test_an_http_address_is_no_stream_and_a_stream_no_server() -> None:
    with pytest.raises(InvalidInput, match=r"^ws_url: begin with ws"):
        clean_ws_url("http://127.0.0.1:8765", host=HOST, broker="zerodha")
    with pytest.raises(InvalidInput, match=r"^host: begin with http"):
        clean_host("ws://127.0.0.1:8765")
