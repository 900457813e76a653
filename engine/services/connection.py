"""The test of an account's connection: what its OpenAlgo server says, in words for a person."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from engine.broker.client import OpenAlgoClient
from engine.broker.errors import (
    BadAnswerError,
    BrokerError,
    KeyRefusedError,
    RateLimitedError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
)
from engine.broker.funds import available_paise, model_for_broker
from engine.broker.models import Mode
from engine.domain.instruments import LIVE
from engine.services.errors import InvalidInput
from engine.services.views import ConnectionReport

PAPER_BROKER = "paper"
LIVE_WS_PORT = 8765

Probe = Callable[[str, str], ConnectionReport]
"""(host, api key) → what the server said; replaced in tests that need no server."""


def clean_host(host: str) -> str:
    """Return the address of an OpenAlgo server without a trailing slash.

    Raises InvalidInput for other schemes than http and https, credentials, queries and addresses without a host name.

    >>> clean_host(" http://127.0.0.1:5000/ ")
    'http://127.0.0.1:5000'
    """
    text = host.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidInput("host", "this is not an address; example: http://127.0.0.1:5000") from error
    if parts.scheme not in {"http", "https"}:
        raise InvalidInput("host", "begin with http:// or https://; example: http://127.0.0.1:5000")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("host", "no user name or password in the address")
    if not parts.hostname or any(character.isspace() for character in text):
        raise InvalidInput("host", "the address has no host name; example: http://127.0.0.1:5000")
    if parts.query or parts.fragment or port == 0:
        raise InvalidInput("host", "only scheme, host name and port; example: http://127.0.0.1:5000")
    return text


def clean_ws_url(ws_url: str, *, host: str, broker: str) -> str:
    """Return the address of the price stream; an empty one is derived from the host.

    The paper exchange serves both on one port; OpenAlgo's own WebSocket server listens on 8765.

    >>> clean_ws_url("", host="http://127.0.0.1:5056", broker="paper")
    'ws://127.0.0.1:5056/'
    >>> clean_ws_url("", host="https://algo.example:5000", broker="zerodha")
    'ws://algo.example:8765'
    """
    text = ws_url.strip()
    if not text:
        parts = urlsplit(host)
        name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        if broker == PAPER_BROKER:
            return f"ws://{_netloc(host)}/"
        return f"ws://{name}:{LIVE_WS_PORT}"
    parts = urlsplit(text)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise InvalidInput("ws_url", "begin with ws:// or wss://, or leave it empty")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("ws_url", "no user name or password in the address")
    return text


def venue_of(host: str, broker: str) -> str:
    """Return the venue behind a server (RULES 1): ``paper:HOST:PORT`` or ``live``.

    >>> venue_of("http://127.0.0.1:5056", "paper"), venue_of("http://127.0.0.1:5000", "zerodha")
    ('paper:127.0.0.1:5056', 'live')
    """
    return f"paper:{_netloc(host)}" if broker == PAPER_BROKER else LIVE


def probe(host: str, api_key: str, *, transport: httpx.BaseTransport | None = None) -> ConnectionReport:
    """Ask a server for ping, mode and funds; never raises for what the server does, the report says it in words.

    ``transport`` stands in for the network in tests.
    """
    try:
        client = OpenAlgoClient(host, api_key, transport=transport)
    except ValueError as error:
        return ConnectionReport(ok=False, problem=str(error))
    try:
        broker = client.ping().broker.strip().lower()
        status = client.analyzer_status()
        report = ConnectionReport(ok=False, broker=broker, mode=str(status.mode), venue=venue_of(host, broker))
        model = model_for_broker("analyzer" if status.mode is Mode.ANALYZE else broker)
        try:
            funds = client.funds()
        except BadAnswerError:
            problem = (
                f"OpenAlgo answers, but {broker} gives no funds: its session of today has ended. "
                "Log in to the broker in OpenAlgo, then test again."
            )
            return report.model_copy(update={"problem": problem})
        return report.model_copy(
            update={"ok": True, "funds_paise": available_paise(funds, model), "funds_model": str(model)}
        )
    except BrokerError as error:
        return ConnectionReport(ok=False, problem=_words(error, host))
    finally:
        client.close()


def _words(error: BrokerError, host: str) -> str:
    match error:
        case KeyRefusedError():
            return (
                f"The server at {host} refuses this API key. Either the key is wrong, or the broker's session in "
                "OpenAlgo has ended: log in to the broker there, copy the key again, then test again."
            )
        case UnreachableError():
            return f"No server answers at {host}. Check address and port, and that OpenAlgo is running."
        case TimedOutError():
            return f"The server at {host} took the connection but did not answer in time."
        case RateLimitedError():
            return f"The server at {host} is asked too often at the moment; test again in a few seconds."
        case ServerFailedError():
            return f"The server at {host} failed with {error.status_code}. Its log says why."
        case RefusedError() if error.status_code == 404:
            return f"A server answers at {host}, but it is not OpenAlgo. Check address and port."
        case RefusedError():
            return f"The server at {host} refused the test ({error.status_code}): {error.message}"
        case _:
            return f"A server answers at {host}, but not as OpenAlgo does. Check address and port."


def _netloc(host: str) -> str:
    parts = urlsplit(host)
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{name}:{port}"
