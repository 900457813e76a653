"""The REST client of one account on one OpenAlgo server.

Reads return typed answers or raise ``errors.BrokerError``. Orders return what their answer proves (``answers``) and
never raise; nothing is ever sent twice. One client may be used from several threads.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from engine.broker import parsing
from engine.broker.answers import (
    ChangeOutcome,
    NoAnswer,
    NotSent,
    PlacementOutcome,
    Unclear,
    judge_cancel,
    judge_modify,
    judge_placement,
    message_text,
)
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
from engine.broker.fields import expiry_text
from engine.broker.models import (
    AnalyzerStatus,
    Book,
    Funds,
    Holidays,
    MarginFigure,
    OptionChain,
    OrderReading,
    OrderRow,
    Pong,
    PositionRow,
    Quote,
    SymbolRow,
    Timings,
    TradeRow,
)
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest
from engine.broker.scrub import decode_json, scrub
from engine.broker.transport import BodyTooLargeError, Departure, Wire, checked_host
from engine.domain.instruments import Exchange

Answer = TypeVar("Answer")
Outcome = TypeVar("Outcome")
Row = TypeVar("Row")

BeforeWrite = Callable[[], None]
_API = "/api/v1/"
_KEY_REFUSED = "invalid openalgo apikey"


def utc_now() -> datetime:
    """Return the wall clock, aware UTC."""
    return datetime.now(UTC)


class OpenAlgoClient:
    """Asks and orders on one account.

    ``host`` is the server's base URL, ``label`` names the account in errors, ``transport`` replaces the network in
    tests, ``clock`` dates the reads (aware UTC). Raises ValueError naming ``host`` or ``api_key``. A read waits
    ``read_timeout`` seconds between bytes; connecting takes at most ``connect_timeout``.
    """

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
        self.host = checked_host(host)
        if not isinstance(api_key, str) or not api_key.strip():
            raise ValueError("api_key: is empty")
        self.label = scrub(label or self.host, api_key)
        self._key = api_key
        self._read_timeout = read_timeout
        self._clock = clock
        self._wire = Wire(self.host, transport=transport, ssl_context=ssl_context, connect_timeout=connect_timeout)

    def __repr__(self) -> str:
        return f"<OpenAlgoClient {self.label}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send nothing more; an order call that waits in another thread keeps its connection until its answer."""
        self._wire.close()

    # Account

    def ping(self) -> Pong:
        """Whether key and broker session are good."""
        return self._read("ping", {}, parsing.ping)

    def analyzer_status(self) -> AnalyzerStatus:
        """Whether the server trades in its sandbox."""
        return self._read("analyzer", {}, parsing.analyzer_status)

    def funds(self) -> Funds:
        """Funds in paise, with the times of the read."""
        begun = self._clock()
        return self._read("funds", {}, lambda answer: parsing.funds(answer, begun, self._clock()))

    def orderbook(self) -> Book[OrderRow]:
        """Every order of the day, as the server lists them."""
        return self._book("orderbook", parsing.orders)

    def tradebook(self) -> Book[TradeRow]:
        """Every trade of the day."""
        return self._book("tradebook", parsing.trades)

    def positionbook(self) -> Book[PositionRow]:
        """Every position of the day, flat ones included."""
        return self._book("positionbook", parsing.positions)

    def order_status(self, orderid: str, *, strategy: str = "algomirror") -> OrderReading:
        """One order by its id; RefusedError with 404 if the server does not know it.

        ``strategy`` is required by the wire and not compared by the server.
        """
        begun = self._clock()

        def parse(answer: parsing.Answer) -> OrderReading:
            row = parsing.order(answer)
            if row.orderid != orderid:
                raise BadAnswerError("data.orderid: another order than the one asked for")
            return OrderReading(row, parsing.mode(answer), begun, self._clock())

        return self._read("orderstatus", {"strategy": strategy, "orderid": orderid}, parse)

    def margin(self, positions: Sequence[MarginPosition]) -> MarginFigure:
        """Return the broker's margin of a basket of 1 to 50 legs, also in analyzer mode.

        Raises ValueError for another number of legs.
        """
        if not 1 <= len(positions) <= 50:
            raise ValueError("positions: 1 to 50 legs can be asked for")
        return self._read("margin", {"positions": [leg.payload() for leg in positions]}, parsing.margin)

    # Market data

    def quotes(self, symbol: str, exchange: Exchange) -> Quote:
        """One quote."""
        return self._read("quotes", {"symbol": symbol, "exchange": exchange.value}, parsing.quotes)

    def multiquotes(self, symbols: Sequence[tuple[str, Exchange]]) -> dict[tuple[str, Exchange], Quote | str]:
        """Quotes in one call: for each symbol a quote, or the reason why there is none.

        Raises ValueError for no symbols, RefusedError when the server knows none of them.
        """
        if not symbols:
            raise ValueError("symbols: at least one")
        asked = list(dict.fromkeys(symbols))
        payload = {"symbols": [{"symbol": symbol, "exchange": exchange.value} for symbol, exchange in asked]}
        return self._read("multiquotes", payload, lambda answer: parsing.multiquotes(answer, asked))

    def symbol(self, symbol: str, exchange: Exchange) -> SymbolRow:
        """Return the instrument master's row; RefusedError with 404 if there is none."""
        return self._read("symbol", {"symbol": symbol, "exchange": exchange.value}, parsing.symbol)

    def expiry(
        self, underlying: str, exchange: Exchange, instrument: Literal["options", "futures"] = "options"
    ) -> list[date]:
        """Return listed expiries, ascending; ``exchange`` is the derivatives one (NFO, BFO), empty if it lists none."""
        payload = {"symbol": underlying, "exchange": exchange.value, "instrumenttype": instrument}
        return self._read("expiry", payload, parsing.expiries)

    def option_chain(
        self, underlying: str, exchange: Exchange, expiry: date, strike_count: int | None = None
    ) -> OptionChain:
        """One expiry's chain; ``strike_count`` strikes on each side of ATM (1 to 100), None for all.

        ``exchange`` is the underlying's (NSE_INDEX, BSE_INDEX); RefusedError with 404 for an expiry that is not listed.
        """
        payload: dict[str, Any] = {
            "underlying": underlying,
            "exchange": exchange.value,
            "expiry_date": expiry_text(expiry),
        }
        if strike_count is not None:
            payload["strike_count"] = strike_count
        begun = self._clock()
        return self._read("optionchain", payload, lambda answer: parsing.option_chain(answer, begun, self._clock()))

    # Calendar

    def holidays(self, year: int) -> Holidays:
        """Return the server's list of a year; it may have none for that year (``Holidays.known``)."""
        return self._read("market/holidays", {"year": year}, lambda answer: parsing.holidays(answer, year))

    def timings(self, day: date) -> Timings:
        """Who is open on a day; see ``Timings`` for the time zone trap."""
        return self._read("market/timings", {"date": day.isoformat()}, lambda answer: parsing.timings(answer, day))

    # Orders

    def place_order(
        self, order: OrderRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> PlacementOutcome:
        """Send one order once and say what its answer proves (RULES 5); never raises.

        ``before_write`` runs after the connection stands and immediately before the first byte; if it raises, nothing
        leaves and the outcome is ``NotSent``. The connection stays open up to ``read_timeout`` seconds, because the
        server works on after a client has left.
        """
        return self._send(
            "placeorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=lambda status, body: judge_placement(status, body, secret=self._key),
            unanswered=NoAnswer,
        )

    def modify_order(
        self, change: ModifyRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 30.0
    ) -> ChangeOutcome:
        """Send one modification once; never raises."""
        return self._send(
            "modifyorder",
            change.payload(),
            before_write,
            read_timeout,
            judge=lambda status, body: judge_modify(status, body, secret=self._key),
            unanswered=Unclear,
        )

    def cancel_order(
        self,
        orderid: str,
        *,
        strategy: str = "algomirror",
        before_write: BeforeWrite | None = None,
        read_timeout: float = 30.0,
    ) -> ChangeOutcome:
        """Send one cancellation once; never raises."""
        return self._send(
            "cancelorder",
            {"strategy": strategy, "orderid": orderid},
            before_write,
            read_timeout,
            judge=lambda status, body: judge_cancel(status, body, secret=self._key),
            unanswered=Unclear,
        )

    # Inside

    def _send(
        self,
        endpoint: str,
        payload: dict[str, str],
        before_write: BeforeWrite | None,
        read_timeout: float,
        *,
        judge: Callable[[int, bytes], Outcome],
        unanswered: Callable[[str], Outcome],
    ) -> Outcome | NotSent:
        departure = Departure(before_write)
        try:
            body = {"apikey": self._key, **payload}
            status_code, answer = self._wire.place(_API + endpoint, body, departure, read_timeout=read_timeout)
        except Exception as error:  # noqa: BLE001 - an order call has an outcome, whatever broke
            detail = scrub(_told(error), self._key)
            return NotSent(detail) if self._wire.nothing_left(departure, error) else unanswered(detail)
        return judge(status_code, answer)

    def _book(self, endpoint: str, parse: Callable[[parsing.Answer], tuple[Row, ...]]) -> Book[Row]:
        begun = self._clock()
        return self._read(endpoint, {}, lambda answer: Book(parse(answer), parsing.mode(answer), begun, self._clock()))

    def _read(self, endpoint: str, payload: dict[str, Any], parse: Callable[[parsing.Answer], Answer]) -> Answer:
        failure: tuple[type[BrokerError], str]
        try:
            body = {"apikey": self._key, **payload}
            status_code, answer = self._wire.read(_API + endpoint, body, read_timeout=self._read_timeout)
            return parse(self._accepted(endpoint, status_code, answer))
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            failure = TimedOutError, f"no answer within {self._read_timeout:g} s"
        except httpx.DecodingError:
            failure = BadAnswerError, "unreadable body"
        except BodyTooLargeError:
            failure = BadAnswerError, "body beyond every sane size"
        except (httpx.HTTPError, RuntimeError) as error:
            failure = UnreachableError, _told(error)
        except BadAnswerError as error:
            failure = BadAnswerError, error.what
        # Raised outside the handlers: the library's error, which may quote the server, is then no context of ours.
        kind, what = failure
        raise kind(scrub(what, self._key), label=self.label, endpoint=endpoint)

    def _accepted(self, endpoint: str, status_code: int, body: bytes) -> dict[str, Any]:
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
        if 200 <= status_code < 300 and answer.get("status") == "success":
            return dict(answer)
        if status_code in {401, 403} and _KEY_REFUSED in said.casefold():
            raise KeyRefusedError(said, status_code=status_code, **place)
        if status_code >= 400 or answer.get("status") == "error":
            raise RefusedError(said, status_code=status_code, **place)
        raise BadAnswerError(f"{status_code} with status {answer.get('status')!r:.40}")


def _told(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
