"""What the answer to a call that places several orders proves about each of them.

A call may be taken as a whole (``Children``, ``BasketAnswer``) or not (``answers``). When it was taken, each order has
an outcome of its own: placed under an id, clearly refused, queued, or open. An order that the answer does not name,
or names without an id and without a clear refusal, is open: it may exist.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.broker import fields as f
from engine.broker.answers import (
    NotSent,
    OutcomeOpen,
    Placed,
    Queued,
    RateLimited,
    Refused,
    Unplaced,
    judge_sending,
    message_text,
    openalgo_answer,
    order_id,
    queued,
    without_an_id,
)
from engine.broker.errors import BadAnswerError
from engine.broker.scrub import Secret

ChildOutcome = Placed | Refused | Queued | OutcomeOpen

_MISSING = OutcomeOpen("not named in the answer")
_REFUSAL = re.compile(
    r"\bsymbol\b.*\bnot found\b|\binstrument\b.*(?:expired|does not exist)|\bno strikes found\b"
    r"|\boffset\b.*\bout of range\b|\bmultiples? of\b|\blot size\b|\bfreeze\b|\bprice band\b|\bcircuit\b"
    r"|\bnot allowed\b|\bcannot sell\b|\bcannot be traded\b"
    r"|\binsufficient\b|\bmargin shortfall\b|\border(?:s)? requires? (?:price|trigger_price)\b|\bmust be (?:a |one of)"
    r"|\bafter square-off time\b|\binvalid openalgo apikey\b",
    re.IGNORECASE,
)
"""Words about the order itself: who says them has looked at it and declined. Any other words leave it open."""
_FAILURE = re.compile(
    r"tim(?:e|ed)[ -]?out|connect|gateway|unavailable|internal|unexpected|exception|traceback|network|socket"
    r"|\bno response\b|reset by peer|client error|server error|https?://|\b5\d\d\b|try again",
    re.IGNORECASE,
)
"""Words of something that broke on the way, whatever is said beside them."""


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """One order of several. ``place`` counts from 1 in the order of the request; None where the answer does not say.

    ``symbol``, ``exchange`` (the wire's text) and ``quantity`` as the answer gives them, None where it does not.
    """

    outcome: ChildOutcome
    place: int | None = None
    symbol: str | None = None
    exchange: str | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Children:
    """The server took the call: every requested order once, in the order of the request.

    ``unexplained`` are rows of the answer that belong to no place or to one already taken; with such rows nothing
    about the number of orders is certain. ``underlying_ltp`` is the price by which offsets were resolved, if any.
    """

    orders: tuple[ChildOrder, ...]
    unexplained: tuple[ChildOrder, ...] = ()
    underlying_ltp: float | None = None


@dataclass(frozen=True, slots=True)
class BasketGroup:
    """The legs of a basket in one symbol, and what became of them.

    ``legs`` are places in the request, from 1. ``outcomes`` are as many or more; with more than one leg nobody can tell
    which outcome is whose, because the answer is not in the order of the request and names only symbols.
    """

    symbol: str
    legs: tuple[int, ...]
    outcomes: tuple[ChildOutcome, ...]


@dataclass(frozen=True, slots=True)
class BasketAnswer:
    """The server took the basket. ``unexplained`` are rows about symbols that were not asked for, or about none."""

    groups: tuple[BasketGroup, ...]
    unexplained: tuple[ChildOrder, ...] = ()

    def of_leg(self, place: int) -> ChildOutcome | None:
        """Return what became of one leg (from 1), None where it cannot be told from its neighbours.

        Raises ValueError for a place that the basket does not have.
        """
        for group in self.groups:
            if place in group.legs:
                return group.outcomes[0] if len(group.outcomes) == 1 else None
        raise ValueError(f"place: the basket has no leg {place}")

    @property
    def orderids(self) -> tuple[str, ...]:
        """Every order id that the answer names."""
        outcomes = [outcome for group in self.groups for outcome in group.outcomes]
        outcomes += [row.outcome for row in self.unexplained]
        return tuple(
            outcome.orderid for outcome in outcomes if isinstance(outcome, Placed | Refused) and outcome.orderid
        )


ChildrenOutcome = Children | Queued | Unplaced | NotSent
BasketOutcome = BasketAnswer | Queued | Unplaced | NotSent


def judge_children(
    status_code: int, body: bytes, *, places: int, numbered_by: str, secret: Secret | None = None
) -> ChildrenOutcome:
    """Return what an answer proves whose rows carry their number in ``numbered_by`` (``order_num`` or ``leg``).

    ``places`` orders were asked for. With one place an answer that names a single order itself is taken too.
    """
    answer = openalgo_answer(body, secret)
    rows = _rows(answer)
    if answer is None or (not rows and not 200 <= status_code < 300) or status_code == 429:
        return _no_id_lost(judge_sending(status_code, answer, _never), rows)
    if not rows:
        single = order_id(answer.get("orderid"))
        if single and places == 1:
            return Children((_single(answer, single),), (), _ltp(answer))
        if single:
            return Children(_filled({}, places), tuple(_beside(answer, [])), _ltp(answer))
        return queued(answer) or without_an_id(status_code, answer)
    found: dict[int, ChildOrder] = {}
    named: set[str] = set()
    unexplained = _beside(answer, rows)
    for row in rows:
        place = _number(row, numbered_by)
        child = _named_once(_child(row, status_code, place, answer), named)
        if place is None or not 1 <= place <= places or place in found:
            unexplained.append(child)
        else:
            found[place] = child
    return Children(_filled(found, places), tuple(unexplained), _ltp(answer))


def judge_basket(
    status_code: int, body: bytes, *, symbols: Sequence[str], secret: Secret | None = None
) -> BasketOutcome:
    """Return what an answer to ``basketorder`` proves; ``symbols`` are those of the legs, as requested."""
    answer = openalgo_answer(body, secret)
    rows = _rows(answer)
    if answer is None or (not rows and not 200 <= status_code < 300) or status_code == 429:
        return _no_id_lost(judge_sending(status_code, answer, _never), rows)
    if not rows and (symbols or "results" not in answer):
        single = order_id(answer.get("orderid"))
        return queued(answer) or replace(without_an_id(status_code, answer), orderid=single)
    legs: dict[str, list[int]] = defaultdict(list)
    for place, symbol in enumerate(symbols, 1):
        legs[symbol].append(place)
    told: dict[str, list[ChildOutcome]] = defaultdict(list)
    named: set[str] = set()
    unexplained = _beside(answer, rows)
    for row in rows:
        child = _named_once(_child(row, status_code, None, {}), named)
        if child.symbol in legs:
            told[child.symbol].append(child.outcome)
        else:
            unexplained.append(child)
    groups = []
    for symbol, places in legs.items():
        outcomes = told[symbol] + [_MISSING] * (len(places) - len(told[symbol]))
        groups.append(BasketGroup(symbol, tuple(places), tuple(outcomes)))
    return BasketAnswer(tuple(groups), tuple(unexplained))


def judge_child(row: dict[str, Any], status_code: int = 200) -> ChildOutcome:
    """Return what one row of ``results`` proves.

    >>> judge_child({"status": "success", "orderid": "261122100000012", "symbol": "NIFTY01DEC2626000CE"})
    Placed(orderid='261122100000012')
    >>> judge_child({"status": "error", "message": "Symbol NOSUCH not found on NFO"})
    Refused(message='Symbol NOSUCH not found on NFO', status_code=200, orderid=None)
    >>> judge_child({"status": "error", "message": "Failed to place order due to internal error"})
    OutcomeOpen(detail='Failed to place order due to internal error', orderid=None)
    """
    orderid, said = order_id(row.get("orderid")), message_text(row)
    failed = row.get("status") == "error"
    if orderid:
        return Refused(said, status_code, orderid) if failed else Placed(orderid)
    if (waiting := queued(row)) is not None:
        return waiting
    clear = failed and said.strip() and "orderid" not in row and status_code in {200, 400, 401, 403, 404}
    if clear and _REFUSAL.search(said) and not _FAILURE.search(said):
        return Refused(said, status_code)
    return OutcomeOpen(said or "neither an order id nor a reason")


def _rows(answer: dict[str, Any] | None) -> list[Any]:
    rows = answer.get("results") if answer else None
    return rows if isinstance(rows, list) else []


def _child(row: Any, status_code: int, place: int | None, answer: dict[str, Any]) -> ChildOrder:
    if not isinstance(row, dict):
        return ChildOrder(OutcomeOpen("a row that is no object"), place)
    exchange = row.get("exchange", answer.get("exchange"))
    return ChildOrder(
        judge_child(row, status_code),
        place,
        _text(row.get("symbol", answer.get("symbol"))),
        _text(exchange),
        _number(row, "quantity"),
    )


def _named_once(child: ChildOrder, named: set[str]) -> ChildOrder:
    """Return the child, open if its id is another row's already: one id is one order (RULES 5)."""
    match child.outcome:
        case Placed(orderid=str(orderid)) | Refused(orderid=str(orderid)) if orderid in named:
            return replace(child, outcome=OutcomeOpen(f"names order {orderid}, as another row does", orderid))
        case Placed(orderid=str(orderid)) | Refused(orderid=str(orderid)):
            named.add(orderid)
    return child


def _beside(answer: dict[str, Any], rows: list[Any]) -> list[ChildOrder]:
    """Return the order that the answer names beside its rows, if it is none of theirs."""
    named = order_id(answer.get("orderid"))
    in_rows = [order_id(row.get("orderid")) for row in rows if isinstance(row, dict)]
    return [] if named is None or named in in_rows else [replace(_single(answer, named), place=None)]


def _single(answer: dict[str, Any], orderid: str) -> ChildOrder:
    failed = answer.get("status") == "error"
    outcome = Refused(message_text(answer), 200, orderid) if failed else Placed(orderid)
    return ChildOrder(outcome, 1, _text(answer.get("symbol")), _text(answer.get("exchange")))


def _filled(found: dict[int, ChildOrder], places: int) -> tuple[ChildOrder, ...]:
    return tuple(found.get(place, ChildOrder(_MISSING, place)) for place in range(1, places + 1))


def _no_id_lost(outcome: Unplaced, rows: list[Any]) -> Unplaced:
    """Keep an answer that names orders all the same from meaning that nothing was placed."""
    named = [orderid for row in rows if isinstance(row, dict) and (orderid := order_id(row.get("orderid")))]
    if named and isinstance(outcome, RateLimited | Refused):
        return OutcomeOpen(f"{outcome.message}; the answer names {', '.join(named)}", named[0])
    return outcome


def _never(status_code: int, answer: dict[str, Any]) -> OutcomeOpen:
    return without_an_id(status_code, answer)


def _number(row: Any, name: str) -> int | None:
    try:
        return f.whole_or_none(row, name) if isinstance(row, dict) else None
    except BadAnswerError:
        return None


def _ltp(answer: dict[str, Any]) -> float | None:
    try:
        return f.number_or_none(answer, "underlying_ltp")
    except BadAnswerError:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
