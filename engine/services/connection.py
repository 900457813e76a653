"""The test of an account's connection: what its OpenAlgo server says, in words for a person."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

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
from engine.broker.funds import FundsModel, available_paise, model_for_broker
from engine.broker.models import Funds, Mode
from engine.domain.errors import SizingError
from engine.domain.instruments import LIVE
from engine.services.errors import InvalidInput
from engine.services.views import ConnectionReport

PAPER_BROKER = "paper"
LIVE_WS_PORT = 8765
NO_OPENALGO = "There is no OpenAlgo server at {host}: something else answers there. Check address and port."
LONGEST_HOST = 255
LONGEST_WS_URL = 300
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

Probe = Callable[[str, str], ConnectionReport]
"""(host, api key) → what the server said; replaced in tests that need no server."""


def clean_host(host: str) -> str:
    """Return the address of an OpenAlgo server in the one way it is stored: scheme, name in lower case, odd port.

    One server has one address, so that accounts of the same server are known as such. A path is dropped. Raises
    InvalidInput for other schemes than http and https, credentials, queries, and names or ports that cannot be.

    >>> clean_host(" HTTP://Algo.Example.:5000/login "), clean_host("https://algo.example:443")
    ('http://algo.example:5000', 'https://algo.example')
    """
    parts = _split("host", host, ("http", "https"), example="http://127.0.0.1:5000", longest=LONGEST_HOST)
    return f"{parts.scheme}://{_place('host', parts)}"


def clean_ws_url(ws_url: str, *, host: str, broker: str) -> str:
    """Return the address of the price stream; an empty one is derived from the host.

    The paper exchange serves both on one port; OpenAlgo's own WebSocket server listens on 8765. A host behind TLS has
    a proxy in front of it, which publishes the stream as ``/ws``, so that the key never leaves in the clear. A given
    path stays.

    >>> clean_ws_url("", host="http://127.0.0.1:5056", broker="paper")
    'ws://127.0.0.1:5056/'
    >>> clean_ws_url("", host="http://192.168.1.5:5000", broker="zerodha")
    'ws://192.168.1.5:8765'
    >>> clean_ws_url("", host="https://algo.example", broker="zerodha")
    'wss://algo.example:443/ws'
    >>> clean_ws_url("WSS://Algo.Example.:443/ws", host="https://algo.example", broker="zerodha")
    'wss://algo.example/ws'
    """
    if ws_url.strip():
        parts = _split("ws_url", ws_url, ("ws", "wss"), example="ws://127.0.0.1:8765", longest=LONGEST_WS_URL)
        return f"{parts.scheme}://{_place('ws_url', parts)}{parts.path}"
    if broker == PAPER_BROKER:
        return f"ws://{_netloc(host)}/"
    if urlsplit(host).scheme == "https":
        return f"wss://{_netloc(host)}/ws"
    name = urlsplit(host).hostname or ""
    return f"ws://{f'[{name}]' if ':' in name else name}:{LIVE_WS_PORT}"


def _split(field: str, address: str, schemes: tuple[str, ...], *, example: str, longest: int) -> SplitResult:
    """Take an address apart; raises InvalidInput for what does not belong into one."""
    text = address.strip()
    if len(text) > longest:
        raise InvalidInput(field, f"at most {longest} characters")
    # urlsplit drops tabs and line ends silently: what it sees must be what was typed.
    if any(character.isspace() or not character.isprintable() for character in text) or "\\" in text:
        raise InvalidInput(field, "no spaces, backslashes or unseen characters in the address")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidInput(field, f"this is not an address; example: {example}") from error
    if parts.scheme not in schemes:
        raise InvalidInput(field, f"begin with {schemes[0]}:// or {schemes[1]}://; example: {example}")
    if "@" in parts.netloc:
        raise InvalidInput(field, "no user name or password in the address")
    if "?" in text or "#" in text:
        raise InvalidInput(field, f"no question mark and nothing behind a #; example: {example}")
    if not parts.path.isascii():
        raise InvalidInput(field, "only plain letters, digits and signs in the path")
    return parts


def _place(field: str, parts: SplitResult) -> str:
    """Return name and port in the one way they are written, the scheme's own port left out."""
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidInput(field, "the port is a number from 1 to 65535") from error
    name = _name(field, parts.hostname or "")
    before, _, typed_port = parts.netloc.rpartition("]")[2].partition(":")
    if name.startswith("[") and before:
        _no_name(field)
    if port == 0 or not typed_port.isascii():
        raise InvalidInput(field, "the port is a number from 1 to 65535")
    return name if port in {None, _DEFAULT_PORTS[parts.scheme]} else f"{name}:{port}"


def _name(field: str, hostname: str) -> str:
    """Return a host name as the name service knows it, an IPv6 address in brackets."""
    try:
        if ":" in hostname:
            return f"[{ipaddress.IPv6Address(hostname).compressed}]" if "%" not in hostname else _no_name(field)
        name = httpx.URL(f"http://{hostname}").raw_host.decode("ascii").lower().removesuffix(".")
        labels = name.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(ipaddress.IPv4Address(name))  # 127.1 and 2130706433 are other spellings of 127.0.0.1
        for label in labels:
            _ = httpx.URL(f"http://{label}").host  # reads what xn-- stands for, or fails
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidInput(field, f"{hostname!r} is no host name or IP address") from error
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return _no_name(field)
    return name


def _no_name(field: str) -> NoReturn:
    raise InvalidInput(field, "the address has no host name that can be; example: http://127.0.0.1:5000")


def venue_of(host: str, broker: str) -> str:
    """Return the venue behind a server (RULES 1): ``paper:HOST:PORT`` or ``live``.

    >>> venue_of("http://127.0.0.1:5056", "paper"), venue_of("http://127.0.0.1:5000", "zerodha")
    ('paper:127.0.0.1:5056', 'live')
    """
    return f"paper:{_netloc(host)}" if broker == PAPER_BROKER else LIVE


def venue_name(venue: str) -> str:
    """Return a venue as people read it.

    >>> venue_name("paper:127.0.0.1:5056"), venue_name("live")
    ('the paper exchange at 127.0.0.1:5056', 'the live exchanges')
    """
    return (
        f"the paper exchange at {venue.removeprefix('paper:')}" if venue.startswith("paper:") else "the live exchanges"
    )


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
        return report.model_copy(update={"ok": True, "funds_paise": _usable(funds, model), "funds_model": str(model)})
    except BrokerError as error:
        return ConnectionReport(ok=False, problem=_words(error, host))
    finally:
        client.close()


def _usable(funds: Funds, model: FundsModel) -> int:
    """Return what sizing could use; an account in debit can be connected and has nothing to use."""
    try:
        return available_paise(funds, model)
    except SizingError:
        return 0


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
        case BadAnswerError():
            return NO_OPENALGO.format(host=host)
        case ServerFailedError() | RefusedError() if error.status_code in {404, 405, 501}:
            return NO_OPENALGO.format(host=host)
        case ServerFailedError():
            return f"The server at {host} failed with {error.status_code}. Its log says why."
        case RefusedError():
            return f"The server at {host} refused the test ({error.status_code}): {error.message}"
        case _:
            return f"The test of {host} failed: {error.what}"


def _netloc(host: str) -> str:
    parts = urlsplit(host)
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{name}:{port}"
