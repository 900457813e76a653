"""The engine and the paper exchange, run from the console."""

from __future__ import annotations

import argparse
import errno
import os
import sys

from engine.cli.door import DONE, LEASE_HELD, CommandLineError
from engine.paper.command import serve_with
from engine.settings import get_settings


def run(options: argparse.Namespace) -> int:
    """Trade until stopped."""
    from engine.runtime.bootstrap import configure_logging, run_engine
    from engine.runtime.lease import LeaseHeldError
    from engine.services.journal import LeaseLostError

    settings = get_settings()
    configure_logging(settings, "algomirror.log")
    try:
        run_engine(
            settings,
            lifeline_fd=options.lifeline_fd,
            wait_seconds=options.standby,
            say=lambda line: print(line, flush=True),
        )
    except (LeaseHeldError, LeaseLostError) as error:
        raise CommandLineError(str(error), LEASE_HELD) from error
    sys.stdout.flush()
    os._exit(DONE)  # workers may still listen for late answers: nothing waits for them
    return DONE


def paper(options: argparse.Namespace) -> int:
    """Serve a paper exchange."""
    try:
        serve_with(options, control_token=os.environ.get("PAPER_CONTROL_TOKEN") or None)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        taken = f"port {options.port} of {options.host} is taken: stop what uses it, or give another with --port"
        raise CommandLineError(taken) from error
    return DONE
