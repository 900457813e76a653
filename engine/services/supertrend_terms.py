"""What the Supertrend exit of a run runs on: its settings, the symbols whose bars it needs, its name (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.domain.contracts import index_exchange
from engine.domain.errors import RuleError
from engine.domain.instruments import Exchange
from engine.domain.intervals import Interval
from engine.domain.premium import CombinedPremium
from engine.domain.runs import Run
from engine.domain.supertrend_exit import ExitOn, SupertrendRule, TrendTest
from engine.services.drafts import SupertrendDraft
from engine.services.messages import Symbol


@dataclass(frozen=True, slots=True)
class SupertrendTerms:
    """A run's Supertrend exit. ``premium``: what its legs' bars are combined with, None for a series of one symbol.

    ``waits_for_entry``: the premium is fixed when the entry is complete; until then the legs' bars are only read.
    """

    rule: SupertrendRule
    interval: Interval
    symbols: tuple[Symbol, ...]
    title: str
    premium: CombinedPremium | None = None
    waits_for_entry: bool = False

    @property
    def exchange(self) -> Exchange:
        """The exchange whose sessions cut the bars; the legs of one run are all of one."""
        return self.symbols[0][1]


def supertrend_terms(run: Run, draft: SupertrendDraft) -> SupertrendTerms:
    """Return what a run's Supertrend exit needs; raises DomainError or ValueError where it is out of order."""
    rule = SupertrendRule(draft.period, draft.multiplier, ExitOn(draft.exit_on), TrendTest(draft.test))
    interval = Interval(draft.interval)
    legs: list[dict[str, Any]] = run.resolved["legs"]
    match draft.series:
        case "underlying":
            underlying = str(run.resolved["underlying"])
            return SupertrendTerms(rule, interval, ((underlying, index_exchange(underlying)),), underlying)
        case "leg":
            # fixed at entry: the leg's rows change their order when it enters again with a fresh strike
            leg = run.watch.get("premium")
            if leg is None:
                raise RuleError("leg", f"the run has no leg {draft.leg}")
            symbol = (str(leg["symbol"]), Exchange(leg["exchange"]))
            return SupertrendTerms(rule, interval, (symbol,), f"leg {draft.leg}: {leg['symbol']}")
        case "combined":
            return _combined(run, rule, interval, legs)
        case _:
            raise RuleError("series", f"{draft.series!r} is none of combined, underlying, leg")


def _combined(run: Run, rule: SupertrendRule, interval: Interval, legs: list[dict[str, Any]]) -> SupertrendTerms:
    symbols = {str(leg["symbol"]): Exchange(leg["exchange"]) for leg in legs}
    fixed = run.watch.get("premium")
    if fixed is None:
        title = "combined premium"
        return SupertrendTerms(rule, interval, tuple(symbols.items()), title, waits_for_entry=True)
    if problem := fixed.get("problem"):
        raise RuleError("premium", str(problem))
    premium = CombinedPremium({symbol: int(weight) for symbol, weight in fixed["weights"].items()}, int(fixed["sign"]))
    words = " ".join(f"{premium.sign * weight:+d}×{symbol}" for symbol, weight in premium.weights.items())
    followed = tuple((symbol, symbols.get(symbol, Exchange(legs[0]["exchange"]))) for symbol in premium.weights)
    return SupertrendTerms(rule, interval, followed, f"combined premium in ₹ × lots: {words}", premium)
