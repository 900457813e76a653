"""Lock and trail in one sentence, with an example in ₹ (RULES 7)."""

from __future__ import annotations

from engine.domain.errors import DomainError
from engine.domain.money import paise
from engine.domain.trailing import Lock, TrailingKind, TrailingRule, TrailingState, advance
from engine.services.amounts import rupees
from engine.services.drafts import LimitsDraft

SAMPLE = Lock(reach=5_000.0, keep=3_000.0, step=1_000.0, rise=500.0)
"""What the example shows for figures that are not set, in proportion to those that are."""
STEPS = 3
"""How many steps beyond the lock the example goes."""


def lock_words(limits: LimitsDraft) -> str:
    """Return what lock and trail does with these figures; those that are not set are a sample's, and that is said.

    >>> lock_words(LimitsDraft(lock_reach=4000, lock_keep=1000, lock_step=500, lock_rise=250)).split(". ")[1]
    'A run whose profit reached ₹5,500 leaves when it is back at ₹1,750.'
    """
    figures = {name: getattr(limits, f"lock_{name}") for name in ("reach", "keep", "step", "rise")}
    first, typed = next(((name, one) for name, one in figures.items() if one), ("reach", SAMPLE.reach))
    scale = abs(typed) / getattr(SAMPLE, first)
    try:
        lock = Lock(**{n: getattr(SAMPLE, n) * scale if one is None else one for n, one in figures.items()})
    except DomainError as error:
        return f"These figures make no lock: {error.reason}."
    rule, best = TrailingRule(TrailingKind.LOCK_AND_TRAIL, lock=lock), paise(lock.reach) + STEPS * paise(lock.step)
    stop = advance(rule, TrailingState(), best, premium_paise=None, units=None).stop_paise
    lead = ""
    if None in figures.values():
        empty = set(figures.values()) == {None}
        lead = "For example: " if empty else "With example figures for what is empty: "
    words = (
        f"once the run has made {_amount(lock.reach)}, it leaves when its profit falls back to {_amount(lock.keep)}; "
        f"for every further {_amount(lock.step)} of profit that stop rises by {_amount(lock.rise)}, and it "
        f"never falls. A run whose profit reached {rupees(best, decimals=best % 100 != 0)} leaves when it is "
        f"back at {rupees(stop, decimals=(stop or 0) % 100 != 0)}."
    )
    return lead + (words if lead else words[0].upper() + words[1:])


def _amount(value: float) -> str:
    amount = paise(value)
    return rupees(amount, decimals=amount % 100 != 0)
