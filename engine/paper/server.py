"""The server process: one loop, one port for REST and websocket."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from datetime import date
from pathlib import Path

import uvicorn

from engine.paper.app import Rest, build
from engine.paper.catalogue import INDICES
from engine.paper.connections import CuttableProtocol, CuttableSocketProtocol
from engine.paper.control import Control
from engine.paper.exchange import PaperExchange
from engine.paper.market import Market
from engine.paper.replay import Replay, read_day
from engine.paper.storage import Storage
from engine.paper.stream import AUTH_SECONDS, Stream

TICK_SECONDS = 0.5
REPLAY_TICK_SECONDS = 0.1
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 2
PING_SECONDS = 20.0
LARGEST_FRAME = 1_048_576


def serve(
    *,
    host: str,
    port: int,
    seed: int,
    state_path: Path | None,
    replay: Path | None,
    replay_date: date | None,
    speed: float,
    control: bool,
    control_token: str | None,
    lifeline_fd: int | None = None,
    hold_replay: bool = False,
    tick_seconds: float | None = None,
    auth_seconds: float = AUTH_SECONDS,
    ping_seconds: float = PING_SECONDS,
) -> None:
    """Run the paper exchange until it is told to stop (SIGTERM, SIGINT, or the lifeline's end).

    Prices come from a generator with ``seed``; with ``replay`` and ``replay_date`` from that day's 1-minute bars, at
    ``speed`` times the clock, beginning now unless ``hold_replay``. ``port`` 0 takes a free one; the line printed when
    the server is ready names it. ``tick_seconds`` is the pause between ticks (default 0.5, 0.1 in a fast replay). A
    websocket has ``auth_seconds`` to authenticate; it is pinged every ``ping_seconds`` and cut when it is silent for as
    long again.
    Raises ValueError for a replay without a date or without bars of it, OSError if the address is taken.
    """
    pause = tick_seconds or (REPLAY_TICK_SECONDS if replay is not None and speed > 1.0 else TICK_SECONDS)
    market = Market(seed, replay=_replay(replay, replay_date, speed, hold=hold_replay), watched_every=pause)
    storage = Storage(state_path)
    exchange = PaperExchange(market=market, storage=storage)
    stream = Stream(exchange, tick_seconds=pause, auth_seconds=auth_seconds)
    rest = Rest(exchange)
    routes = Control(rest, stream, control_token).routes() if control else []
    server = uvicorn.Server(
        uvicorn.Config(
            build(rest, stream, routes),
            http=CuttableProtocol,
            ws=CuttableSocketProtocol,
            ws_max_size=LARGEST_FRAME,
            ws_ping_interval=ping_seconds,
            ws_ping_timeout=ping_seconds,
            ws_per_message_deflate=False,
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    listener = _listener(host, port)
    if lifeline_fd is not None:
        threading.Thread(target=_watch, args=(lifeline_fd, server), name="lifeline", daemon=True).start()
    threading.Thread(target=_announce, args=(server, listener), name="ready", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        storage.close()


def _replay(file: Path | None, day: date | None, speed: float, *, hold: bool) -> Replay | None:
    if file is None:
        return None
    if day is None:
        raise ValueError("a replay needs the date of the day to replay")
    replayed = read_day(file, day)
    if not replayed.bars.keys() & INDICES.keys():
        raise ValueError(f"{file.name} has none of the indices {', '.join(INDICES)}")
    return Replay(replayed, speed=speed, clock=time.time, hold=hold)


def _listener(host: str, port: int) -> socket.socket:
    """Return a bound socket; connections accepted from it inherit TCP_NODELAY."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host, port))
    return listener


def _announce(server: uvicorn.Server, listener: socket.socket) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.005)
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"paper exchange ready on http://{host}:{port}\n")
    sys.stdout.flush()


def _watch(descriptor: int, server: uvicorn.Server) -> None:
    while os.read(descriptor, 1):
        pass
    server.should_exit = True
