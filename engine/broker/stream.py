"""The live stream of one account: one thread that stays connected, keeps the wanted prices subscribed, and reports.

The thread owns the connection. Everybody else talks to it through ``set_symbols`` and ``stop``; it talks back through
callbacks, which run in this thread and must be quick (put into an inbox and return).
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, assert_never

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from engine.broker import frames
from engine.broker.caller import utc_now
from engine.broker.complaints import Complaints, ConnectionEnded, LoginTurnedDown
from engine.broker.feed import (
    Connected,
    Connecting,
    Down,
    Instrument,
    LoginRefused,
    NotSubscribed,
    OrderPush,
    OrdersSubscribed,
    Stopped,
    StreamMode,
    StreamState,
    Subscribed,
    Tick,
)
from engine.broker.scrub import Secret
from engine.broker.subscriptions import Subscriptions
from engine.broker.transport import shared_ssl_context
from engine.broker.websocket import checked_url, open_websocket

_log = logging.getLogger(__name__)

_LOGIN_REFUSED = frozenset({"AUTHENTICATION_ERROR", "BROKER_ERROR"})


def boot_clock() -> float:
    """Return seconds since boot, sleep included where the system counts it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class OpenAlgoStream:
    """Streams prices and order pushes of one account.

    Prices come as ``Tick``, ``QuoteTick`` or ``DepthTick``, by the mode an instrument is wanted in.

    ``on_tick``, ``on_order`` and ``on_state`` run in the stream's thread; one that raises is reported as a
    ``Problem`` and costs nothing else. ``backoff`` are the pauses between attempts in seconds, the last one repeated,
    begun anew after a login that held for as long as the longest; ``refused_pause`` is the pause after a refused
    login, because servers ban addresses that keep knocking. A connection that is silent for ``ping_after`` seconds is
    asked for a sign of life, one silent for ``silent_limit`` is dropped. Raises ValueError naming ``ws_url`` or
    ``api_key``.
    """

    def __init__(
        self,
        ws_url: str,
        api_key: str,
        *,
        on_tick: Callable[[Tick], None],
        on_order: Callable[[OrderPush], None],
        on_state: Callable[[StreamState], None],
        label: str = "",
        wants_orders: bool = True,
        backoff: Sequence[float] = (0.2, 0.5, 1, 2, 5, 10),
        refused_pause: float = 30.0,
        ping_after: float = 5.0,
        silent_limit: float = 12.0,
        open_timeout: float = 5.0,
        login_timeout: float = 15.0,
        ask_again_after: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = boot_clock,
        wall_clock: Callable[[], datetime] = utc_now,
    ) -> None:
        key_is_sound = isinstance(api_key, str) and bool(api_key.strip())
        self._key = Secret(api_key if key_is_sound else "")
        del api_key
        self.label = self._key.scrub(label or str(ws_url))
        self._uri = checked_url(ws_url)
        if not key_is_sound:
            raise ValueError("api_key: is empty")
        if not backoff:
            raise ValueError("backoff: at least one pause")
        self._on_tick, self._on_order, self._on_state = on_tick, on_order, on_state
        self._wants_orders = wants_orders
        self._backoff, self._refused_pause = tuple(backoff), refused_pause
        self._ping_after, self._silent_limit = ping_after, silent_limit
        self._open_timeout, self._login_timeout = open_timeout, login_timeout
        self._ssl_context = ssl_context
        self._clock, self._wall_clock = clock, wall_clock
        self._poll = min(0.2, ping_after / 2)

        self._subscriptions = Subscriptions(ask_again_after)
        self._logged_in = False
        self._logged_in_at = 0.0
        self._connection: ClientConnection | None = None
        self._sock: socket.socket | None = None
        self._complaints = Complaints(self._key)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream {self.label}", daemon=True)

    def __repr__(self) -> str:
        return f"<OpenAlgoStream {self.label}>"

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def set_symbols(self, instruments: Iterable[Instrument], *, mode: StreamMode = StreamMode.LTP) -> None:
        """Want exactly these in one mode from now on, also after every reconnect; from any thread, never blocks.

        What is wanted in the other modes stays: one instrument can be streamed in several.
        """
        self._subscriptions.want(mode, instruments)

    def stop(self) -> None:
        """End the stream; returns within 2 s.

        A thread that is caught in connecting to a dead host ends by its own time-out, telling nothing but ``Stopped``.
        """
        self._stopping.set()
        connection, sock = self._connection, self._sock
        with suppress(OSError, WebSocketException):
            if connection is not None:
                connection.close()
            elif sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    # The thread

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            attempt += 1
            self._tell(Connecting(attempt))
            try:
                self._one_connection()
                break
            except LoginTurnedDown:
                reason, pause = "login refused", self._refused_pause
            except Exception as error:  # noqa: BLE001 - the stream outlives whatever ends a connection
                reason, pause = self._complaints.reason(error), 0.0
                if not isinstance(error, ConnectionEnded | OSError | WebSocketException):
                    self._problem("stream", type(error).__name__)
            if self._stopping.is_set():
                break
            if self._logged_in and self._clock() - self._logged_in_at >= max(self._backoff):
                attempt = 0
            pause = pause or self._backoff[min(max(attempt - 1, 0), len(self._backoff) - 1)]
            self._tell(Down(reason, pause))
            self._stopping.wait(pause)
        self._on_stopped()

    def _one_connection(self) -> None:
        """Connect, log in and listen until told to stop; every other end raises."""
        self._logged_in = False
        self._subscriptions.reset()
        try:
            connection = self._connection = self._connect()
            self._send(connection, {"action": "authenticate", "api_key": self._key.reveal()})
            self._listen(connection)
        finally:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._sock = None

    def _connect(self) -> ClientConnection:
        uri = parse_uri(self._uri)
        # A socket of our own: websockets would follow a redirect, and the key goes to whom it leads to.
        sock = self._sock = socket.create_connection((uri.host, uri.port), timeout=self._open_timeout)
        sock.settimeout(None)
        if self._stopping.is_set():  # stop() came before there was a socket for it to shut
            sock.close()
            raise ConnectionEnded("told to stop")
        context = (self._ssl_context or shared_ssl_context()) if uri.secure else None
        return open_websocket(self._uri, sock, ssl_context=context, open_timeout=self._open_timeout)

    def _listen(self, connection: ClientConnection) -> None:
        heard = begun = self._clock()
        asked_for_life = False
        while not self._stopping.is_set():
            try:
                message = connection.recv(timeout=self._poll)
            except TimeoutError:
                message = None
            now = self._clock()
            if message is not None:
                heard, asked_for_life = now, False
                self._handle(connection, frames.read_frame(message, now, self._wall_clock(), secret=self._key))
            if self._logged_in:
                self._subscribe(connection, now)
            elif now - begun > self._login_timeout:
                raise ConnectionEnded(f"no answer to the login within {self._login_timeout:g} s")
            if now - heard > self._silent_limit:
                raise ConnectionEnded(f"silent for {self._silent_limit:g} s")
            if now - heard > self._ping_after and not asked_for_life:
                self._send(connection, {"action": "ping", "timestamp": int(self._wall_clock().timestamp() * 1000)})
                asked_for_life = True

    def _handle(self, connection: ClientConnection, frame: frames.Frame) -> None:
        match frame:
            case Tick():
                self._call(self._on_tick, frame)
            case OrderPush():
                self._call(self._on_order, frame)
            case frames.Authenticated():
                self._logged_in, self._logged_in_at = True, self._clock()
                if self._wants_orders:
                    self._send(connection, {"action": "subscribe_orders"})
                self._tell(Connected(frame.broker))
            case frames.OrdersAcknowledged():
                self._tell(OrdersSubscribed())
            case frames.Acknowledged():
                self._acknowledge(frame)
            case frames.Failure():
                self._fail(frame)
            case frames.Unusable():
                self._problem(frame.kind, frame.reason)
            case frames.Other():
                pass
            case _:
                assert_never(frame)

    def _acknowledge(self, frame: frames.Acknowledged) -> None:
        self._subscriptions.acknowledge(frame.taken)
        if frame.taken:
            self._tell_subscribed()
        for instrument, reason in frame.refused.items():
            self._tell(NotSubscribed(instrument, reason))

    def _fail(self, frame: frames.Failure) -> None:
        if not self._logged_in and frame.code in _LOGIN_REFUSED:
            self._tell(LoginRefused(frame.code, frame.message))
            raise LoginTurnedDown
        if frame.code == "NOT_AUTHENTICATED":
            raise ConnectionEnded("the server forgot the login")
        self._problem(frame.code or "error", frame.message)

    def _subscribe(self, connection: ClientConnection, now: float) -> None:
        """Bring what is asked for in line with what is wanted."""
        due = self._subscriptions.due(now)
        for message in due.given_back:
            self._send(connection, message)
        if due.fewer:
            self._tell_subscribed()
        for message in due.asked_for:
            self._send(connection, message)

    # Talking

    @staticmethod
    def _send(connection: ClientConnection, message: dict[str, Any]) -> None:
        connection.send(json.dumps(message))

    def _tell_subscribed(self) -> None:
        taken = self._subscriptions.taken
        self._tell(Subscribed(frozenset(instrument for _, instrument in taken), taken))

    def _tell(self, state: StreamState) -> None:
        if self._stopping.is_set():
            return
        try:
            self._on_state(state)
        except Exception:  # noqa: BLE001 - nobody is left to report to
            _log.error("%s: on_state failed at %s", self.label, type(state).__name__)

    def _call(self, callback: Callable[[Any], None], message: Tick | OrderPush) -> None:
        if self._stopping.is_set():
            return
        try:
            callback(message)
        except Exception as error:  # noqa: BLE001 - one failing receiver must not end the stream of all
            self._problem("callback", f"{type(message).__name__}: {type(error).__name__}: {error}")

    def _problem(self, kind: str, detail: str) -> None:
        self._tell(self._complaints.problem(kind, detail))

    def _on_stopped(self) -> None:
        try:
            self._on_state(Stopped())
        except Exception:  # noqa: BLE001 - nobody is left to report to
            _log.error("%s: on_state failed at the end", self.label)
