"""The wire of one account: httpx clients that never retry, never follow, and know whether a byte may have left."""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from engine.broker.timely import TimelyTransport, whole_answer_within

USER_AGENT = "algomirror"
LARGEST_BODY = 16 * 1024 * 1024
READING_KEEPALIVE_S = 20.0
SLOW_ANSWER_S = 30.0
"""How much longer than its first byte a whole answer may take: the instrument master is large, lines are slow."""
_HOST_NAME = re.compile(r"[0-9A-Za-z._:-]+", re.ASCII)
_FIRST_WRITE = "send_request_headers.started"
_BEFORE_ANY_WRITE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def _is_a_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# At DEBUG they print what a server sent, and servers echo keys; at INFO httpx names addresses, and one endpoint wants
# the key there. The filters keep silent also what somebody turns up by name.
for _name in (
    "httpx",
    "httpcore",
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
):
    logging.getLogger(_name).setLevel(logging.WARNING)
    logging.getLogger(_name).addFilter(_is_a_warning)

_context_lock = threading.Lock()
_contexts: dict[str, ssl.SSLContext] = {}


class WithheldError(Exception):
    """The last check before the first byte said no; the connection is closed unused."""


class BodyTooLargeError(Exception):
    """An answer beyond ``LARGEST_BODY``."""


def shared_ssl_context() -> ssl.SSLContext:
    """Return the one verifying TLS context of the process, built at first use: fifty of them cost 42 MB."""
    with _context_lock:
        if "verifying" not in _contexts:
            _contexts["verifying"] = httpx.create_ssl_context(trust_env=False)
        return _contexts["verifying"]


def _context_for(host: str, given: ssl.SSLContext | None) -> ssl.SSLContext:
    if given is not None:
        return given
    if host.startswith("https:"):
        return shared_ssl_context()
    with _context_lock:
        # Plain http never uses it; an empty one (it trusts nobody) keeps httpx from loading certificates.
        return _contexts.setdefault("unused", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def checked_host(host: str) -> str:
    """Return the server's base URL without trailing slash; raises ValueError naming ``host``.

    >>> checked_host("http://127.0.0.1:5000/")
    'http://127.0.0.1:5000'
    """
    try:
        url = httpx.URL(host.strip())
        name_is_sound = _HOST_NAME.fullmatch(url.raw_host.decode()) is not None
    except (httpx.InvalidURL, AttributeError, TypeError, ValueError):
        raise ValueError("host: not a URL") from None
    if url.scheme not in {"http", "https"}:
        raise ValueError("host: must begin with http:// or https://")
    if not name_is_sound:
        raise ValueError("host: names no server")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("host: the port is none")
    if url.userinfo:
        raise ValueError("host: must not contain a user name or password")
    if url.query or url.fragment:
        raise ValueError("host: must not contain a query or a fragment")
    return str(url).rstrip("/")


class Departure:
    """Watches one request leave: calls ``before_write`` once, after connecting and before the first byte.

    ``started`` turns true only when ``before_write`` has returned; until then no byte of the request can have left.
    """

    def __init__(self, before_write: Callable[[], None] | None = None) -> None:
        self.started = False
        self._before_write = before_write

    def trace(self, event: str, _info: dict[str, Any]) -> None:
        """Receive httpcore's trace events."""
        if event.endswith(_FIRST_WRITE):
            self.begin()

    def begin(self) -> None:
        """Ask ``before_write``, then count the request as leaving; raises WithheldError if it objects."""
        if self.started:
            return
        if self._before_write is not None:
            try:
                self._before_write()
            except Exception as error:  # noqa: BLE001 - whatever the check says, the bytes stay here
                # One type of our own: httpcore swallows its own WriteError at this place and would wait for an answer.
                raise WithheldError(f"{type(error).__name__}: {error}") from None
        self.started = True


class Wire:
    """The connections to one server: ``read`` for questions, ``place`` for orders.

    A transport of one's own (tests) has no trace events: ``before_write`` is then called before the transport is.
    """

    def __init__(
        self,
        host: str,
        *,
        transport: httpx.BaseTransport | None,
        ssl_context: ssl.SSLContext | None,
        connect_timeout: float,
    ) -> None:
        self._foreign = transport is not None and not isinstance(transport, httpx.HTTPTransport)
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._calls = 0
        self._closed = False
        context = _context_for(host, ssl_context)

        def client(keepalive: int) -> httpx.Client:
            own = TimelyTransport(context, keepalive=keepalive, keepalive_s=READING_KEEPALIVE_S)
            return httpx.Client(
                base_url=host,
                transport=own if transport is None else transport,
                trust_env=False,
                follow_redirects=False,
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
            )

        self._reading = client(8)
        # Every order has a connection of its own. The server may close an idle one in the instant of a send, and the
        # order's fate would be unknown; and what a server says twice would be taken for the next order's answer.
        self._placing = client(0)

    def read(self, path: str, payload: dict[str, Any], *, read_timeout: float) -> tuple[int, bytes]:
        """Status code and body; raises httpx's errors and BodyTooLargeError."""
        return self._exchange(self._reading, path, payload, read_timeout=read_timeout)

    def fetch(self, path: str, query: Mapping[str, str], *, read_timeout: float, largest: int = 0) -> tuple[int, bytes]:
        """Like ``read``, by GET and with the fields in the address."""
        return self._exchange(self._reading, path, query, method="GET", read_timeout=read_timeout, largest=largest)

    def place(
        self, path: str, payload: dict[str, Any], departure: Departure, *, read_timeout: float
    ) -> tuple[int, bytes]:
        """Like ``read``, with ``departure`` watching; raises WithheldError too."""
        return self._exchange(self._placing, path, payload, read_timeout=read_timeout, departure=departure)

    def nothing_left(self, departure: Departure, error: Exception) -> bool:
        """Whether this failure proves that no byte of the request left."""
        return not departure.started or (self._foreign and isinstance(error, _BEFORE_ANY_WRITE))

    def close(self) -> None:
        """Send nothing more; connections close when the last call on them has ended.

        Closing a socket under a thread that reads from it would let that thread read from whoever gets its number next.
        """
        with self._lock:
            self._closed = True
            idle = self._calls == 0
        if idle:
            self._close_all()

    def _close_all(self) -> None:
        self._reading.close()
        self._placing.close()

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                last = self._closed and self._calls == 0
            if last:
                self._close_all()

    def _exchange(
        self,
        client: httpx.Client,
        path: str,
        payload: Mapping[str, Any],
        *,
        read_timeout: float,
        departure: Departure | None = None,
        method: str = "POST",
        largest: int = 0,
    ) -> tuple[int, bytes]:
        timeout = httpx.Timeout(read_timeout, connect=self._connect_timeout, pool=self._connect_timeout)
        extensions = {} if departure is None else {"trace": departure.trace}
        fields: dict[str, Any] = {"params" if method == "GET" else "json": payload}
        with (
            self._call(),
            whole_answer_within(self._connect_timeout + read_timeout + SLOW_ANSWER_S),
            ExitStack() as answer,
        ):
            if self._foreign and departure is not None:
                departure.begin()
            response = answer.enter_context(
                client.stream(method, path, **fields, timeout=timeout, extensions=extensions)
            )
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > (largest or LARGEST_BODY):
                    raise BodyTooLargeError
            return response.status_code, bytes(body)
