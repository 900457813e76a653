"""Sample figures of the risk page: gauges, a latched rule, a blind run, a halted account, a Supertrend, a drill."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.services.risk_views import (
    BarView,
    DayLimitView,
    DrillAccountView,
    DrillOrderView,
    DrillView,
    FeedView,
    GaugeView,
    ReentryView,
    ScheduledView,
    SeriesView,
    SupertrendView,
)
from engine.services.views import AccountView, LiveView

CALL, PUT = "NIFTY23NOV2626000CE", "NIFTY23NOV2626000PE"


def gauges(accounts: list[AccountView], as_of: datetime) -> list[GaugeView]:
    """Rules of a straddle: near its profit, its trailing stop latched, a leg stop on each account."""
    return [
        GaugeView(rule="max_loss", threshold_paise=-2_250_000, value_paise=1_461_740, used=0.0),
        GaugeView(rule="max_profit", threshold_paise=1_600_000, value_paise=1_461_740, used=0.91),
        GaugeView(
            rule="trailing_sl", threshold_paise=1_000_000, value_paise=1_461_740, used=0.25, latched=True,
            action="alert_only",
        ),
        *(
            GaugeView(
                rule="leg_sl", scope="leg", account_id=account.id, account=account.name, leg_index=leg, symbol=symbol,
                threshold_price=190.05, price=131.2, used=0.3 + leg / 10, action="close_partial",
            )
            for account in accounts
            for leg, symbol in ((1, CALL), (2, PUT))
        ),
        GaugeView(rule="supertrend", note="warming: 32 of 50 bars"),
        GaugeView(rule="exit_time", due_at=as_of + timedelta(hours=3, minutes=15), used=0.2),
        GaugeView(rule="square_off", due_at=as_of + timedelta(hours=3, minutes=25), used=0.2, enabled=False),
    ]  # fmt: skip


def reentries(accounts: list[AccountView], as_of: datetime) -> list[ReentryView]:
    """A leg that waits for its price, and one whose fresh strike is held up after a try."""
    return [
        ReentryView(
            account_id=accounts[0].id, account=accounts[0].name, leg_index=1, kind="at_cost", state="waiting",
            symbol=CALL, left=1, most=2, price=148.35, falls=True, ltp=171.2, until=as_of + timedelta(hours=2),
        ),
        ReentryView(
            account_id=accounts[1].id, account=accounts[1].name, leg_index=2, kind="fresh", state="waiting",
            symbol=PUT, left=2, most=3, not_before=as_of + timedelta(seconds=40), note="an exit of the run is active",
        ),
    ]  # fmt: skip


def at_risk(view: LiveView) -> LiveView:
    """The sample with everything the risk page can show: the second run is blind and drifts."""
    as_of, accounts = view.as_of, view.accounts
    first, second = view.runs
    trend = SupertrendView(
        series="combined", interval="5m", period=7, multiplier=3.0, exit_on="breakout", test="cross", state="watching",
        bars=61, needed=50, direction=-1, line=291.4, close=262.45, bar_at=as_of - timedelta(minutes=7),
        source="history",
    )  # fmt: skip
    lots = [row.model_copy(update={"lots_filled": row.lots}) for row in first.accounts]
    lots[1] = lots[1].model_copy(update={"lots_filled": 1, "uneven": "leg 1: 2 of 2, leg 2: 1 of 2"})
    first = first.model_copy(
        update={
            "gauges": gauges(accounts, as_of), "supertrend": trend, "price_age_seconds": 0.6, "accounts": lots,
            "reentries": reentries(accounts, as_of),
        }
    )  # fmt: skip
    second = second.model_copy(
        update={
            "gauges": [GaugeView(rule="max_loss", threshold_paise=-450_000, note="an open leg has no confirmed price")],
            "blind_seconds": 21.0, "price_age_seconds": 18.2,
            "drift": [f"{accounts[0].name} {CALL}: owns -195, the books leave -130"],
        }
    )  # fmt: skip
    names = {account.id: account.name for account in accounts}
    ids = list(names)
    return view.model_copy(
        update={
            "runs": [first, second],
            "day_limits": [
                DayLimitView(
                    account_id=None, account="", profit_paise=view.profit_paise, max_loss_paise=5_000_000,
                    max_profit_paise=2_000_000,
                ),
                DayLimitView(
                    account_id=ids[0], account=names[ids[0]], profit_paise=-1_010_000, max_loss_paise=1_000_000,
                    latched=["max_loss"], halted_at=as_of - timedelta(minutes=9),
                    halted_until=(as_of + timedelta(days=3)).date(), reason="max loss of the day",
                ),
                *(DayLimitView(account_id=one, account=names[one], profit_paise=None) for one in ids[1:]),
            ],
            "feeds": [
                FeedView(
                    venue=first.venue, account_id=ids[1], account=names[ids[1]], primary=False,
                    since=as_of - timedelta(minutes=4), last_tick_at=as_of - timedelta(seconds=1),
                    problem=f"{names[ids[0]]} is silent",
                )
            ],
            "schedules": [
                ScheduledView(strategy_id=1, strategy="Short straddle, NIFTY", due_at=as_of + timedelta(minutes=10),
                              state="due"),
                ScheduledView(strategy_id=2, strategy="Iron condor, NIFTY", due_at=as_of - timedelta(hours=2),
                              state="skipped", reason="the engine missed it by 4 min"),
            ],
        }
    )  # fmt: skip


def series(run_id: int, as_of: datetime, *, bars: int = 90) -> SeriesView:
    """A series that falls, turns up and fires at its end; the newest bars are of own ticks, the last one is open."""
    made: list[BarView] = []
    begin = as_of - timedelta(minutes=5 * bars)
    middle = 287.45
    for place in range(bars):
        turn = bars * 5 // 6
        step = (-0.9 if place < turn else 4.0) + (2.2 if place % 3 == 0 else -1.1)
        opened, middle = middle, middle + step
        up = place >= turn + 4
        line = None if place < 7 else (middle - 14.0 if up else middle + 16.0)
        direction = 0 if line is None else 1 if up else -1
        made.append(
            BarView(
                start=begin + timedelta(minutes=5 * place),
                open=opened,
                high=max(opened, middle) + 1.8,
                low=min(opened, middle) - 1.6,
                close=middle,
                line=line,
                direction=direction,
                source="ticks" if place >= bars - 4 else "history",
                closed=place < bars - 1,
            )
        )
    fired = made[bars * 5 // 6 + 4]
    return SeriesView(
        run_id=run_id, title="Combined premium of run 1", interval="5m", period=7, multiplier=3.0,
        entered_at=begin + timedelta(minutes=5 * (bars // 3), seconds=40), bars=made, fired_at=fired.start,
        fired_why="it closed above the line: direction turned up", as_of=as_of,
    )  # fmt: skip


def drill(accounts: list[AccountView], as_of: datetime) -> DrillView:
    """A drill on three accounts, one of which it would not reach."""
    *reached, last = accounts
    orders = [
        DrillOrderView(
            account_id=account.id, account=account.name, run_id=1, stage=stage, action="BUY", symbol=symbol,
            quantity=195, at_seconds=0.11 * stage,
        )
        for account in reached
        for stage, symbol in ((1, CALL), (2, PUT))
    ]  # fmt: skip
    return DrillView(
        as_of=as_of,
        run_ids=[1, 2],
        accounts=[
            *(
                DrillAccountView(account_id=one.id, account=one.name, orders=2, units=390, seconds_to_flat=1.4)
                for one in reached
            ),
            DrillAccountView(
                account_id=last.id, account=last.name, orders=0, units=0, seconds_to_flat=None,
                problem="its server does not answer",
            ),
        ],
        orders=orders,
        crossed=65,
        seconds_to_flat=1.4,
        notes=["The time to flat is reckoned from the last fills."],
    )  # fmt: skip
