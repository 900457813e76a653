"""What to look at twice in a strategy's exits: not wrong, but plainly against its own position (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.domain.breaches import ExitAction
from engine.domain.instruments import Action, InstrumentType
from engine.domain.strikes import StrikeKind
from engine.domain.supertrend_exit import ExitOn
from engine.services.drafts import LegDraft, RuleDraft, StrategyDraft, SupertrendDraft


class Warned(NamedTuple):
    """A field to look at twice, and why; nothing is refused for it."""

    field: str
    reason: str


def exit_warnings(draft: StrategyDraft) -> list[Warned]:
    """Return what of the exits plainly contradicts the position: a Supertrend that would take a winning one out.

    The combined premium of legs that are net sold rises when the run loses; of net bought ones it rises when the run
    wins. The underlying and a single leg are judged where all legs gain by the same move. What depends on prices is
    left alone.
    """
    trend = draft.limits.supertrend
    rule = draft.limits.rules.get("supertrend", RuleDraft())
    if trend is None or not rule.enabled or trend.exit_on not in set(ExitOn):
        return []
    gains_up, series = _gain(draft.legs, trend, rule)
    side = ExitOn(trend.exit_on).side
    if not gains_up or gains_up != side:
        return []
    turns, other = ("up", ExitOn.BREAKDOWN) if side > 0 else ("down", ExitOn.BREAKOUT)
    does = "reports" if rule.action == ExitAction.ALERT_ONLY else "takes out"
    reason = (
        f"{series} turns {turns} when the position wins, so a {trend.exit_on} {does} a winning position and lets a "
        f"losing one run. Choose {other} to leave when it turns against you."
    )
    return [Warned("Supertrend, leaves on", reason)]


def _gain(legs: Sequence[LegDraft], trend: SupertrendDraft, rule: RuleDraft) -> tuple[int, str]:
    """Return which way of the series the position gains by (+1 up, −1 down, 0 not plain), and what the series is."""
    match trend.series:
        case "combined":
            side = _net_side(legs)
            words = {1: "bought", -1: "sold"}.get(side, "")
            return side, f"The legs are net {words}: their combined premium"
        case "underlying":
            return _bias(legs), f"{legs[0].underlying if legs else 'The underlying'}"
        case "leg" if trend.leg is not None and 1 <= trend.leg <= len(legs):
            leg = legs[trend.leg - 1]
            alone = rule.action == ExitAction.CLOSE_PARTIAL and rule.legs == [trend.leg]
            by_move = _net_side([leg]) if alone else _bias(legs) * _delta(leg.instrument_type)
            return by_move, f"Leg {trend.leg}"
        case _:
            return 0, ""


def _net_side(legs: Sequence[LegDraft]) -> int:
    """Return +1 where the premium of the legs is plainly bought in sum, −1 where it is sold, 0 where prices decide."""
    sides = {_side_of_type([leg for leg in legs if leg.instrument_type == kind]) for kind in _types(legs)}
    return sides.pop() if len(sides) == 1 else 0


def _bias(legs: Sequence[LegDraft]) -> int:
    """Return +1 where the legs plainly gain when the underlying rises, −1 when it falls, 0 otherwise."""
    moves = {
        _side_of_type([leg for leg in legs if leg.instrument_type == kind]) * _delta(kind) for kind in _types(legs)
    }
    return moves.pop() if len(moves) == 1 else 0


def _types(legs: Sequence[LegDraft]) -> list[str]:
    return sorted({leg.instrument_type for leg in legs})


def _delta(instrument_type: str) -> int:
    return {InstrumentType.CE.value: 1, InstrumentType.PE.value: -1}.get(instrument_type, 0)


def _side_of_type(legs: Sequence[LegDraft]) -> int:
    """Return the side of legs that are all calls or all puts.

    Where both are there, one side is plain when each lot of the other has a dearer or equal one of it beside it.
    """
    if len({leg.action for leg in legs}) == 1:
        return Action(legs[0].action).sign
    if len({(leg.expiry_choice, _dearness(leg)[0]) for leg in legs}) > 1:
        return 0
    bought, sold = (
        sorted((_dearness(leg)[1] for leg in legs if leg.action == side for _ in range(leg.ratio)), reverse=True)
        for side in (Action.BUY, Action.SELL)
    )
    return 1 if _outweighs(bought, sold) else -1 if _outweighs(sold, bought) else 0


def _outweighs(one: Sequence[float], other: Sequence[float]) -> bool:
    return (
        one != other and len(one) >= len(other) and all(dear >= cheap for dear, cheap in zip(one, other, strict=False))
    )


def _dearness(leg: LegDraft) -> tuple[str, float]:
    """Return how dear a leg is beside others of its type and expiry, and in which measure that is said."""
    match leg.strike_kind:
        case StrikeKind.ATM | StrikeKind.ITM | StrikeKind.OTM:
            return "strikes in the money", leg.strike_value * (-1 if leg.strike_kind == StrikeKind.OTM else 1)
        case StrikeKind.EXACT:
            return "strike", -_delta(leg.instrument_type) * leg.strike_value
        case _:
            return leg.strike_kind, leg.strike_value
