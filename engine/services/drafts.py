"""Strategies as people build them: plain fields, checked by services.strategy_checks before they are stored."""

from __future__ import annotations

from engine.domain.entries import HEDGE_SECONDS, LIMIT_SECONDS
from engine.services.frozen import View


class LegDraft(View):
    """A leg as a person builds it; checked by services.strategies.

    ``limit_offset``: a LIMIT leg asks for the mid of bid and ask, better for us by so many ₹. ``stop_kind`` and
    ``target_kind``: none, percent (of the account's own entry average), points (₹ from it), premium (a level in ₹);
    RULES 7. ``reentry`` after its stop or target: none, at_cost (the same contract, back at the entry price), fresh
    (a new strike at once), at most ``reentry_most`` times a run and account.
    """

    underlying: str
    action: str
    instrument_type: str
    expiry_choice: str = "current_week"
    strike_kind: str = "atm"
    strike_value: float = 0.0
    ratio: int = 1
    price_type: str = "MARKET"
    limit_offset: float = 0.0
    stop_kind: str = "none"
    stop_value: float = 0.0
    target_kind: str = "none"
    target_value: float = 0.0
    reentry: str = "none"
    reentry_most: int = 0


class RuleDraft(View):
    """The switch of one rule and what it does: close_all, close_partial, alert_only (RULES 7).

    What close_partial closes: ``legs`` (by number), ``account_ids``, or ``share`` (% of every leg, in whole lots);
    what is empty means all.
    """

    enabled: bool = True
    action: str = "close_all"
    legs: list[int] = []
    account_ids: list[int] = []
    share: float | None = None


class SupertrendDraft(View):
    """A Supertrend exit (RULES 7). ``series``: combined (premium of the legs), underlying, leg (``leg``: its number).

    ``interval``: 1m to 1h; ``exit_on``: breakout (direction turns up) or breakdown; ``test``: cross (it turned on a bar
    that closed after the entry) or level (it points that way on such a bar).
    """

    series: str = "combined"
    leg: int | None = None
    interval: str = "5m"
    period: int = 7
    multiplier: float = 3.0
    exit_on: str = "breakout"
    test: str = "cross"


class ScheduleDraft(View):
    """When a strategy enters by itself, once a day; times as HH:MM IST.

    ``weekdays``: 0 Monday to 6 Sunday, none means every trading day; the strategy's market condition (expiry or other
    day) counts too. An entry that the engine missed is skipped ``grace_seconds`` after its time.
    ``last_entry_time``: nothing of the strategy enters or re-enters later than that, by schedule or by hand.
    """

    enabled: bool = False
    entry_time: str | None = None
    weekdays: list[int] = []
    last_entry_time: str | None = None
    grace_seconds: float = 60.0


class LimitsDraft(View):
    """Limits of a run as a person sets them; ₹ in rupees, times as HH:MM IST. None: not set.

    ``unit`` of the amounts: rupees, per_lot, percent_of_premium. ``account_max_loss`` and ``account_max_profit`` are
    for the run on each account by itself. ``trailing_kind``: percent_of_premium, amount, points, percent_of_profit,
    lock_and_trail with the four ``lock`` figures in ₹ (RULES 7). ``move_to_cost``: when a leg's stop acted, the stops
    of the other legs on that account tighten to their cost. ``rules``: switch and action by rule name (max_loss,
    max_profit, account_max_loss, account_max_profit, trailing_sl, leg_sl, leg_target, supertrend, exit_time,
    square_off); a rule that is not named is on and closes all (leg rules: their leg).
    """

    max_loss: float | None = None
    max_loss_unit: str = "rupees"
    max_profit: float | None = None
    max_profit_unit: str = "rupees"
    account_max_loss: float | None = None
    account_max_loss_unit: str = "rupees"
    account_max_profit: float | None = None
    account_max_profit_unit: str = "rupees"
    trailing_kind: str | None = None
    trailing_value: float | None = None
    trailing_activate_at: float | None = None
    lock_reach: float | None = None
    lock_keep: float | None = None
    lock_step: float | None = None
    lock_rise: float | None = None
    exit_time: str | None = None
    square_off_time: str | None = None
    move_to_cost: bool = False
    supertrend: SupertrendDraft | None = None
    rules: dict[str, RuleDraft] = {}


class StrategyDraft(View):
    """A strategy as a person builds it. ``sizing_percentage`` None: each account's own grade decides.

    Entry (RULES 4), times in seconds: a hedge not filled after ``hedge_seconds`` has failed; a LIMIT leg rests for
    ``limit_seconds``, then its remainder is given up (``limit_timeout`` "cancel") or sent at market ("market").
    """

    name: str
    description: str = ""
    product: str = "NRML"
    market_condition: str = "any"
    account_ids: list[int]
    sizing_percentage: float | None = None
    fixed_lots: int | None = None
    hedge_failure: str = "unwind"
    sold_leg_failure: str = "hold"
    hedge_seconds: float = HEDGE_SECONDS
    limit_seconds: float = LIMIT_SECONDS
    limit_timeout: str = "cancel"
    legs: list[LegDraft]
    limits: LimitsDraft = LimitsDraft()
    schedule: ScheduleDraft = ScheduleDraft()
