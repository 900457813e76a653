"""What an order answer proves (RULES 5), and nothing more than that.

Pure: status code and body in, a frozen outcome out. The client adds the two outcomes that have no answer: ``NotSent``
and ``NoAnswer``. A shape that nobody recorded falls to the side that waits longer: an outcome that is held open too
long costs seconds, one that is closed too early costs a second order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.broker.scrub import MASK, Secret, decode_json

Taken = TypeVar("Taken")

_NO_ID = frozenset({"", "none", "null", "nil", "nan", "undefined", "false", "true", "0", "-1", "n/a"})
_LONGEST_ID = 128
_DEEPEST_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class Placed:
    """The server took the order and named it. It may still be rejected at the exchange.

    ``mode``: the server's when it answered, "analyze" or "live"; empty where the answer does not tell.
    """

    orderid: str
    mode: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was placed, unless ``orderid`` is there: then record it and confirm in the book."""

    message: str
    status_code: int
    orderid: str | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429: not placed, not done; may be sent again when the bucket allows."""

    message: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A semi-auto account holds the order for a person's approval; the account is quarantined."""

    pending_id: str | None


@dataclass(frozen=True, slots=True)
class OutcomeOpen:
    """The server answered but does not say whether an order exists: look it up, quiet time 10 s from the answer.

    ``orderid`` is there when a failure named one all the same.
    """

    detail: str
    orderid: str | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer of the server: quiet until the connection has ended and 180 s have passed since sending."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proof that no byte of the request left: may be planned again at once."""

    detail: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A modification or cancellation was taken; some brokers give the order another id with it."""

    orderid: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """A modification or cancellation that may or may not have happened: read the order before going on."""

    detail: str


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """A smart order found the position as it shall be: no order was placed. ``message`` may be wrong about why.

    The server says "No OpenPosition Found" also where a position exists and matches (recorded).
    """

    message: str


PlacementOutcome = Placed | Refused | RateLimited | Queued | OutcomeOpen | NoAnswer | NotSent
ChangeOutcome = Acknowledged | Refused | RateLimited | Unclear | NotSent
SmartOutcome = PlacementOutcome | NothingToDo
Unplaced = Refused | RateLimited | OutcomeOpen | NoAnswer
"""What any call that may place orders can come to, besides being taken."""

_NOTHING_TO_DO = ("positions already matched", "no openposition found")


def judge_placement(status_code: int, body: bytes, *, secret: Secret | None = None) -> PlacementOutcome:
    """Return what this answer to ``placeorder`` proves (RULES 5); ``secret`` is masked in every text of the outcome.

    >>> judge_placement(200, b'{"orderid": "26112227287987", "status": "success"}')
    Placed(orderid='26112227287987')
    >>> judge_placement(200, b'{"orderid": null, "status": "success"}')
    OutcomeOpen(detail='200 without an order id', orderid=None)
    >>> judge_placement(400, b'{"message": "LIMIT orders require price", "status": "error"}')
    Refused(message='LIMIT orders require price', status_code=400, orderid=None)
    >>> judge_placement(502, b"<html>Bad gateway</html>")
    NoAnswer(detail="502 without OpenAlgo's JSON")
    """
    return judge_sending(status_code, openalgo_answer(body, secret), _judge_taken)


def judge_smart(status_code: int, body: bytes, *, secret: Secret | None = None) -> SmartOutcome:
    """Return what this answer to ``placesmartorder`` proves; only the recorded words mean that nothing was to do.

    >>> judge_smart(200, b'{"message": "Positions Already Matched. No Action needed.", "status": "success"}')
    NothingToDo(message='Positions Already Matched. No Action needed.')
    """
    return judge_sending(status_code, openalgo_answer(body, secret), _judge_smart_taken)


def judge_sending(
    status_code: int,
    answer: dict[str, Any] | None,
    taken: Callable[[int, dict[str, Any]], Taken],
    *,
    id_field: str = "orderid",
) -> Taken | Unplaced:
    """Return what the answer to a call that may place orders proves; ``taken`` judges a 2xx in OpenAlgo's JSON."""
    orderid = order_id(answer.get(id_field)) if answer else None
    match status_code:
        case 400 | 401 | 403 | 404 | 429 if answer and not orderid and _may_name_one(answer, id_field):
            return OutcomeOpen(f"{status_code}: {message_text(answer)}; it may name an order")
        case 429:
            # With an id the order may exist: sending it again would make a second one.
            message = message_text(answer)
            return Refused(message, status_code, orderid) if orderid else RateLimited(message)
        case _ if answer is None:
            return NoAnswer(f"{status_code} without OpenAlgo's JSON")
        case _ if 200 <= status_code < 300:
            return taken(status_code, answer)
        case 400 | 401 | 403 | 404 if "message" in answer:
            return Refused(message_text(answer), status_code, orderid)
        case _ if status_code >= 400 and answer.get("status") == "error" and "message" in answer:
            return OutcomeOpen(f"{status_code}: {message_text(answer)}", orderid)
        case _:
            # A gateway's own JSON ({"message": "Endpoint request timed out"}) is no answer of OpenAlgo.
            return NoAnswer(f"{status_code} without OpenAlgo's JSON")


def judge_modify(status_code: int, body: bytes, *, secret: Secret | None = None) -> ChangeOutcome:
    """Return what this answer to ``modifyorder`` proves.

    Analyzer mode acknowledges a change of price type and ignores it.
    """
    return judge_change(status_code, openalgo_answer(body, secret), Acknowledged)


def judge_cancel(status_code: int, body: bytes, *, secret: Secret | None = None) -> ChangeOutcome:
    """Return what this answer to ``cancelorder`` proves.

    Live servers answer 500 for an order that is already finished.
    """
    return judge_change(status_code, openalgo_answer(body, secret), Acknowledged)


def order_id(value: Any) -> str | None:
    """Return an order id that can be looked up, or None: broker plugins answer 200 with null, "", "None" and -1.

    A whole number above zero is an id too, in answers as in books: several brokers count theirs.

    >>> order_id("26112227287987"), order_id(1100000017), order_id("None"), order_id(" "), order_id(0)
    ('26112227287987', '1100000017', None, None, None)
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _is_no_id(text) or len(text) > _LONGEST_ID or not text.isprintable() or MASK in text:
        return None
    return text


def message_text(answer: dict[str, Any] | None) -> str:
    """Return the server's message as one line; validation errors come as text, as an object, or in ``errors``."""
    if answer is None:
        return ""
    parts = [_flat(answer[name]) for name in ("message", "errors") if answer.get(name)]
    return "; ".join(parts)


def queued(answer: dict[str, Any]) -> Queued | None:
    """Return the queueing of a semi-auto account, None for every other answer."""
    pending = answer.get("pending_order_id")
    if answer.get("mode") != "semi_auto" and pending is None:
        return None
    return Queued(str(pending) if isinstance(pending, int | str) else None)


def without_an_id(status_code: int, answer: dict[str, Any]) -> OutcomeOpen:
    """Return the outcome of an answer that took the call and names nothing."""
    said = message_text(answer)
    return OutcomeOpen(f"{status_code} without an order id" + (f": {said}" if said else ""))


def openalgo_answer(body: bytes, secret: Secret | None) -> dict[str, Any] | None:
    """Return the body as OpenAlgo's JSON with the secret masked, None if it is something else."""
    try:
        answer = decode_json(body, secret=secret)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def judge_change(
    status_code: int,
    answer: dict[str, Any] | None,
    acknowledged: Callable[[str], Taken],
    *,
    id_field: str = "orderid",
) -> Taken | Refused | RateLimited | Unclear:
    """Return what the answer to a modification or cancellation proves; a good one names what it changed."""
    said = message_text(answer)
    if status_code == 429:
        return RateLimited(said)
    if answer is None:
        return Unclear(f"{status_code} without OpenAlgo's JSON")
    orderid = order_id(answer.get(id_field))
    if status_code == 200 and answer.get("status") == "success" and orderid and queued(answer) is None:
        return acknowledged(orderid)
    if status_code in {400, 401, 403, 404} and "message" in answer:
        return Refused(said, status_code, orderid)
    return Unclear(f"{status_code}: {said or 'no order id'}")


def _judge_taken(status_code: int, answer: dict[str, Any]) -> Placed | Queued | OutcomeOpen:
    orderid = order_id(answer.get("orderid"))
    if orderid:
        # the analyzer marks its answers, live mode does not (recorded)
        return Placed(orderid, mode="analyze" if answer.get("mode") == "analyze" else "live")
    return queued(answer) or without_an_id(status_code, answer)


def _judge_smart_taken(status_code: int, answer: dict[str, Any]) -> Placed | Queued | OutcomeOpen | NothingToDo:
    outcome = _judge_taken(status_code, answer)
    said = message_text(answer)
    found_nothing = said.casefold().startswith(_NOTHING_TO_DO) and answer.get("status") == "success"
    if status_code == 200 and isinstance(outcome, OutcomeOpen) and "orderid" not in answer and found_nothing:
        return NothingToDo(said)
    return outcome


def _may_name_one(answer: dict[str, Any], id_field: str) -> bool:
    """Whether a refusal carries something in the place of an id, unreadable as it is: then it is no clear refusal."""
    for value in (answer.get(id_field), answer.get("pending_order_id")):
        if isinstance(value, list | dict) or (value is not None and not _is_no_id(str(value).strip())):
            return True
    return False


def _is_no_id(text: str) -> bool:
    return text.casefold() in _NO_ID


def _flat(value: Any, depth: int = 0) -> str:
    match value:
        case str():
            return value
        case dict() | list() if depth == _DEEPEST_MESSAGE:
            return "…"
        case dict():
            return "; ".join(f"{name}: {_flat(item, depth + 1)}" for name, item in value.items())
        case list():
            return ", ".join(_flat(item, depth + 1) for item in value)
        case _:
            return str(value)
