"""What can go wrong when a broker's server is asked something; order placement has outcomes instead (``answers``).

BrokerError
├── UnreachableError     no connection, or it broke before the whole answer was here
├── TimedOutError        connected, but no whole answer in time
├── BadAnswerError       an answer that cannot be parsed, or without a field that the contract promises
├── RefusedError         the server says no, in OpenAlgo's JSON: ``status_code`` and ``message``
│   └── KeyRefusedError  the api key is wrong, or the broker session behind it is logged out (same text for both)
├── RateLimitedError     429; ask again later
└── ServerFailedError    5xx: the server or the broker behind it failed

Every one carries the account's label, the endpoint and what happened. None ever carries the api key: texts are scrubbed
before they get here (``scrub``), and causes are not chained because a library's text may quote what a server sent.
"""

from __future__ import annotations


class BrokerError(Exception):
    """A question to a broker's server that got no usable answer; what it asked for is unknown, never empty or zero."""

    def __init__(self, what: str, *, label: str = "", endpoint: str = "") -> None:
        place = ": ".join(part for part in (label, endpoint) if part)
        super().__init__(f"{place}: {what}" if place else what)
        self.what = what
        self.label = label
        self.endpoint = endpoint


class UnreachableError(BrokerError):
    """No connection to the server, or it broke before the whole answer was here."""


class TimedOutError(BrokerError):
    """The server was reached but did not answer in time."""


class BadAnswerError(BrokerError):
    """An answer that cannot be parsed, or lacks or spoils a field: the text names the field."""


class RefusedError(BrokerError):
    """The server refused, in OpenAlgo's JSON."""

    def __init__(self, message: str, *, status_code: int, label: str = "", endpoint: str = "") -> None:
        super().__init__(f"refused with {status_code}: {message}", label=label, endpoint=endpoint)
        self.message = message
        self.status_code = status_code


class KeyRefusedError(RefusedError):
    """A wrong api key or a logged-out broker session; the server gives the same text for both."""


class RateLimitedError(BrokerError):
    """The server's or the broker's limit of calls is used up for the moment."""


class ServerFailedError(BrokerError):
    """The server or the broker behind it failed; ``message`` is its own text, empty when a proxy answered."""

    def __init__(self, message: str, *, status_code: int, label: str = "", endpoint: str = "") -> None:
        super().__init__(f"failed with {status_code}: {message or 'no text'}", label=label, endpoint=endpoint)
        self.message = message
        self.status_code = status_code
