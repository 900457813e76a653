"""The options of ``python -m engine paper`` and ``python -m engine.paper``: one list for both."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a paper exchange can be told at its start."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file that keeps accounts and books")
    parser.add_argument("--replay", type=Path, help="CSV of 1-minute index bars")
    parser.add_argument("--date", type=date.fromisoformat, help="day of the CSV to replay, YYYY-MM-DD")
    parser.add_argument("--speed", type=float, default=1.0, help="bars a minute")
    parser.add_argument("--hold-replay", action="store_true", help="wait at the first bar until control starts it")
    parser.add_argument("--tick-seconds", type=float, help="pause between two pushes of prices")
    parser.add_argument("--auth-seconds", type=float, default=15.0, help="time a websocket has to authenticate")
    parser.add_argument("--ping-seconds", type=float, default=20.0, help="pause between two pings of a websocket")
    parser.add_argument("--control", action="store_true", help="open /control/ to loopback clients")
    parser.add_argument("--control-token", help="what X-Control-Token must say (default: PAPER_CONTROL_TOKEN)")
    parser.add_argument("--lifeline-fd", type=int, help="stop when this descriptor reads its end")


def serve_with(options: argparse.Namespace, *, control_token: str | None) -> None:
    """Serve until stopped. Raises OSError when the port is taken or the CSV cannot be read."""
    from engine.paper.server import serve  # noqa: PLC0415 - the server is loaded only to serve

    serve(
        host=options.host,
        port=options.port,
        seed=options.seed,
        state_path=options.state,
        replay=options.replay,
        replay_date=options.date,
        speed=options.speed,
        control=options.control,
        control_token=options.control_token or control_token,
        lifeline_fd=options.lifeline_fd,
        hold_replay=options.hold_replay,
        tick_seconds=options.tick_seconds,
        auth_seconds=options.auth_seconds,
        ping_seconds=options.ping_seconds,
    )
