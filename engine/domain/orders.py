"""Orders: their states in one transition table, and what each piece of evidence does to them (RULES 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from engine.domain.errors import TransitionError
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product


class OrderState(StrEnum):
    """What is known of an order. ``denied``: by us; ``rejected``: by the broker; ``void``: planned, never sent."""

    PLANNED = "planned"
    SENDING = "sending"
    WORKING = "working"
    UNKNOWN = "unknown"
    QUEUED = "queued"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DENIED = "denied"
    NOT_SENT = "not_sent"
    NOT_RECEIVED = "not_received"
    VOID = "void"


_S = OrderState
TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.PLANNED: frozenset({_S.SENDING, _S.DENIED, _S.VOID}),
    _S.SENDING: frozenset({_S.WORKING, _S.REJECTED, _S.QUEUED, _S.UNKNOWN, _S.NOT_SENT}),
    _S.UNKNOWN: frozenset({_S.WORKING, _S.FILLED, _S.CANCELLED, _S.REJECTED, _S.NOT_RECEIVED}),
    _S.QUEUED: frozenset({_S.WORKING, _S.REJECTED, _S.CANCELLED}),
    _S.WORKING: frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}),
}
TERMINAL = frozenset(
    {_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED, _S.DENIED, _S.NOT_SENT, _S.NOT_RECEIVED, _S.VOID}
)
IN_DOUBT = frozenset({_S.SENDING, _S.UNKNOWN, _S.QUEUED})
"""States in which the broker may or may not hold the order."""


class Purpose(StrEnum):
    """Why an order exists. ``reentry``: a leg that its stop or target closed enters again (RULES 7)."""

    ENTRY = "entry"
    REENTRY = "reentry"
    EXIT = "exit"

    @property
    def enters(self) -> bool:
        """Whether such an order opens a position."""
        return self is not Purpose.EXIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One child order: intent, fate and evidence. Quantities in units, values in paise, times in UTC.

    ``visible_before``: broker ids of the same class that stood in the books when it was sent. ``quiet_until``: before
    it, absence proves nothing; None while the connection is still open. ``absent_since``: begin of the first valid
    read after the quiet time that showed neither the order nor a movement. ``price``: the newest limit asked for, 0 for
    none; ``reprices`` counts its modifications. ``smart``: sent as a smart order that brings the position to 0.
    ``estimated``: what filled was inferred from the net position. ``declared_by``: the user who said what became of it.
    ``unexplained_before``: the part of its key's net that no listed order explained in the last valid books before it
    was sent; None where it is not known.
    """

    id: int
    execution_id: int
    account_id: int
    exit_plan_id: int | None
    purpose: Purpose
    leg_index: int
    slice_index: int
    symbol: str
    exchange: Exchange
    product: Product
    action: Action
    price_type: PriceType
    quantity: int
    price: float
    trigger_price: float
    state: OrderState
    orderid: str | None
    trading_day: date
    tag: str
    filled_quantity: int
    filled_value_paise: int
    cancel_requested: bool
    words: str
    visible_before: tuple[str, ...]
    created_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    quiet_until: datetime | None
    absent_since: datetime | None
    reprices: int = 0
    repriced_at: datetime | None = None
    smart: bool = False
    estimated: bool = False
    declared_by: int | None = None
    unexplained_before: int | None = None
    updated_at: datetime

    @property
    def key(self) -> Key:
        """The key its position is kept under."""
        return Key(self.account_id, self.symbol, self.exchange, self.product)

    @property
    def terminal(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in TERMINAL

    @property
    def pending_quantity(self) -> int:
        """Units that may still fill: 0 once terminal."""
        return 0 if self.terminal else self.quantity - self.filled_quantity

    @property
    def signed_filled(self) -> int:
        """Filled units, negative for a sale."""
        return self.action.sign * self.filled_quantity


def moved(order: Order, state: OrderState, now: datetime, **changes: object) -> Order:
    """Return the order in its next state; staying where it is only changes its fields.

    Raises TransitionError for a step that RULES 5 does not know.
    """
    if state is not order.state and state not in TRANSITIONS.get(order.state, frozenset()):
        raise TransitionError("state", f"order {order.id} cannot go from {order.state} to {state}")
    return replace(order, state=state, updated_at=now, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source says of one broker order.

    ``value_paise`` None: the source knows no price. ``estimated``: the value is by a price that was not traded.
    """

    orderid: str
    status: str
    filled_quantity: int | None
    value_paise: int | None
    source: str
    words: str = ""
    estimated: bool = False


_ENDED = {"cancelled": _S.CANCELLED, "rejected": _S.REJECTED, "expired": _S.EXPIRED}


def observed(order: Order, seen: Observation, now: datetime) -> Order:
    """Return the order after one observation of its broker id.

    The filled quantity only grows and is the largest any source showed, never a sum (RULES 5). Trades correct its
    price, and every price that was traded corrects an estimated one. ``complete`` fills the
    order only with a quantity and a price; a broker's end (cancelled, rejected, expired) ends it with what it filled.
    A late fill of an order already ended still counts: quantity is a number in every state.
    """
    quantity = min(seen.filled_quantity or 0, order.quantity)
    value = seen.value_paise
    if value is not None and seen.filled_quantity and seen.filled_quantity > quantity:
        value = value * quantity // seen.filled_quantity  # what is cut to the order's size takes its share of the value
    changes: dict[str, object] = {}
    if quantity > order.filled_quantity and value is not None:
        changes |= {"filled_quantity": quantity, "filled_value_paise": value, "estimated": seen.estimated}
    elif quantity and quantity == order.filled_quantity and value is not None and _better(order, seen):
        changes |= {"filled_value_paise": value} if value != order.filled_value_paise else {}
        changes |= {"estimated": False} if order.estimated else {}
    if seen.words and seen.words != order.words:
        changes |= {"words": seen.words}
    filled = changes.get("filled_quantity", order.filled_quantity)
    state = order.state
    if not order.terminal:
        if state in {_S.SENDING, _S.UNKNOWN, _S.QUEUED}:
            state = _S.WORKING
        if filled == order.quantity:
            order, state = moved(order, state, now), _S.FILLED
        elif seen.status in _ENDED:
            order, state = moved(order, state, now), _ENDED[seen.status]
    if state is order.state and not changes:
        return order
    return moved(order, state, now, **changes)


def _better(order: Order, seen: Observation) -> bool:
    """Whether the price of an observation is better than the one the order has: trades are exact."""
    return not seen.estimated and (seen.source == "trade" or order.estimated)
