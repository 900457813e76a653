"""From OpenAlgo's JSON to the book of triggers: pure; BadAnswerError names the field."""

from __future__ import annotations

from typing import Any

from engine.broker import fields as f
from engine.broker.models import GttLeg, GttRow, TriggerType
from engine.broker.parsing.answer import Answer, amount, count
from engine.domain.instruments import Action, Exchange, PriceType, Product

_TYPES = {"single": TriggerType.SINGLE, "two-leg": TriggerType.OCO, "oco": TriggerType.OCO}


def triggers(answer: Answer) -> tuple[GttRow, ...]:
    """Answer of ``gttorderbook``: the active triggers."""
    return f.each(f.items(answer, "data"), "data", _trigger)


def _trigger(row: dict[str, Any]) -> GttRow:
    kind = _TYPES.get(f.text(row, "trigger_type").casefold())
    if kind is None:
        raise f.bad("trigger_type", "neither single nor two-leg")
    return GttRow(
        trigger_id=f.text(row, "trigger_id"),
        trigger_type=kind,
        status=f.text(row, "status"),
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        trigger_prices=tuple(f.number({"price": price}, "price") for price in f.items(row, "trigger_prices")),
        last_price=f.number_or_none(row, "last_price"),
        legs=f.each(f.items(row, "legs"), "legs", _leg),
        created_at=f.text_or_none(row, "created_at") or "",
        updated_at=f.text_or_none(row, "updated_at") or "",
        expires_at=f.text_or_none(row, "expires_at") or "",
        strategy=f.text_or_none(row, "strategy"),
        margin_blocked=None if row.get("margin_blocked") is None else amount(row, "margin_blocked"),
    )


def _leg(row: dict[str, Any]) -> GttLeg:
    return GttLeg(
        action=f.word(row, "action", Action),
        quantity=count(row, "quantity"),
        price=f.number(row, "price"),
        price_type=f.word(row, "pricetype", PriceType),
        product=f.word(row, "product", Product),
    )
