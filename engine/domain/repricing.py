"""When and to which limit the resting remainder of an exit order is re-priced (RULES 7, "Exit means").

A modification changes the limit of an order that exists, on the same id, and nothing else: sent twice it makes no
second order. Prices in ₹, times in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum

from engine.domain.instruments import Action
from engine.domain.prices import is_price

FIRST_AFTER = timedelta(seconds=2)
"""The first modification comes this long after the acknowledgement."""

EVERY = timedelta(seconds=2)
"""The next ones follow in this distance."""

TOUCH_AGE = timedelta(seconds=5)
"""How old bid and ask may be."""

TICKS_A_STEP = 2
SHARE_A_STEP = Decimal("0.005")
MOST_TICKS = 40
MOST_SHARE = Decimal("0.10")
"""Each step goes 2 ticks or 0.5 % further beyond the touch, whichever is more; never beyond 40 ticks or 10 % of it."""

REFUSALS = 3
"""After so many refusals in a row the order is cancelled instead: some brokers cannot modify."""


class Answer(StrEnum):
    """What is known of the newest modification of an order. ``unclear``: it may or may not have been carried out."""

    WAITED_FOR = "waited_for"
    TAKEN = "taken"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Modification:
    """The newest modification of an order and how many in a row were refused."""

    answer: Answer
    refusals: int = 0


UNKNOWN = Modification(Answer.UNCLEAR)
"""What an engine knows of a modification that an earlier one asked for."""


class Step(StrEnum):
    """What a resting exit order needs now."""

    WAIT = "wait"
    MODIFY = "modify"
    CANCEL = "cancel"


def next_step(
    *, acknowledged_at: datetime, repriced_at: datetime | None, last: Modification, seen_since: bool, now: datetime
) -> Step:
    """Return what a working exit order needs now.

    ``repriced_at``: when the newest modification was asked for, None before the first; ``last``: what became of it;
    ``seen_since``: a valid book begun after it shows the order still working. Nothing is asked for while an answer is
    waited for, and nothing after a refused or unclear one before the books showed that there is still something to
    change: a finished order is refused too.
    """
    if repriced_at is None:
        return Step.MODIFY if abs(now - acknowledged_at) >= FIRST_AFTER else Step.WAIT
    if last.answer is Answer.WAITED_FOR or abs(now - repriced_at) < EVERY:
        return Step.WAIT
    if last.answer in {Answer.REFUSED, Answer.UNCLEAR} and not seen_since:
        return Step.WAIT
    return Step.CANCEL if last.refusals >= REFUSALS else Step.MODIFY


def reference_price(
    action: Action, *, touch: tuple[float, float, datetime] | None, ltp: float | None, now: datetime
) -> float | None:
    """Return the price an exit starts from: the other side of a touch at most 5 s old, else the confirmed LTP.

    ``touch``: bid, ask, when they were read. A bid above the ask is no touch. None: there is no price.

    >>> at = datetime(2026, 11, 23, 5, 0)
    >>> reference_price(Action.BUY, touch=(99.0, 101.0, at), ltp=100.0, now=at)
    101.0
    >>> reference_price(Action.BUY, touch=(99.0, 101.0, at), ltp=100.0, now=at + timedelta(seconds=6))
    100.0
    """
    if touch is not None:
        bid, ask, at = touch
        if abs(now - at) <= TOUCH_AGE and is_price(bid) and is_price(ask) and bid <= ask:
            return ask if action is Action.BUY else bid
    return ltp if is_price(ltp) else None


def limit_price(
    action: Action,
    reference: float,
    *,
    step: int,
    tick_size: float,
    before: float = 0.0,
) -> float:
    """Return the limit of the ``step``-th modification (from 1): beyond the reference, further each step.

    The distance is max(2 ticks, 0.5 %) · step, at most max(40 ticks, 10 %), rounded to a whole tick away from the
    reference; never below one tick. It is never less ready to trade than the limit ``before`` (0: none). The band that
    it must stay in is this distance: no server tells the exchange's.

    >>> [limit_price(Action.BUY, 100.0, step=step, tick_size=0.05) for step in (1, 2, 3, 99)]
    [100.5, 101.0, 101.5, 110.0]
    >>> limit_price(Action.SELL, 1.0, step=1, tick_size=0.05), limit_price(Action.SELL, 0.05, step=9, tick_size=0.05)
    (0.9, 0.05)
    >>> limit_price(Action.BUY, 90.0, step=2, tick_size=0.05, before=100.5)
    100.5
    """
    tick, start = Decimal(str(tick_size)), Decimal(str(reference))
    width = max(TICKS_A_STEP * tick, SHARE_A_STEP * start) * max(step, 1)
    width = min(width, max(MOST_TICKS * tick, MOST_SHARE * start))
    price = _whole_ticks(start + action.sign * width, tick, up=action is Action.BUY)
    if before:
        price = (max if action is Action.BUY else min)(price, Decimal(str(before)))
    return float(max(price, tick))


def _whole_ticks(price: Decimal, tick: Decimal, *, up: bool) -> Decimal:
    return (price / tick).quantize(Decimal(1), rounding=ROUND_CEILING if up else ROUND_FLOOR) * tick
