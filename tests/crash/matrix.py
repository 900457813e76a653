"""Kill engines at many places and judge what became of their runs.

    python -m tests.crash.matrix                                       a sample of 60
    python -m tests.crash.matrix --all --write docs/crash-matrix.md    every case, with the table
    python -m tests.crash.matrix --all --seconds 1800 --write FILE     failpoints first, then lines, seeded
    python -m tests.crash.matrix --case 'fly.exit@send-left#3'         one case, with the engine's log
    python -m tests.crash.matrix --broken acts-first                   broken on purpose: cases must fail

Ends with 1 when a case failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.crash.breakages import BREAKAGES
from tests.crash.cases import Case, all_cases, sample
from tests.crash.flows import FLOWS
from tests.crash.stand import Result, stand
from tests.crash.table import table

SAMPLE = 60
SEED = 20261123
BATCH = 100
"""Cases on one exchange: it walks through all its accounts, and those of ended scenes stay."""


def main(argv: Sequence[str] | None = None) -> int:
    """Play what was asked for; return the exit code."""
    options = _parser().parse_args(argv)
    began = time.monotonic()
    results: list[Result] = []

    def each(result: Result) -> None:
        results.append(result)
        if result.outcome != "held" or options.case or options.verbose:
            print(f"{len(results):5} {result.outcome:11} {result.seconds:5.1f} s  {result.case}", flush=True)
        for problem in result.problems:
            print(f"      {problem}", flush=True)
        if result.problems:
            print(f"      {result.replay}{f' --broken {options.broken}' if options.broken else ''}", flush=True)
        if result.log and (options.case or options.logs):
            print(result.log, flush=True)
        if len(results) % BATCH == 0:
            print(f"{len(results):5} played in {time.monotonic() - began:.0f} s", flush=True)

    cases, there = _cases(options)
    for start in range(0, len(cases), BATCH):
        if options.seconds and time.monotonic() - began > options.seconds:
            break
        with stand() as stage:
            stage.play(cases[start : start + BATCH], width=options.width, broken=options.broken, each=each)
    seconds = time.monotonic() - began
    outcomes = Counter(result.outcome for result in results)
    print(f"{len(results)} cases in {seconds:.0f} s: " + ", ".join(f"{n} {word}" for word, n in outcomes.most_common()))
    if options.write is not None:
        options.write.write_text(table(results, of=there), encoding="utf-8")
    return 1 if outcomes["failed"] else 0


def _cases(options: argparse.Namespace) -> tuple[list[Case], int]:
    """Return what to play, and how many cases there are."""
    if options.case:
        return [Case.named(name) for name in options.case], len(options.case)
    with stand() as stage:
        cases = all_cases(stage.record(options.flow or FLOWS))
    chosen = list(cases) if options.all else sample(cases, options.sample, options.seed)
    if options.all and options.seconds:
        random.Random(options.seed).shuffle(chosen)
        chosen.sort(key=lambda case: not case.is_failpoint)
    chosen = [case for case in chosen if options.only in str(case)]
    print(f"{len(cases)} cases were recorded, {len(chosen)} are played", flush=True)
    return chosen, len(cases)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.matrix", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every case")
    which.add_argument("--case", action="append", metavar="NAME", help="this case; may be given several times")
    which.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help="so many cases (60)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the sample")
    parser.add_argument("--flow", action="append", choices=list(FLOWS), help="only this workflow; several times")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name has this in it")
    parser.add_argument("--seconds", type=float, metavar="S", help="begin nothing new after so many seconds")
    parser.add_argument("--width", type=int, default=6, metavar="N", help="so many at the same time (6)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--broken", default="", choices=["", *BREAKAGES], help="break the engine on purpose")
    parser.add_argument("--logs", action="store_true", help="print what a failed case left in tables and log")
    parser.add_argument("--verbose", action="store_true", help="print the cases that held as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
