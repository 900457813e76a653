"""The log of order calls: what came in, as tests of a client want to see it, in a memory that stays bounded."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

MOST_CALLS = 50_000
MOST_CHARACTERS = 64 * 1_048_576
"""Bodies of calls take so much together; the oldest calls are forgotten for new ones."""


@dataclass(slots=True)
class LoggedCall:
    """An order call as it came in: epoch seconds, endpoint, key, body without the key as JSON, status of the answer.

    ``status_code`` is 0 while the call is in hand and when the connection was cut.
    """

    at: float
    endpoint: str
    api_key: str
    body: str
    status_code: int = 0

    def document(self) -> dict[str, Any]:
        """Return the call as JSON; numbers that JSON does not have become their names."""
        body = json.loads(self.body, parse_constant=str)
        return {"at": self.at, "endpoint": self.endpoint, "body": body, "status_code": self.status_code}


@dataclass(slots=True)
class CallLog:
    """The last order calls of all accounts."""

    _calls: deque[LoggedCall] = field(default_factory=deque)
    _characters: int = 0

    def add(self, at: float, endpoint: str, api_key: str, row: dict[str, Any]) -> LoggedCall:
        """Remember a call; its ``status_code`` is set when it is answered."""
        body = json.dumps({name: value for name, value in row.items() if name != "apikey"})
        call = LoggedCall(at, endpoint, api_key, body)
        self._calls.append(call)
        self._characters += len(body)
        while len(self._calls) > MOST_CALLS or self._characters > MOST_CHARACTERS:
            self._characters -= len(self._calls.popleft().body)
        return call

    def of(self, api_key: str) -> list[dict[str, Any]]:
        """Return the calls of a key in the order of arrival, refused and dropped ones included."""
        return [call.document() for call in self._calls if call.api_key == api_key]
