"""How a question is asked and an order is sent: one call each, never repeated, and never with the key in what is told.

The key exists as text only in frames that have returned when an error is raised, so that not even a traceback with
locals shows it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from engine.broker import parsing
from engine.broker.answers import NotSent, message_text
from engine.broker.errors import (
    BadAnswerError,
    BrokerError,
    KeyRefusedError,
    RateLimitedError,
    RefusedError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
)
from engine.broker.models import Book
from engine.broker.scrub import Secret, decode_json
from engine.broker.transport import LARGEST_BODY, BodyTooLargeError, Departure, Wire, checked_host

Value = TypeVar("Value")
Outcome = TypeVar("Outcome")
Row = TypeVar("Row")

BeforeWrite = Callable[[], None]
Answer = Mapping[str, Any]
_API = "/api/v1/"
_KEY_REFUSED = "invalid openalgo apikey"
_SUCCESS = frozenset({"success"})


def utc_now() -> datetime:
    """Return the wall clock, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Read(Generic[Value]):
    """A value, or the error to raise when everything that saw the key has returned."""

    value: Value | None = None
    error: BrokerError | None = None


class Caller:
    """The connection of one account: what all calls have in common."""

    def __init__(
        self,
        host: str,
        api_key: str,
        *,
        label: str = "",
        transport: httpx.BaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        read_timeout: float = 5.0,
        connect_timeout: float = 3.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        key_is_sound = isinstance(api_key, str) and bool(api_key.strip())
        self._key = Secret(api_key if key_is_sound else "")
        del api_key
        self.label = self._key.scrub(label or "without a host")
        self.host = checked_host(host)
        if not key_is_sound:
            raise ValueError("api_key: is empty")
        self.label = self._key.scrub(label or self.host)
        self._read_timeout = read_timeout
        self._clock = clock
        self._wire = Wire(self.host, transport=transport, ssl_context=ssl_context, connect_timeout=connect_timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send nothing more; an order call that waits in another thread keeps its connection until its answer."""
        self._wire.close()

    def ask(self, endpoint: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the decoded answer of an endpoint that has no method here; raises like every read.

        Only for reading: nothing here knows what an unclear answer to an order would mean.
        """
        return self._read(endpoint, payload or {}, dict)

    # For the calls

    def _book(self, endpoint: str, parse: Callable[[Answer], tuple[Row, ...]]) -> Book[Row]:
        begun = self._clock()
        return self._read(endpoint, {}, lambda answer: Book(parse(answer), parsing.mode(answer), begun, self._clock()))

    def _read(
        self,
        endpoint: str,
        payload: Mapping[str, Any],
        parse: Callable[[Answer], Value],
        *,
        accepted: frozenset[str] = _SUCCESS,
    ) -> Value:
        """Ask by POST; ``accepted`` are the words in ``status`` that count as an answer."""

        def exchange() -> tuple[int, bytes]:
            body = {"apikey": self._key.reveal(), **payload}
            return self._wire.read(_API + endpoint, body, read_timeout=self._read_timeout)

        def understand(status_code: int, body: bytes) -> Value:
            return parse(self._accepted(endpoint, status_code, body, accepted))

        return self._result(endpoint, exchange, understand)

    def _fetch(
        self,
        endpoint: str,
        query: Mapping[str, str],
        understand: Callable[[int, bytes], Value],
        *,
        largest: int = LARGEST_BODY,
    ) -> Value:
        """Ask by GET, the key in the query."""

        def exchange() -> tuple[int, bytes]:
            fields = {"apikey": self._key.reveal(), **query}
            return self._wire.fetch(_API + endpoint, fields, read_timeout=self._read_timeout, largest=largest)

        return self._result(endpoint, exchange, understand)

    def _send(
        self,
        endpoint: str,
        payload: Mapping[str, Any],
        before_write: BeforeWrite | None,
        read_timeout: float,
        *,
        judge: Callable[[int, bytes], Outcome],
        unanswered: Callable[[str], Outcome],
    ) -> Outcome | NotSent:
        departure = Departure(before_write)
        try:
            body = {"apikey": self._key.reveal(), **payload}
            status_code, answer = self._wire.place(_API + endpoint, body, departure, read_timeout=read_timeout)
        except Exception as error:  # noqa: BLE001 - an order call has an outcome, whatever broke
            detail = self._key.scrub(_told(error))
            return NotSent(detail) if self._wire.nothing_left(departure, error) else unanswered(detail)
        try:
            return judge(status_code, answer)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be judged proves nothing
            return unanswered(f"{status_code}, not to be judged: {type(error).__name__}")

    def _result(
        self,
        endpoint: str,
        exchange: Callable[[], tuple[int, bytes]],
        understand: Callable[[int, bytes], Value],
    ) -> Value:
        read = self._tried(endpoint, exchange, understand)
        if read.error is not None:
            raise read.error
        return read.value  # type: ignore[return-value]  # a read without an error has its value

    def _tried(
        self,
        endpoint: str,
        exchange: Callable[[], tuple[int, bytes]],
        understand: Callable[[int, bytes], Value],
    ) -> _Read[Value]:
        kind: type[BrokerError]
        try:
            return _Read(value=understand(*exchange()))
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            kind, what = TimedOutError, f"no answer within {self._read_timeout:g} s"
        except httpx.DecodingError:
            kind, what = BadAnswerError, "unreadable body"
        except BodyTooLargeError:
            kind, what = BadAnswerError, "body beyond every sane size"
        except (httpx.HTTPError, RuntimeError) as error:
            kind, what = UnreachableError, _told(error)
        except (RefusedError, ServerFailedError) as error:
            message = self._key.scrub(error.message)
            again = type(error)(message, status_code=error.status_code, label=self.label, endpoint=endpoint)
            return _Read(error=again)
        except BrokerError as error:
            kind, what = type(error), error.what
        # A new error: the library's, which may quote the server, is then no context of ours, and no frame holds a key.
        return _Read(error=kind(self._key.scrub(what), label=self.label, endpoint=endpoint))

    def _accepted(
        self, endpoint: str, status_code: int, body: bytes, accepted: frozenset[str] = _SUCCESS
    ) -> dict[str, Any]:
        """Return the answer of a success; everything else raises by its status."""
        place = {"label": self.label, "endpoint": endpoint}
        try:
            answer = decode_json(body, secret=self._key)
        except ValueError:
            answer = None
        known = isinstance(answer, dict) and ("message" in answer or "status" in answer)
        said = message_text(answer) if known else ""
        if status_code == 429:
            raise RateLimitedError(f"too many calls: {said or 'no text'}", **place)
        if status_code >= 500:
            raise ServerFailedError(said, status_code=status_code, **place)
        if not known:
            raise BadAnswerError(f"{status_code} without OpenAlgo's JSON")
        if 200 <= status_code < 300 and _is_one_of(answer.get("status"), accepted):
            return dict(answer)
        if status_code in {401, 403} and _KEY_REFUSED in said.casefold():
            raise KeyRefusedError(said, status_code=status_code, **place)
        if status_code >= 400 or answer.get("status") == "error":
            raise RefusedError(said, status_code=status_code, **place)
        raise BadAnswerError(f"{status_code} with status {answer.get('status')!r:.40}")


def _is_one_of(word: Any, words: frozenset[str]) -> bool:
    return isinstance(word, str) and word in words


def _told(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
