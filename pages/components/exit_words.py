"""What takes a run of a strategy out, and when it enters by itself, in one line of words."""

from __future__ import annotations

from collections.abc import Iterable

from engine.services.drafts import LimitsDraft, RuleDraft, ScheduleDraft, StrategyDraft, SupertrendDraft
from pages.components import formats
from pages.components.words import SERIES_SHORT, TRAILING_SHORT, UNITS, WEEKDAYS, word

NONE = "No limits are set: nothing but you takes a run of it out."


def exit_words(draft: StrategyDraft) -> str:
    """Return the exits of a strategy as they were set; what is switched off is left out.

    >>> from engine.services.drafts import LegDraft
    >>> legs = [LegDraft(underlying="NIFTY", action="SELL", instrument_type="CE", stop_kind="percent", stop_value=30)]
    >>> limits = LimitsDraft(max_loss=5000, max_profit=10000, supertrend=SupertrendDraft(), square_off_time="15:10")
    >>> exit_words(StrategyDraft(name="x", account_ids=[], legs=legs, limits=limits))
    'Out at −₹5,000, +₹10,000, leg stop 30 %, Supertrend 7/3 on the combined premium 5m, 15:10'
    """
    limits = draft.limits
    parts = [
        _ruled(limits, rule, text)
        for rule, text in (
            ("max_loss", _limit("−", limits.max_loss, limits.max_loss_unit)),
            ("max_profit", _limit("+", limits.max_profit, limits.max_profit_unit)),
            ("account_max_loss", _account("−", limits.account_max_loss, limits.account_max_loss_unit)),
            ("account_max_profit", _account("+", limits.account_max_profit, limits.account_max_profit_unit)),
            ("trailing_sl", _trailing(limits)),
            ("leg_sl", _legs("leg stop", ((leg.stop_kind, leg.stop_value) for leg in draft.legs))),
            ("leg_target", _legs("leg target", ((leg.target_kind, leg.target_value) for leg in draft.legs))),
            ("supertrend", _supertrend(limits.supertrend)),
            ("exit_time", limits.exit_time or ""),
            ("square_off", limits.square_off_time or ""),
        )
    ]
    said = [part for part in parts if part]
    if not said:
        return NONE
    if limits.move_to_cost:
        said.append("stops to cost after a leg's stop")
    if any(leg.reentry != "none" for leg in draft.legs):
        said.append("with re-entry")
    return f"Out at {', '.join(said)}"


def schedule_words(schedule: ScheduleDraft) -> str:
    """Return when a strategy enters by itself; empty when it does not.

    >>> schedule_words(ScheduleDraft(enabled=True, entry_time="09:20", weekdays=[0, 1]))
    'Enters by itself at 09:20 IST on Mon, Tue'
    """
    last = f"no entry after {schedule.last_entry_time} IST" if schedule.last_entry_time else ""
    if not schedule.enabled:
        return last[:1].upper() + last[1:]
    days = ", ".join(WEEKDAYS[day] for day in schedule.weekdays if 0 <= day < len(WEEKDAYS)) or "every trading day"
    text = f"Enters by itself at {schedule.entry_time or formats.UNKNOWN} IST on {days}"
    return f"{text}; {last}" if last else text


def _ruled(limits: LimitsDraft, rule: str, text: str) -> str:
    setting = limits.rules.get(rule, RuleDraft())
    if not text or not setting.enabled:
        return ""
    usual = not (setting.legs or setting.account_ids or setting.share) and rule in {"leg_sl", "leg_target"}
    said = {"alert_only": " (alert only)", "close_partial": "" if usual else " (a part)"}
    if setting.action == "close_all" and rule in limits.rules and rule in {"leg_sl", "leg_target"}:
        return f"{text} (the whole run)"
    return text + said.get(setting.action, "")


def _money(value: float) -> str:
    return formats.price(value).removesuffix(".00")


def _limit(sign: str, value: float | None, unit: str) -> str:
    if value is None:
        return ""
    match unit:
        case "rupees":
            return f"{sign}₹{_money(value)}"
        case "per_lot":
            return f"{sign}₹{_money(value)} per lot"
        case _:
            return f"{sign}{value:g} {word(UNITS, unit)}"


def _account(sign: str, value: float | None, unit: str) -> str:
    text = _limit(sign, value, unit)
    return f"{text} on an account" if text else ""


def _trailing(limits: LimitsDraft) -> str:
    if limits.trailing_kind == "lock_and_trail":
        reach, keep = limits.lock_reach, limits.lock_keep
        if reach is None or keep is None:
            return "lock and trail"
        more = ""
        if limits.lock_step and limits.lock_rise:
            more = f", then +₹{_money(limits.lock_rise)} for every ₹{_money(limits.lock_step)}"
        return f"lock ₹{_money(keep)} from ₹{_money(reach)}{more}"
    if limits.trailing_kind is None or limits.trailing_value is None:
        return ""
    value, unit = f"{limits.trailing_value:g}", word(TRAILING_SHORT, limits.trailing_kind)
    text = f"trailing ₹{_money(limits.trailing_value)}" if unit == "₹" else f"trailing {value} {unit}"
    return text if limits.trailing_activate_at is None else f"{text} from ₹{_money(limits.trailing_activate_at)}"


def _legs(name: str, values: Iterable[tuple[str, float]]) -> str:
    words = {"percent": "{} %", "points": "{} points", "premium": "₹{}"}
    said = [words[kind].format(f"{value:g}") for kind, value in values if kind in words]
    return f"{name} {' / '.join(dict.fromkeys(said))}" if said else ""


def _supertrend(draft: SupertrendDraft | None) -> str:
    if draft is None:
        return ""
    on = word(SERIES_SHORT, draft.series) + (f" {draft.leg}" if draft.series == "leg" and draft.leg else "")
    return f"Supertrend {draft.period}/{draft.multiplier:g} on {on} {draft.interval}"
