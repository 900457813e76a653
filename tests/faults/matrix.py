"""The fault matrix as a table, from real runs: ``python -m tests.faults.matrix [--step exit] [--write docs/fault-matrix.md]``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.faults.judge import Row
from tests.faults.scenes import Company, Step

SCENES = {
    "analyze": (Step.ENTRY, Step.EXIT),
    "live": (Step.ENTRY, Step.EXIT, Step.RETRY, Step.REPRICE, Step.CANCEL),
}
"""What is played where: a live server's books carry no tags, so that everything there is the harder case."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", nargs="*")
    parser.add_argument("--face")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--without", nargs="*", default=())
    options = parser.parse_args()
    for face, steps in SCENES.items():
        wanted = [step for step in steps if not options.step or step in options.step]
        if wanted and options.face in {None, face}:
            with tempfile.TemporaryDirectory() as folder, Company(Path(folder), face, without=options.without) as company:
                for step in wanted:
                    began = time.monotonic()
                    for row in company.play(step):
                        show(row)
                    print(f"{step} {face}: {time.monotonic() - began:.1f} s")


def show(row: Row) -> None:
    taken = "-" if row.seconds is None else f"{row.seconds:.1f}"
    print(f"{row.step:8} {row.face:8} {row.case:26} fired {row.suffered} sent {row.entries}/{row.exits}/{row.changes} "
          f"{taken:>5} s {'flat' if row.flat else 'OPEN'} {','.join(row.alarms)}")
    for problem in row.problems:
        print(f"      !! {problem}")


if __name__ == "__main__":
    main()
