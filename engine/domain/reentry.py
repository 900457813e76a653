"""Legs that enter again after their stop or target: when, and how often (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from engine.domain.breaches import ExitRule
from engine.domain.calendar import ist_day
from engine.domain.instruments import Action
from engine.domain.prices import is_price

BETWEEN_TRIES = timedelta(seconds=60)
"""Pause after a try that filled nothing: a price that stands at the cost must not use all of them in a second."""


class Reentry(StrEnum):
    """How a leg enters again: ``at_cost`` the same contract back at its entry price, ``fresh`` a new strike at once."""

    NONE = "none"
    AT_COST = "at_cost"
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class ClosedLeg:
    """A leg that its stop or target closed on one account.

    ``entry_price`` (₹) is the account's own average then. ``done``: tries so far, counted before they were sent, and
    ``tried_at`` the last one.
    """

    action: Action
    closed_by: ExitRule
    closed_at: datetime
    entry_price: float
    done: int = 0
    tried_at: datetime | None = None


def is_back_at_cost(leg: ClosedLeg, price: float | None) -> bool:
    """Tell whether the price (₹) has come back to where the leg entered, from the side on which it left (RULES 7).

    A sold leg leaves by its stop above its entry and by its target below; a bought one the other way round. Without a
    confirmed price (None) it has not.

    >>> sold = ClosedLeg(Action.SELL, ExitRule.LEG_SL, datetime(2026, 11, 23), 100.0)
    >>> is_back_at_cost(sold, 100.05), is_back_at_cost(sold, 100.0)
    (False, True)
    """
    if price is None or not is_price(price):
        return False
    return price <= leg.entry_price if left_above(leg) else price >= leg.entry_price


def left_above(leg: ClosedLeg) -> bool:
    """Tell whether the leg left at a price above its entry: it enters again when the price has come down to it.

    >>> left_above(ClosedLeg(Action.BUY, ExitRule.LEG_SL, datetime(2026, 11, 23), 100.0))
    False
    """
    return (leg.action is Action.SELL) is (leg.closed_by is ExitRule.LEG_SL)


def may_try(kind: Reentry, most: int, leg: ClosedLeg, price: float | None, now: datetime) -> bool:
    """Tell whether the leg enters again at ``now`` (aware): tries are left, the last one is over, its price is there.

    Only on the day (in India) on which it closed: what waited overnight is another market's.
    """
    if is_over(kind, most, leg, now):
        return False
    if (pause := pause_until(leg)) is not None and leg.tried_at is not None and leg.tried_at <= now < pause:
        return False
    match kind:
        case Reentry.AT_COST:
            return is_back_at_cost(leg, price)
        case Reentry.FRESH:
            return True
        case Reentry.NONE:
            return False
        case _:
            assert_never(kind)


def pause_until(leg: ClosedLeg) -> datetime | None:
    """Return when the pause after the leg's last try ends, None before its first."""
    return None if leg.tried_at is None else leg.tried_at + BETWEEN_TRIES


def is_over(kind: Reentry, most: int, leg: ClosedLeg, now: datetime) -> bool:
    """Tell whether the leg will not enter again: no tries left, none wanted, or another day."""
    return kind is Reentry.NONE or leg.done >= most or ist_day(now) != ist_day(leg.closed_at)
