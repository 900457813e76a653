"""What books looked like: a few of the last answers of each account, for faults that show an old one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BOOKS = frozenset({"orderbook", "tradebook", "positionbook", "holdings", "funds"})
KEPT = 30
APART_SECONDS = 0.5


@dataclass(slots=True)
class History:
    """Answers of book calls by account (its ``book``) and endpoint: at most one each half second, the last 30."""

    _answers: dict[tuple[str, str], deque[tuple[float, bytes]]] = field(default_factory=dict)

    def keep(self, book: str, endpoint: str, body: bytes, at: float) -> None:
        """Remember an answer of one of the ``BOOKS``, if the last one is not from just now."""
        answers = self._answers.setdefault((book, endpoint), deque(maxlen=KEPT))
        if not answers or abs(at - answers[-1][0]) >= APART_SECONDS:
            answers.append((at, body))

    def before(self, book: str, endpoint: str, at: float) -> bytes | None:
        """Return the newest answer that is not younger than ``at``, else the oldest kept one, else None."""
        answers = self._answers.get((book, endpoint))
        if not answers:
            return None
        return next((body for kept_at, body in reversed(answers) if kept_at <= at), answers[0][1])
