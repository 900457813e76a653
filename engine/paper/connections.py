"""Connections that the application can reach: a fault may cut them as a network does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

TRANSPORT = "paper.transport"
"""Where a connection's transport stands in the scope of its requests."""
NOT_UTF8 = 1007
DRAIN_SECONDS = 5.0
LARGEST_UNREAD = 4 * 1_048_576
"""A peer that pings and reads nothing of so many bytes is cut: pongs wait for nobody."""


class CuttableProtocol(H11Protocol):
    """HTTP that lets the application see its transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pass the transport on with every request."""
        super().connection_made(transport)
        self.app: Any = _with_transport(self.app, transport)


class CuttableSocketProtocol(WebSocketsSansIOProtocol):
    """Websocket that lets the application see its transport, and that refuses a frame so that the peer hears why."""

    is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the transport on with the socket."""
        super().connection_made(transport)
        self.app: Any = _with_transport(self.app, transport)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on; a text that is no UTF-8 closes the socket, which is no fault of the server's."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(NOT_UTF8, "text frames are UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, unless too much waits for this peer already."""
        if self.transport.get_write_buffer_size() > LARGEST_UNREAD:
            reset(self.transport)
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message; one that is empty and not the last says nothing."""
        if event.data or event.fin:
            super().handle_cont(event)

    def data_received(self, data: bytes) -> None:
        """Read on; of a peer whose frame was refused only its end is of interest."""
        if not self.is_refused:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Say why a frame is refused. What is still coming is taken in, or the peer would see a reset instead."""
        self.is_refused = True
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.write_eof()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(DRAIN_SECONDS, self.transport.close)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once with a TCP reset: no goodbye, and what was not sent yet is lost."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _with_transport(app: Any, transport: asyncio.BaseTransport) -> Any:
    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, TRANSPORT: transport}, receive, send)

    return with_transport
