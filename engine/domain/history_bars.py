"""What a broker's history proves: rows become closed bars, minutes become longer bars (RULES 7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from engine.domain.calendar import ist_day
from engine.domain.candle_freshness import SETTLES
from engine.domain.candles import Bar, BarSource, ClosedBar, fault
from engine.domain.errors import CalendarError, CandleError
from engine.domain.intervals import BarGrid, BarWindow, Interval


class RowProblem(StrEnum):
    """Why a row of history is not used."""

    NONSENSE = "nonsense"
    OUTSIDE = "outside"
    OFF_GRID = "off_grid"
    REPEATED = "repeated"
    AHEAD = "ahead"
    UNKNOWN_DAY = "unknown_day"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is not used, and why."""

    row: Bar
    problem: RowProblem
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """One answer of a broker's history, judged: ``closed`` bars in order, the one still ``forming``, rows refused."""

    closed: tuple[ClosedBar, ...]
    forming: Bar | None = None
    refused: tuple[RefusedRow, ...] = ()

    @property
    def misaligned(self) -> bool:
        """Whether the broker counts its bars from elsewhere than the session's open: ask for 1m and ``resample``."""
        return any(refused.problem is RowProblem.OFF_GRID for refused in self.refused)


def history_interval(wanted: Interval, offered: Collection[str]) -> Interval:
    """Return what to ask the broker for: the interval itself, else 1m to be resampled.

    ``offered`` are the names in the server's ``intervals`` answer. Raises CandleError when it offers neither.

    >>> history_interval(Interval.M10, ["1m", "5m"])
    <Interval.M1: '1m'>
    """
    for interval in (wanted, Interval.M1):
        if interval in offered:
            return interval
    raise CandleError("interval", f"the broker's history offers neither {wanted} nor {Interval.M1}")


def closed_bars(rows: Iterable[Bar], grid: BarGrid, asked_at: datetime) -> History:
    """Judge the rows of one history answer (RULES 7: closed bars only, from 2 s after the close).

    ``asked_at`` is when the request began, not when its answer came: what the broker showed before a bar had settled is
    not the bar, however late it reaches us. Rows may come in any order. A bar is closed when its window had ended 2 s
    before ``asked_at``; the newest of those that had not is ``forming``, and never among the closed ones. Refused and
    reported, each by itself, so that one wrong row does not cost the series:

    - ``nonsense``: prices that are none, a high below the low, and what else ``candles.fault`` tells (law 7)
    - ``outside``: no session at its start (pre-open, closing auction)
    - ``off_grid``: inside a session, but no bar of this interval opens there: the broker counts from elsewhere
    - ``ahead``: it opens after ``asked_at``
    - ``repeated``: a later row of the answer has the same start and other figures. The later row is used:
      servers append what they learned last. A row that comes twice with the same figures is one row
    - ``unknown_day``: the calendar does not know the sessions of its day

    Raises CandleError for a row whose start has no time zone.
    """
    kept: dict[datetime, Bar] = {}
    refused: list[RefusedRow] = []
    forming: Bar | None = None
    for row in rows:
        window = _judged(row, grid, asked_at)
        if isinstance(window, RefusedRow):
            refused.append(window)
            continue
        if asked_at < window.close + SETTLES:
            if forming is None or forming.start <= window.start:
                forming = _in_utc(row, window)
            continue
        earlier = kept.get(window.start)
        if earlier is not None and earlier != row:
            refused.append(RefusedRow(earlier, RowProblem.REPEATED, "a later row has the same start"))
        kept[window.start] = _in_utc(row, window)
    closed = tuple(ClosedBar(kept[start], BarSource.HISTORY) for start in sorted(kept))
    return History(closed, forming, tuple(refused))


def resample(minutes: Sequence[ClosedBar], grid: BarGrid, now: datetime) -> tuple[ClosedBar, ...]:
    """Build the bars of a larger interval from closed 1-minute bars, counted from the session's open (RULES 7).

    ``minutes`` are of the same calendar and exchange, one a start. Only windows that have ended at ``now`` give a bar.
    A window with minutes missing is kept and marked as not whole, not dropped: an option that was not traded for a
    minute has no row for it, and its bar is right; but the minute may also be one that the broker has not written
    yet, so whoever decides must know. A window without any minute has no bar. The last bar of a session may be short,
    and is whole when its own minutes are there.

    Volume is summed, open interest is that of the last minute. The source is ``ticks`` if any minute is. Raises
    CandleError for a minute outside sessions and for two with one start.
    """
    groups: list[tuple[BarWindow, list[ClosedBar]]] = []
    current: BarWindow | None = None
    for minute in sorted(minutes, key=lambda minute: minute.bar.start):
        if current is None or not current.holds(minute.bar.start):
            current = grid.window_at(minute.bar.start)
            if current is None:
                raise CandleError("minutes", f"no session of {grid.exchange} is open at {minute.bar.start}")
            groups.append((current, []))
        group = groups[-1][1]
        if group and group[-1].bar.start == minute.bar.start:
            raise CandleError("minutes", f"two of them open at {minute.bar.start}")
        group.append(minute)
    return tuple(_joined(window, group) for window, group in groups if window.close <= now)


def missing_windows(bars: Sequence[ClosedBar], grid: BarGrid, now: datetime) -> tuple[BarWindow, ...]:
    """Return the windows closed by ``now`` that have no bar, from the first of the bars on: a gap is told, not filled.

    ``bars`` in order of time.
    """
    if not bars:
        return ()
    present = {closed.bar.start for closed in bars}
    first, last = bars[0].bar.start, ist_day(now)
    days = ((ist_day(first) + timedelta(days=count)) for count in range((last - ist_day(first)).days + 1))
    return tuple(
        window
        for day in days
        for window in grid.closed_on(day, now)
        if window.start > first and window.start not in present
    )


def _judged(row: Bar, grid: BarGrid, asked_at: datetime) -> BarWindow | RefusedRow:
    if row.start.tzinfo is None:
        raise CandleError("start", f"{row.start} has no time zone")
    if (reason := fault(row)) is not None:
        return RefusedRow(row, RowProblem.NONSENSE, reason)
    if row.start > asked_at:
        return RefusedRow(row, RowProblem.AHEAD, "it opens in the future")
    try:
        window = grid.window_at(row.start)
    except CalendarError as error:
        return RefusedRow(row, RowProblem.UNKNOWN_DAY, str(error))
    if window is None:
        return RefusedRow(row, RowProblem.OUTSIDE, f"no session of {grid.exchange} is open at its start")
    # some servers stamp the bar still forming with its last trade: that one needs no place on the grid
    if window.start != row.start and window.close + SETTLES <= asked_at:
        reason = f"no {grid.interval} bar opens then; the one before opens at {window.start:%H:%M}Z"
        return RefusedRow(row, RowProblem.OFF_GRID, reason)
    return window


def _in_utc(row: Bar, window: BarWindow) -> Bar:
    return row if row.start.tzinfo is UTC and row.start == window.start else replace(row, start=window.start)


def _joined(window: BarWindow, minutes: Sequence[ClosedBar]) -> ClosedBar:
    bars = [minute.bar for minute in minutes]
    bar = Bar(
        window.start,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        bars[-1].open_interest,
    )
    expected = -((window.start - window.close) // Interval.M1.length)
    ours = any(minute.source is BarSource.TICKS for minute in minutes)
    whole = len(minutes) == expected and all(minute.whole for minute in minutes)
    return ClosedBar(bar, BarSource.TICKS if ours else BarSource.HISTORY, whole=whole)
