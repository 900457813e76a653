"""The fault matrix as a table of what was measured.

``python -m tests.faults.matrix [--step exit] [--face live] [--write docs/fault-matrix.md]`` plays the scenes, prints a
line per account and ends with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.cases import QUIET_ANSWERED, QUIET_UNANSWERED, Case
from tests.faults.judge import Row
from tests.faults.scenes import Companies, Step, cases_of

SCENES = {
    "analyze": (Step.ENTRY, Step.EXIT),
    "live": (Step.ENTRY, Step.EXIT, Step.RETRY, Step.REPRICE, Step.CANCEL),
}
"""What is played where: a live server's books carry no tags, so that everything there is the harder case."""

HEAD = """\
# Fault matrix

Every kind of trouble that the paper exchange can make ([faults.py](../engine/paper/faults.py)), at every step of a run,
as one account suffers it while the others go on. Written by `python -m tests.faults.matrix --write
docs/fault-matrix.md`; the same scenes run as [tests](../tests/faults/test_fault_matrix.py).

What every cell has to show, by the exchange's own books and its log of calls: the fault did happen; the account is flat
in the end; no position crossed zero; each unit left exactly once; no intent was sent twice, and none while an earlier
one of its class could still be carried out; P of the run is that of the exchange's trades, to the paisa; and accounts
without trouble sent four orders, heard no alarm and were out before a lost order was known to be lost.

- **entry**: the first order in. **exit**: the first order out. **retry**: the first order out is refused, the second
  one has the trouble. **re-price**: two of three lots of an order out rest, and changing its limit has the trouble.
  **cancel**: two of three lots of an order in rest when everything is closed, and taking it back has the trouble.
- A cell reads: orders in + orders out (+ changes and cancellations), seconds until all orders of that step were known,
  alarms. Seconds are those of one run on one machine, with quiet times of {unanswered} s (no answer) and {answered} s
  (an open answer) in place of 180 s and 10 s; they are not asserted.
  An exit order that failed and is tried again is told under the reason of its exit, here `by_hand`.
- ¹ A person approves the queued order at the broker and declares it. ² A person switches the server back to its mode.
  ³ A person logs in at the broker again. ⁴ The broker made two orders of one: the second is no run's, it is shown as
  outside and stays until a person closes it.

Measured {at:%Y-%m-%d %H:%M} UTC: {cells} cells, {wrong}.
"""
MARKS = {"queued": "¹", "mode_toggled": "²", "token_dead": "³", "duplicate": "⁴"}


def main() -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description="Play the fault matrix")
    parser.add_argument("--step", nargs="*", choices=[str(step) for step in Step])
    parser.add_argument("--face", choices=sorted(SCENES))
    parser.add_argument("--kind", nargs="*", help="only these kinds of trouble")
    parser.add_argument("--write", type=Path, help="the file that the table is written to; needs all scenes")
    parser.add_argument("--verbose", action="store_true", help="print what people were told")
    options = parser.parse_args()
    if options.write is not None and (options.step or options.face or options.kind):
        parser.error("--write needs all scenes: leave out --step, --face and --kind")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Companies(Path(folder), kinds=options.kind) as companies:
        for face, steps in SCENES.items():
            for step in steps:
                if options.face in {None, face} and (not options.step or step in options.step):
                    rows += _played(companies, step, face, verbose=options.verbose)
    if options.write is not None:
        options.write.write_text(table(rows), encoding="utf-8")
    return 1 if any(row.problems for row in rows) else 0


def table(rows: Sequence[Row]) -> str:
    """Return the rows as the page that people read."""
    columns = [(step, face) for face, steps in SCENES.items() for step in steps]
    cells = {(row.case, row.step, row.face): row for row in rows}
    cases: dict[str, Case | None] = dict.fromkeys(row.case for row in rows if row.kind == "")
    cases |= {case.name: case for face, steps in SCENES.items() for step in steps for case in cases_of(step, face)}
    wrong = sum(bool(row.problems) for row in rows)
    head = HEAD.format(
        unanswered=QUIET_UNANSWERED,
        answered=QUIET_ANSWERED,
        at=datetime.now(UTC),
        cells=len(rows),
        wrong=f"{wrong} of them wrong" if wrong else "none of them wrong",
    )
    lines = ["| trouble | " + " | ".join(f"{step}, {face}" for step, face in columns) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for name in cases:
        shown = [_cell(cells.get((name, step, face))) for step, face in columns]
        lines.append(f"| {name}{MARKS.get(name, '')} | " + " | ".join(shown) + " |")
    return f"{head}\n" + "\n".join(lines) + "\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return "·"
    calls = f"{row.entries} + {row.exits}" + (f" (+ {row.changes})" if row.changes else "")
    seconds = "" if row.seconds is None else f", {row.seconds:.1f} s"
    alarms = f", {', '.join(row.alarms)}" if row.alarms else ""
    return ("" if row.flat and not row.problems else "**wrong** ") + calls + seconds + alarms


def _played(companies: Companies, step: Step, face: str, *, verbose: bool) -> list[Row]:
    began = time.monotonic()
    rows = companies.play(step, face)
    for row in rows:
        _show(row, verbose=verbose)
    print(f"{step} on {face}: {time.monotonic() - began:.1f} s", flush=True)
    return rows


def _show(row: Row, *, verbose: bool) -> None:
    print(f"{row.step:8} {row.face:8} {row.case:26} suffered {row.suffered:2}  {_cell(row)}")
    for told in row.told if verbose else ():
        print(f"      {told}")
    for problem in row.problems:
        print(f"      wrong: {problem}")


if __name__ == "__main__":
    sys.exit(main())
