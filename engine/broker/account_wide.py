"""What the answers to calls on the whole account prove: ``cancelallorder`` and ``closeposition``.

Both act on everything in the account, whatever strategy they name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.broker import fields as f
from engine.broker.answers import (
    NoAnswer,
    NotSent,
    OutcomeOpen,
    Queued,
    RateLimited,
    Refused,
    Unclear,
    judge_sending,
    message_text,
    openalgo_answer,
    order_id,
    queued,
)
from engine.broker.errors import BadAnswerError
from engine.broker.scrub import Secret


@dataclass(frozen=True, slots=True)
class CancelledAll:
    """The ids whose cancellation was taken, and those where it failed.

    It does not say that nothing works any more: analyzer servers leave ``trigger pending`` orders alone and still
    succeed. Read the order book.
    """

    cancelled: tuple[str, ...]
    failed: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class ClosingTaken:
    """Closing orders were sent, or nothing was open; the counts only in analyzer mode. Read the position book.

    Live servers say the same words whether anything was open or not.
    """

    message: str
    closed: int | None
    failed: int | None


CancelAllOutcome = CancelledAll | Refused | RateLimited | Unclear | NotSent
ClosePositionOutcome = ClosingTaken | Queued | Refused | RateLimited | OutcomeOpen | NoAnswer | NotSent


def judge_cancel_all(status_code: int, body: bytes, *, secret: Secret | None = None) -> CancelAllOutcome:
    """Return what this answer to ``cancelallorder`` proves."""
    outcome = judge_sending(status_code, openalgo_answer(body, secret), _cancelled)
    match outcome:
        case OutcomeOpen(detail=detail) | NoAnswer(detail=detail):
            return Unclear(detail)
        case _:
            return outcome


def judge_close_position(status_code: int, body: bytes, *, secret: Secret | None = None) -> ClosePositionOutcome:
    """Return what this answer to ``closeposition`` proves: it places orders, so a failure leaves it open."""
    return judge_sending(status_code, openalgo_answer(body, secret), _closing)


def _cancelled(status_code: int, answer: dict[str, Any]) -> CancelledAll | Unclear:
    said = message_text(answer)
    cancelled, failed = _ids(answer.get("canceled_orders")), _ids(answer.get("failed_cancellations"))
    if answer.get("status") != "success" or cancelled is None or failed is None:
        return Unclear(f"{status_code}: {said or 'no lists of orders'}")
    return CancelledAll(cancelled, failed, said)


def _closing(status_code: int, answer: dict[str, Any]) -> ClosingTaken | Queued | OutcomeOpen:
    if (waiting := queued(answer)) is not None:
        return waiting
    said = message_text(answer)
    if answer.get("status") != "success":
        return OutcomeOpen(f"{status_code}: {said}")
    try:
        closed = f.whole_or_none(answer, "closed_positions")
        return ClosingTaken(said, closed, f.whole_or_none(answer, "failed_closures"))
    except BadAnswerError as error:
        return OutcomeOpen(f"{status_code}: {error.what}")


def _ids(rows: Any) -> tuple[str, ...] | None:
    """Return the ids of a list of ids or of objects that carry one; None if one of them has none."""
    if not isinstance(rows, list):
        return None
    found = [order_id(row.get("orderid") if isinstance(row, dict) else row) for row in rows]
    return tuple(one for one in found if one) if all(found) else None
