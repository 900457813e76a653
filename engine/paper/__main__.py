"""Command line of the paper exchange alone: ``python -m engine.paper --port 8766 --control``."""

from __future__ import annotations

import argparse
import os

from engine.paper.command import add_options, serve_with


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m engine.paper", description="A paper exchange on OpenAlgo's wire.")
    add_options(parser)
    serve_with(parser.parse_args(), control_token=os.environ.get("PAPER_CONTROL_TOKEN") or None)


if __name__ == "__main__":
    main()
