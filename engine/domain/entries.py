"""Entering one slice of a leg: its limit price, and what to do next after what its orders became (RULES 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from engine.domain.errors import DomainError
from engine.domain.instruments import Action, PriceType
from engine.domain.orders import Order, OrderState
from engine.domain.prices import is_price

ATTEMPTS = 3
"""How often an order is tried that provably never reached the exchange."""

RATE_LIMITED = "429:"
"""How the words of an order begin that the server's limit turned away: it was not placed."""

LIMITED_AGAIN = timedelta(seconds=1)
"""The server counts orders by the second: what it turned away is sent again after one."""

SOLD_PATIENCE = timedelta(seconds=10)
"""How long a sold leg at market may rest before its remainder is taken back."""

HEDGE_SECONDS, LIMIT_SECONDS = 10.0, 30.0


class LimitTimeout(StrEnum):
    """What becomes of a limit order's remainder when its time is over: given up, or sent at market."""

    CANCEL = "cancel"
    MARKET = "market"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryTerms:
    """How a strategy version enters. ``hedge_failure``, ``sold_leg_failure``: unwind or hold; times in seconds."""

    hedge_failure: str = "unwind"
    sold_leg_failure: str = "hold"
    hedge_seconds: float = HEDGE_SECONDS
    limit_seconds: float = LIMIT_SECONDS
    limit_timeout: LimitTimeout = LimitTimeout.CANCEL


class SliceState(StrEnum):
    """What a slice needs next.

    ``filled``: nothing. ``waits``: its order may still fill, or the next step is not due. ``again``: the same order
    once more, it never reached the exchange. ``market``: the rest of a limit order, at market. ``failed``: its order
    ended short. ``cut``: it was not sent because the engine restarted.
    """

    FILLED = "filled"
    WAITS = "waits"
    AGAIN = "again"
    MARKET = "market"
    FAILED = "failed"
    CUT = "cut"


def limit_price(action: Action, bid: float | None, ask: float | None, *, offset: float, tick: float) -> float:
    """Return what a limit leg asks for (₹): the mid of bid and ask, better for us by ``offset``, on the tick.

    It is rounded to the passive side: down to buy, up to sell. Raises DomainError without bid or ask, for a tick or
    an offset that is none, and where nothing above 0 is left.

    >>> limit_price(Action.BUY, 99.9, 100.15, offset=0.5, tick=0.05)
    99.5
    >>> limit_price(Action.SELL, 99.9, 100.15, offset=0.5, tick=0.05)
    100.55
    """
    if bid is None or ask is None or not is_price(bid) or not is_price(ask):
        missing = "ask" if is_price(bid) else "bid"
        raise DomainError("limit price", f"a limit needs bid and ask, and there is no {missing} now")
    if not is_price(tick):
        raise DomainError("tick size", f"{tick} is no tick")
    if not (offset == 0 or is_price(offset)):
        raise DomainError("limit offset", f"{offset} is no amount in ₹")
    step = Decimal(str(tick))
    wanted = (Decimal(str(bid)) + Decimal(str(ask))) / 2 - action.sign * Decimal(str(offset))
    ticks = (wanted / step).to_integral_value(ROUND_FLOOR if action is Action.BUY else ROUND_CEILING)
    price = float(ticks * step)
    if not is_price(price):
        raise DomainError("limit price", f"an offset of {offset:g} below a mid of {(bid + ask) / 2:g} leaves no price")
    return price


def patience(order: Order, terms: EntryTerms) -> timedelta:
    """Return how long the order may rest before its remainder is taken back."""
    if order.price_type is PriceType.LIMIT:
        return timedelta(seconds=terms.limit_seconds)
    return timedelta(seconds=terms.hedge_seconds) if order.action is Action.BUY else SOLD_PATIENCE


def late(order: Order, terms: EntryTerms, now: datetime, *, more: timedelta = timedelta(0)) -> bool:
    """Whether an order that was sent has not ended within its patience and ``more``; a clock set back counts too."""
    return not order.terminal and order.sent_at is not None and abs(now - order.sent_at) > patience(order, terms) + more


def hedge_late(order: Order, terms: EntryTerms, now: datetime) -> bool:
    """Whether a bought leg is not filled in time (RULES 4); a limit that goes on at market has the time of both."""
    both = order.price_type is PriceType.LIMIT and terms.limit_timeout is LimitTimeout.MARKET
    return late(order, terms, now, more=timedelta(seconds=terms.hedge_seconds if both else 0))


def unfilled(orders: Sequence[Order], quantity: int) -> int:
    """Return what of a slice's quantity none of its orders has filled."""
    return max(0, quantity - sum(order.filled_quantity for order in orders))


def slice_state(
    orders: Sequence[Order], quantity: int, terms: EntryTerms, now: datetime, *, cut: bool = False
) -> SliceState:
    """Return what a slice of ``quantity`` units needs next, from its orders in the order they were planned.

    ``cut``: the engine restarted since it planned them; an entry is not continued then, so nothing is sent any more.
    """
    if any(not order.terminal for order in orders):
        return SliceState.WAITS
    if unfilled(orders, quantity) == 0:
        return SliceState.FILLED
    if not orders:
        return SliceState.CUT if cut else SliceState.FAILED
    last = orders[-1]
    limited = last.state is OrderState.REJECTED and last.words.startswith(RATE_LIMITED)
    if limited or last.state is OrderState.NOT_SENT:
        if cut:
            return SliceState.CUT
        if _attempts(orders) >= ATTEMPTS:
            return SliceState.FAILED
        return SliceState.WAITS if limited and abs(now - last.updated_at) < LIMITED_AGAIN else SliceState.AGAIN
    if last.state is OrderState.VOID and cut:
        return SliceState.CUT
    timed_out = (
        last.price_type is PriceType.LIMIT
        and last.state is OrderState.CANCELLED
        and last.cancel_requested
        and terms.limit_timeout is LimitTimeout.MARKET
    )
    if timed_out:
        return SliceState.CUT if cut else SliceState.MARKET
    return SliceState.FAILED


def _attempts(orders: Sequence[Order]) -> int:
    """Return how many orders of the newest kind a slice had."""
    return sum(order.price_type is orders[-1].price_type for order in orders)
