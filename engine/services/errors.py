"""Errors of the use cases: each says what happened and what the reader can do.

ServiceError
├── InvalidInput       a value that cannot be accepted; ``field`` names it, nothing was changed
├── NotFound           no such thing, or it belongs to somebody else
├── Refused            the present state forbids it
├── TooManyRequests    the limit of requests a minute is used up
├── Unavailable        the database does not answer; nothing is known, nothing was changed
└── ConnectionFailed   a server did not answer as it should
"""

from __future__ import annotations


class ServiceError(Exception):
    """A use case that did not happen; the text is meant for the person who asked."""


class InvalidInput(ServiceError):  # noqa: N818 - named for what it says, like the domain's words
    """A value that cannot be accepted: ``field`` says which, ``reason`` why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFound(ServiceError):  # noqa: N818
    """No such thing, or it belongs to somebody else: the answer is the same."""


class Refused(ServiceError):  # noqa: N818
    """The present state forbids it; the text says what stands in the way."""


class TooManyRequests(ServiceError):  # noqa: N818
    """The limit of requests a minute is used up."""


class Unavailable(ServiceError):  # noqa: N818
    """The database does not answer: what it holds is unknown, not empty."""


class ConnectionFailed(ServiceError):  # noqa: N818
    """A server did not answer as it should."""
