"""Command line of the paper exchange alone: ``python -m engine.paper --port 8766 --control``."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from engine.paper.server import serve


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m engine.paper", description="A paper exchange on OpenAlgo's wire.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file that keeps accounts and books")
    parser.add_argument("--replay", type=Path, help="CSV of 1-minute index bars")
    parser.add_argument("--date", type=date.fromisoformat, help="day of the CSV to replay, YYYY-MM-DD")
    parser.add_argument("--speed", type=float, default=1.0, help="bars a minute")
    parser.add_argument("--hold-replay", action="store_true", help="wait at the first bar until control starts it")
    parser.add_argument("--tick-seconds", type=float)
    parser.add_argument("--control", action="store_true", help="open /control/ to loopback clients")
    parser.add_argument("--control-token", help="what X-Control-Token must say")
    parser.add_argument("--lifeline-fd", type=int, help="stop when this descriptor reads its end")
    options = parser.parse_args()
    if options.replay is not None and options.date is None:
        parser.error("--replay needs --date")
    serve(
        host=options.host,
        port=options.port,
        seed=options.seed,
        state_path=options.state,
        replay=options.replay,
        replay_date=options.date,
        speed=options.speed,
        control=options.control,
        control_token=options.control_token,
        lifeline_fd=options.lifeline_fd,
        hold_replay=options.hold_replay,
        tick_seconds=options.tick_seconds,
    )


if __name__ == "__main__":
    main()
