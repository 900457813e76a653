"""What people see of the rules while they work: distances, halts, series, drills. Money in paise, time in UTC."""

from __future__ import annotations

from datetime import date, datetime

from engine.services.frozen import View


class GaugeView(View):
    """How far one rule of a run is from acting.

    ``rule``: its name as in latches and events (max_loss, trailing_sl, leg_sl, supertrend, exit_time, …). ``scope``:
    run, account (``account_id``) or leg (and ``leg_index``, ``symbol``). Rules on P have ``threshold_paise`` and
    ``value_paise``, leg rules ``threshold_price`` and ``price`` (₹), times ``due_at``. ``used``: 0 where the run began
    (or the trailing stop's peak stands), 1 where the rule acts, None while that is not known. ``note``: in words, why
    it does not decide now (blind, entering, warming, nothing to measure by).
    """

    rule: str
    scope: str = "run"
    account_id: int | None = None
    account: str = ""
    leg_index: int | None = None
    symbol: str = ""
    threshold_paise: int | None = None
    value_paise: int | None = None
    threshold_price: float | None = None
    price: float | None = None
    due_at: datetime | None = None
    used: float | None = None
    enabled: bool = True
    action: str = "close_all"
    latched: bool = False
    note: str = ""


class ReentryView(View):
    """A leg that its stop or target closed on one account and that may enter again there (RULES 7).

    ``kind``: at_cost or fresh. ``state``: waiting, reading (its fresh contract) or entering. ``left`` of ``most`` tries
    are left, the one under way not among them. At cost it waits for ``price`` (₹), from above where ``falls``; ``ltp``
    is the contract's confirmed price now. ``until``: when it is given up, None for the end of the day. ``not_before``:
    when the pause after a try ends. ``note``: in words, what keeps it from entering now besides its price.
    """

    account_id: int
    account: str
    leg_index: int
    kind: str
    state: str
    symbol: str
    left: int
    most: int
    price: float | None = None
    falls: bool = False
    ltp: float | None = None
    until: datetime | None = None
    not_before: datetime | None = None
    note: str = ""


class SupertrendView(View):
    """Where the Supertrend exit of a run stands.

    ``state``: warming (``bars`` of ``needed``), watching, waiting (``note`` says for what), fired. ``direction``: +1
    up, −1 down, 0 none yet. ``line`` and ``close`` of the last closed bar in ₹, ``bar_at`` its start, ``source`` of
    it: history or ticks.
    """

    series: str
    interval: str
    period: int
    multiplier: float
    exit_on: str
    test: str
    state: str
    bars: int
    needed: int
    direction: int = 0
    line: float | None = None
    close: float | None = None
    bar_at: datetime | None = None
    source: str = ""
    note: str = ""


class BarView(View):
    """One bar of a series (₹) with the Supertrend on it; ``line`` None before there is one. ``closed`` False: open."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    line: float | None
    direction: int
    source: str
    closed: bool = True


class SeriesView(View):
    """The series a Supertrend exit runs on, oldest bar first; ``fired_at``: start of the bar that made it exit, why."""

    run_id: int
    title: str
    interval: str
    period: int
    multiplier: float
    entered_at: datetime | None
    bars: list[BarView]
    fired_at: datetime | None = None
    fired_why: str = ""
    as_of: datetime


class DayLimitView(View):
    """Limits on P of the day of the user (``account_id`` None) or one account, with P and halts as they stand."""

    account_id: int | None
    account: str
    profit_paise: int | None = None
    max_loss_paise: int | None = None
    max_loss_enabled: bool = True
    max_loss_action: str = "close_all"
    max_profit_paise: int | None = None
    max_profit_enabled: bool = True
    max_profit_action: str = "close_all"
    latched: list[str] = []
    halted_at: datetime | None = None
    halted_until: date | None = None
    reason: str = ""

    @property
    def halted(self) -> bool:
        """Whether entries are halted here."""
        return self.halted_at is not None


class FeedView(View):
    """Who gives a venue's prices now. ``primary``: whether that is the user's primary account there."""

    venue: str
    account_id: int | None
    account: str
    primary: bool
    since: datetime | None = None
    last_tick_at: datetime | None = None
    problem: str = ""


class ScheduledView(View):
    """The next (or today's) entry of a strategy by itself; ``state``: due, begun, skipped, refused, none."""

    strategy_id: int
    strategy: str
    due_at: datetime | None
    state: str
    run_id: int | None = None
    reason: str = ""


class DrillOrderView(View):
    """One order that the kill switch would send. ``at_seconds``: when, counted from pressing it."""

    account_id: int
    account: str
    run_id: int
    stage: int
    action: str
    symbol: str
    quantity: int
    at_seconds: float


class DrillAccountView(View):
    """What the kill switch would do on one account; ``problem``: why it would not reach it, empty when it would."""

    account_id: int
    account: str
    orders: int
    units: int
    seconds_to_flat: float | None
    problem: str = ""


class DrillView(View):
    """The kill switch rehearsed on live books; nothing was sent. ``crossed``: units that runs would cross inside."""

    as_of: datetime
    run_ids: list[int]
    accounts: list[DrillAccountView]
    orders: list[DrillOrderView]
    crossed: int
    seconds_to_flat: float | None
    notes: list[str] = []
