"""Opening one WebSocket to a server: plain frames, no redirect followed, no frame ever printed."""

from __future__ import annotations

import logging
import socket
import ssl

from websockets.exceptions import InvalidURI
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from engine.broker.transport import USER_AGENT

# websockets prints every frame at DEBUG, the one with the key too: its logger is ours, unregistered and mute.
_mute = logging.Logger("websockets", logging.CRITICAL)  # noqa: LOG001 - a registered one could be turned up
_mute.addHandler(logging.NullHandler())

_LARGEST_FRAME = 4 * 1024 * 1024


def open_websocket(
    url: str, sock: socket.socket, *, ssl_context: ssl.SSLContext | None, open_timeout: float
) -> ClientConnection:
    """Return a connection over a socket that stands already; raises what ``websockets`` raises."""
    return connect(
        url,
        sock=sock,
        ssl=ssl_context,
        compression=None,
        user_agent_header=USER_AGENT,
        proxy=None,
        open_timeout=open_timeout,
        ping_interval=None,
        close_timeout=0.5,
        max_size=_LARGEST_FRAME,
        max_queue=4096,
        logger=_mute,
    )


def checked_url(ws_url: str) -> str:
    """Return the address without blanks around it; raises ValueError naming ``ws_url``.

    >>> checked_url(" ws://127.0.0.1:8765 ")
    'ws://127.0.0.1:8765'
    """
    try:
        uri = parse_uri(ws_url.strip())
    except (InvalidURI, ValueError, AttributeError):
        raise ValueError("ws_url: must be ws://host:port or wss://host:port") from None
    if uri.username is not None or uri.password is not None:
        raise ValueError("ws_url: must not contain a user name or password")
    return ws_url.strip()
