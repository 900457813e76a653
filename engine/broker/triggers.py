"""What the answers to GTT calls prove: a trigger at the broker is no order yet, and has an id of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.broker.answers import (
    NotSent,
    OutcomeOpen,
    Queued,
    RateLimited,
    Refused,
    Unclear,
    Unplaced,
    judge_change,
    judge_sending,
    openalgo_answer,
    order_id,
    queued,
    without_an_id,
)
from engine.broker.scrub import Secret


@dataclass(frozen=True, slots=True)
class TriggerPlaced:
    """The broker holds the trigger under this id."""

    trigger_id: str


@dataclass(frozen=True, slots=True)
class TriggerChanged:
    """The modification or cancellation of a trigger was taken."""

    trigger_id: str


GttOutcome = TriggerPlaced | Queued | Unplaced | NotSent
GttChangeOutcome = TriggerChanged | Refused | RateLimited | Unclear | NotSent


def judge_gtt(status_code: int, body: bytes, *, secret: Secret | None = None) -> GttOutcome:
    """Return what this answer to ``placegttorder`` proves; ``Refused.orderid`` then holds a trigger id, if any."""
    return judge_sending(status_code, openalgo_answer(body, secret), _placed, id_field="trigger_id")


def judge_gtt_change(status_code: int, body: bytes, *, secret: Secret | None = None) -> GttChangeOutcome:
    """Return what this answer to ``modifygttorder`` or ``cancelgttorder`` proves."""
    return judge_change(status_code, openalgo_answer(body, secret), TriggerChanged, id_field="trigger_id")


def _placed(status_code: int, answer: dict[str, Any]) -> TriggerPlaced | Queued | OutcomeOpen:
    trigger_id = order_id(answer.get("trigger_id"))
    if trigger_id:
        return TriggerPlaced(trigger_id)
    return queued(answer) or without_an_id(status_code, answer)
