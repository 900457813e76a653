"""The Supertrend exit as a rule: which closed bar takes a run out, and which never does (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA
from engine.domain.candles import Bar, BarSource, ClosedBar
from engine.domain.errors import IndicatorError
from engine.domain.instruments import Action, Exchange
from engine.domain.intervals import BarGrid, Interval
from engine.domain.premium import PremiumLeg, combined_bars, combined_premium
from engine.domain.supertrend_exit import ExitOn, Judged, SupertrendRule, TrendBar, TrendTest, decide, is_due
from engine.domain.supertrend_live import SupertrendState, Trend
from tests.unit.supertrend_pine import pine, walk

BEGIN = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)  # 09:15 in India
MINUTE = timedelta(minutes=1)
GRID = BarGrid(Interval.M1, ALWAYS_OPEN, Exchange.NFO)
RULE = SupertrendRule()
WARM = RULE.needed


def rows(directions: Sequence[int], *, warm: int = -1) -> list[TrendBar]:
    """Bars of a minute, as many with the direction ``warm`` as are needed before any decides, then these."""
    signs = [warm] * (WARM - 1) + list(directions)
    bars = [Bar(BEGIN + number * MINUTE, 100.0, 101.0, 99.0, 100.0) for number in range(len(signs))]
    return [
        TrendBar(ClosedBar(bar, BarSource.HISTORY), Trend(100.0 - sign, sign))
        for bar, sign in zip(bars, signs, strict=True)
    ]


def start(number: int) -> datetime:
    """When the n-th bar after the warm-up opens, the last one of it being 0."""
    return BEGIN + (WARM - 2 + number) * MINUTE


def fires_on(
    directions: Sequence[int],
    *,
    entered_at: datetime = BEGIN,
    rule: SupertrendRule = RULE,
    judged: Judged | None = None,
    warm: int = -1,
) -> datetime | None:
    verdict = decide(rows(directions, warm=warm), rule, grid=GRID, entered_at=entered_at, judged=judged)
    return None if verdict.fired is None else verdict.fired.closed.bar.start


def test_the_premium_of_a_spread_is_combined_field_by_field_and_then_ordered() -> None:
    """RULES 7: SELL CE (H 110, L 100), BUY CE (H 60, L 52): 50 and 48."""
    premium = combined_premium([PremiumLeg("S", Action.SELL, 1, 105.0), PremiumLeg("B", Action.BUY, 1, 56.0)])
    legs = {"S": [Bar(BEGIN, 105, 110, 100, 104)], "B": [Bar(BEGIN, 56, 60, 52, 55)]}
    closed = {name: [ClosedBar(bar, BarSource.HISTORY) for bar in bars] for name, bars in legs.items()}
    (bar,) = combined_bars(premium, closed).bars
    assert (bar.bar.high, bar.bar.low) == (50.0, 48.0)


@pytest.mark.parametrize(
    ("exit_on", "test", "warm", "directions", "expected"),
    [
        ("breakout", "cross", -1, [-1, 1, 1], 2),
        ("breakout", "cross", 1, [1, 1, 1], None),
        ("breakout", "cross", 1, [-1, -1], None),
        ("breakout", "cross", 1, [-1, 1], 2),
        ("breakout", "cross", -1, [1, -1, 1], 1),
        ("breakout", "level", 1, [1, 1], 1),
        ("breakout", "level", -1, [-1, -1], None),
        ("breakdown", "cross", 1, [1, -1], 2),
        ("breakdown", "cross", -1, [-1, -1], None),
        ("breakdown", "level", -1, [-1], 1),
        ("breakdown", "level", 1, [1], None),
    ],
)
def test_cross_wants_a_turn_and_level_a_side(
    exit_on: str, test: str, warm: int, directions: list[int], expected: int | None
) -> None:
    rule = SupertrendRule(exit_on=ExitOn(exit_on), test=TrendTest(test))
    assert fires_on(directions, rule=rule, warm=warm) == (None if expected is None else start(expected))


def test_a_bar_that_closed_before_the_entry_never_fires() -> None:
    assert fires_on([-1, 1, 1], entered_at=start(2) + MINUTE) is None, "at its close is not after the entry"
    assert fires_on([-1, 1, 1], entered_at=start(2) + MINUTE - timedelta(seconds=1)) == start(2)
    level = SupertrendRule(test=TrendTest.LEVEL)
    assert fires_on([-1, 1, 1], entered_at=start(2) + MINUTE, rule=level) == start(3)


def test_too_few_bars_decide_nothing_and_none_of_them_is_judged() -> None:
    few = rows([1])[: WARM - 1]
    assert not is_due(few, RULE, None)
    assert decide(few, RULE, grid=GRID, entered_at=BEGIN, judged=None).judged is None
    assert fires_on([1]) == start(1), "the bar that completes the number decides"


def test_bars_not_judged_yet_are_judged_in_order_so_a_turn_in_an_outage_fires() -> None:
    judged = Judged(start(1), -1)
    assert fires_on([-1, 1, 1, -1, -1], judged=judged) == start(2)
    assert fires_on([-1, -1, -1], judged=judged) is None


def test_a_judged_bar_is_not_judged_again() -> None:
    assert fires_on([-1, 1, 1], judged=Judged(start(2), 1)) is None
    assert not is_due(rows([-1, 1]), RULE, Judged(start(2), 1))


def test_a_turn_that_history_moved_to_a_judged_bar_is_not_lost() -> None:
    """Own ticks said down of bar 1, the broker's history says up: no later pair of bars shows the turn."""
    assert fires_on([1, 1], judged=Judged(start(1), -1)) == start(2)
    assert fires_on([1, 1], judged=Judged(start(1), -1), entered_at=start(1) + MINUTE) is None


def test_settings_without_sense_are_refused() -> None:
    for wrong in ({"period": 0}, {"multiplier": 0.0}, {"multiplier": float("nan")}):
        with pytest.raises(IndicatorError):
            SupertrendRule(**wrong)  # type: ignore[arg-type]
    assert (SupertrendRule(period=7).needed, SupertrendRule(period=10).needed) == (50, 70)


def test_the_close_of_a_short_last_bar_of_a_session_is_what_counts() -> None:
    grid = BarGrid(Interval.M15, INDIA, Exchange.NFO)
    last = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)  # 15:30, closes at 15:40
    bars = [*rows([-1])[:-1], TrendBar(ClosedBar(Bar(last, 1, 1, 1, 1), BarSource.HISTORY), Trend(1.0, 1))]
    judged = Judged(bars[-2].closed.bar.start, -1)
    for minute, fires in ((39, True), (40, False)):
        entered = last.replace(minute=0) + timedelta(minutes=minute - 30)
        grid_of_day = decide(bars, RULE, grid=grid, entered_at=entered, judged=None if fires else judged)
        assert (grid_of_day.fired is not None) is fires


directions_of_bars = st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=30)
exits = st.sampled_from([SupertrendRule(exit_on=on, test=test) for on in ExitOn for test in TrendTest])


@settings(deadline=None)
@given(directions_of_bars, exits, st.integers(0, 30), st.sampled_from([-1, 1]), st.data())
def test_looking_at_every_bar_or_at_many_at_once_fires_on_the_same_one(
    directions: list[int], rule: SupertrendRule, entered: int, warm: int, data: st.DataObject
) -> None:
    bars = rows(directions, warm=warm)
    entered_at = start(entered)
    at_once = decide(bars, rule, grid=GRID, entered_at=entered_at, judged=None)
    judged, fired, seen = None, None, WARM - 1
    while seen < len(bars) and fired is None:
        seen = min(len(bars), seen + data.draw(st.integers(1, 4)))
        verdict = decide(bars[:seen], rule, grid=GRID, entered_at=entered_at, judged=judged)
        judged, fired = verdict.judged, verdict.fired
    assert fired == at_once.fired
    if fired is not None:
        assert fired.closed.bar.start + MINUTE > entered_at
        assert fired.trend.direction == rule.exit_on.side


@pytest.mark.parametrize("seed", range(4))
def test_exits_of_a_series_are_the_turns_of_pines_text(seed: int) -> None:
    bars = walk(300, seed=seed, start=200.0, step=1.0)
    said = pine(bars, 7, 3.0).direction
    state, found = SupertrendState.start(7, 3.0), []
    for number, (high, low, close) in enumerate(zip(*(column.tolist() for column in bars.columns), strict=True)):
        bar = Bar(BEGIN + number * MINUTE, close, high, low, close)
        state = state.commit(bar)
        found.append(TrendBar(ClosedBar(bar, BarSource.HISTORY), state.trend))
    turns = [n for n in range(WARM - 1, 300) if said[n] == 1 and said[n - 1] == -1]
    fired, judged = [], None
    while (verdict := decide(found, RULE, grid=GRID, entered_at=BEGIN, judged=judged)).fired is not None:
        fired.append(round((verdict.fired.closed.bar.start - BEGIN) / MINUTE))
        judged = verdict.judged
    assert turns
    assert fired == turns
