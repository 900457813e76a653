"""Connections whose whole answer must be here in time: a server that sends byte after byte keeps no thread for ever.

httpx bounds the silence between two bytes, not the answer. What bounds the answer is set per call and thread.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

_call = threading.local()


@contextmanager
def whole_answer_within(seconds: float) -> Iterator[None]:
    """Bound what this thread reads from ``TimelyTransport`` inside the block; too late raises httpx.ReadTimeout."""
    before = getattr(_call, "ends", None)
    _call.ends = time.monotonic() + seconds
    try:
        yield
    finally:
        _call.ends = before  # a check before the first byte may ask a question of its own


class TimelyTransport(httpx.HTTPTransport):
    """httpx's transport over connections that know when the call has to end."""

    def __init__(self, context: ssl.SSLContext, *, keepalive: int, keepalive_s: float) -> None:
        super().__init__(verify=context, trust_env=False)
        # The only place where httpx takes a network backend is the pool itself.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=keepalive,
            keepalive_expiry=keepalive_s,
            network_backend=_Backend(),
        )


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._real.connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, real: httpcore.NetworkStream) -> None:
        self._real = real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        ends = getattr(_call, "ends", None)
        if ends is not None:
            left = ends - time.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout("the answer came too slowly")
            timeout = left if timeout is None else min(timeout, left)
        return self._real.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._real.write(buffer, timeout)

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._real.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)
