"""What ends a connection of a stream and what goes wrong on it, told without the key and in bounded kinds."""

from __future__ import annotations

from collections import Counter

from websockets.exceptions import ConnectionClosed

from engine.broker.feed import Problem
from engine.broker.scrub import Secret

_MOST_KINDS, _LONGEST_KIND = 50, 40
"""Kinds of problem that are counted apart: a server may call its errors what it likes."""


class ConnectionEnded(Exception):  # noqa: N818 - the end of a connection, not always an error
    """This connection is over."""


class LoginTurnedDown(ConnectionEnded):
    """The server does not let us in."""


class Complaints:
    """Counts the problems of one stream by kind."""

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._counts: Counter[str] = Counter()

    def problem(self, kind: str, detail: str) -> Problem:
        """Return one more problem of this kind; kinds beyond what is counted apart are ``other``."""
        if kind not in self._counts and (len(kind) > _LONGEST_KIND or len(self._counts) >= _MOST_KINDS):
            kind = "other"
        self._counts[kind] += 1
        return Problem(kind, self._counts[kind], self._key.scrub(detail))

    def reason(self, error: Exception) -> str:
        """Return why a connection ended."""
        if isinstance(error, ConnectionClosed) and error.rcvd is not None:
            return self._key.scrub(f"closed by the server: {error.rcvd.code} {error.rcvd.reason}".strip())
        text = str(error) if isinstance(error, ConnectionEnded) else f"{type(error).__name__}: {error}"
        return self._key.scrub(text)
