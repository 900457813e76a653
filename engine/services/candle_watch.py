"""The candles that Supertrend exits run on: history asked for, own ticks cut into bars, series joined (RULES 7).

Nothing here sends an order. What a new bar means for a run is judged at once (``supertrend_judging``) and is with the
run on disk before any rule uses it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from engine.domain.calendar import ist_day
from engine.domain.errors import DomainError
from engine.domain.intervals import BarGrid
from engine.domain.runs import Run, RunState
from engine.services.candle_series import Asked, CandleSeries, new_series
from engine.services.ledger import Pass
from engine.services.messages import FeedChanged, HistoryRead
from engine.services.premium_fixing import fix_leg, fix_premium
from engine.services.price_board import market_of
from engine.services.run_trend import RunTrend
from engine.services.supertrend_judging import judge_bars, tell_broken, tell_overdue
from engine.services.supertrend_terms import SupertrendTerms, supertrend_terms
from engine.services.terms import StrategyTerms
from engine.services.world import World

LOOK_EVERY = timedelta(seconds=0.2)
"""How often series are looked at; answers of history make it at once."""

FEED_SILENT = timedelta(seconds=15)
"""An exchange without a tick on any symbol for this long: the stream is not seen, whatever it says of itself."""

FEED_STILL = timedelta(seconds=5)
"""Quotes show other prices while ticks repeat the old ones for this long: the stream stands still."""

_FOLLOWED = frozenset({RunState.ENTERING, RunState.OPEN, RunState.EXITING})


def progress(changes: Pass, world: World) -> None:
    """Bring every series that an open run needs up to now, ask for what is missing, and judge new bars."""
    board, now = world.candles, changes.now
    if board.due is not None and board.due - LOOK_EVERY <= now < board.due:
        return
    board.due = now + LOOK_EVERY
    _follow_runs(changes, world)
    for series in board.series.values():
        _see_feed(world, series, now)
        series.own.judge(world.prices.view(series.market, series.symbol))
        series.go_on(now)
        series.give_up_lost(now)
        series.advance(now)
        if series.is_due(now):
            _ask(changes, world, series)
    for trend in board.trends.values():
        trend.refresh()
        judge_bars(changes, world, trend)
        if trend.overdue and now - trend.series[0].made_at > FEED_SILENT * 2:
            tell_overdue(changes, trend)
        elif not trend.overdue:
            trend.overdue_told = False


def on_history(world: World, message: HistoryRead) -> None:
    """Take bars of the broker's history."""
    for series in world.candles.of_symbol(message.market, message.symbol):
        accounts = len(_accounts(world, series))
        if series.answered(message, max(1, accounts)):
            world.candles.due = None
            return


def on_feed(world: World, message: FeedChanged, now: datetime) -> None:
    """Note that a feed went down, also when it is back within the same pass: own bars lack what it did not say."""
    account = world.accounts.get(message.account_id)
    if account is None or message.state == "connected" or not world.candles.series:
        return
    watched = world.watched.get(account.id, frozenset())
    for series in world.candles.series.values():
        if series.market == account.facts.market and series.symbol in watched:
            series.own.lost(now)


def _follow_runs(changes: Pass, world: World) -> None:
    """Have a trend for every run with a Supertrend exit, and none for others."""
    board = world.candles
    followed: set[int] = set()
    for run in changes.open_runs():
        if run.state not in _FOLLOWED or not run.resolved.get("legs"):
            continue
        terms = world.terms_of(run.version_id)
        if terms.limits.supertrend is None:
            continue
        followed.add(run.id)
        _follow(changes, world, run, terms)
    if gone := [run_id for run_id in board.trends if run_id not in followed]:
        for run_id in gone:
            trend = board.trends.pop(run_id)
            if trend.changed:
                board.leaving[run_id] = trend
        board.drop_unused()
    for run_id in [run_id for run_id in board.broken if run_id not in followed]:
        del board.broken[run_id]


def _follow(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Make the trend of a run, or anew when its premium was fixed since."""
    board = world.candles
    if terms.limits.supertrend is None:
        return
    if terms.limits.supertrend.series == "combined":
        fix_premium(changes, run)  # followed from the next look on: by then it is on disk
    elif terms.limits.supertrend.series == "leg":
        run = fix_leg(changes, run, terms.limits.supertrend.leg)
    known = board.trends.get(run.id)
    if known is not None and not (known.terms.waits_for_entry and "premium" in run.watch):
        return
    try:
        wanted = supertrend_terms(run, terms.limits.supertrend)
        trend = _new_trend(changes, world, run, wanted)
    except (DomainError, ValueError, KeyError) as error:
        board.broken[run.id] = str(error)
        board.trends.pop(run.id, None)
        tell_broken(changes, world, run, str(error))
        return
    board.broken.pop(run.id, None)
    board.trends[run.id] = trend
    board.drop_unused()


def _new_trend(changes: Pass, world: World, run: Run, wanted: SupertrendTerms) -> RunTrend:
    """Return the trend of a run with its series, begun where its age says, not where the engine began."""
    board, market, now = world.candles, market_of(run.owner_id, run.venue), changes.now
    calendar = world.calendar(run.venue)
    grid = BarGrid(wanted.interval, calendar, wanted.exchange)
    first_day = ist_day(grid.closed_by(run.created_at, count=wanted.rule.needed)[0].start)
    found: list[CandleSeries] = []
    for symbol in wanted.symbols:
        key = (market, symbol, wanted.interval)
        series = board.series.get(key)
        if series is None:
            fresh = new_series(market, symbol, wanted.interval, calendar=calendar, first_day=first_day, now=now)
            series = board.add(key, fresh)
        series.first_day = min(series.first_day, first_day)
        found.append(series)
    begin = grid.windows_of_day(first_day)[0].start
    return RunTrend(run.id, run.owner_id, wanted, tuple(found), first_day, begin)


def _see_feed(world: World, series: CandleSeries, now: datetime) -> None:
    """Note whether somebody pushes a series' ticks: subscribed, acknowledged, and the exchange not silent."""
    tick_at = world.prices.feed(series.market, series.symbol[1], acknowledged=True).last_tick_on_exchange_at
    fed = any(
        account.feed == "connected"
        and series.symbol in account.acknowledged
        and series.symbol in world.watched.get(account.id, ())
        for account in world.accounts.values()
        if account.facts.market == series.market
    )
    if not fed:
        series.own.lost(now)
    elif not series.own.is_lost and tick_at is not None and now - tick_at > FEED_SILENT:
        series.own.lost(tick_at)
    elif (still := world.prices.moved_since_news(series.market)) is not None and now - still > FEED_STILL:
        series.own.lost(still)
    elif series.own.is_lost and (tick_at is None or now - tick_at <= FEED_SILENT):
        series.own.resumed(now)


def _accounts(world: World, series: CandleSeries) -> list[int]:
    """Return the accounts of a series' market that can be asked, the one for market data first."""
    owner, _, venue = series.market.partition("|")
    return [account.id for account in world.of_venue(int(owner), venue) if account.connected]


def _ask(changes: Pass, world: World, series: CandleSeries) -> None:
    accounts = _accounts(world, series)
    if not accounts:
        return
    turn, interval = series.turn(len(accounts))
    others = world.candles.of_symbol(series.market, series.symbol)
    if any(one.asked is not None and one.asked.interval is interval for one in others):
        return  # an answer names symbol and interval only: one such question at a time
    asked = Asked(accounts[turn], interval, series.wanted_from(changes.now), changes.now)
    changes.after_commit.append(partial(_ask_now, world, series, asked))


def _ask_now(world: World, series: CandleSeries, asked: Asked) -> None:
    account = world.accounts.get(asked.account_id)
    others = world.candles.of_symbol(series.market, series.symbol)
    if account is None or any(one.asked is not None and one.asked.interval is asked.interval for one in others):
        return
    series.note_asked(asked)
    account.hands.read_history(series.symbol, asked.interval, asked.first_day, ist_day(asked.at))
