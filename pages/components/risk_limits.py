"""Limits on P of the day, of a person and of each account: how far they are, what is set, setting them (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import uuid4

import streamlit as st

from engine.desk import Desk, InvalidInput, ServiceError
from engine.services.risk_views import DayLimitView
from engine.services.views import CommandView, LiveView
from pages.components import formats, places
from pages.components.asked import confirm
from pages.components.gauges import CLOSE, NEAR
from pages.components.rearming import ask_rearm
from pages.components.sending import ask, follow, say_when_engine_is_away, send_typed, show_wrong_field
from pages.components.words import ACTIONS, word

DOES = {"close_all": "Exit all, halt for the day", "alert_only": "Alert only"}
EVERYTHING = "All accounts together"


@dataclass(frozen=True)
class TypedLimits:
    """Limits of the day as typed, ₹: of a person (``account_id`` None) or an account; None: no limit.

    ``seen``: what the form showed before anything was typed.
    """

    account_id: int | None
    max_loss: float | None
    max_loss_enabled: bool
    max_loss_action: str
    max_profit: float | None
    max_profit_enabled: bool
    max_profit_action: str
    seen: DayLimitView

    def order(self, desk: Desk, key: str) -> CommandView:
        """Order the change; raises InvalidInput naming the field."""
        return desk.set_limits(
            key,
            account_id=self.account_id,
            max_loss=self.max_loss,
            max_loss_enabled=self.max_loss_enabled,
            max_loss_action=self.max_loss_action,
            max_profit=self.max_profit,
            max_profit_enabled=self.max_profit_enabled,
            max_profit_action=self.max_profit_action,
            seen=self.seen,
        )


@dataclass(frozen=True)
class AskedLimits:
    """A change of limits that would act at once (``sure``), or might, because P of the day is not known."""

    key: str
    name: str
    typed: TypedLimits
    sure: bool


def scope_name(limit: DayLimitView) -> str:
    """Return whose limits they are."""
    return EVERYTHING if limit.account_id is None else limit.account


def day_limit_cards(live: LiveView, now: datetime, *, enabled: bool, link: bool = True) -> None:
    """Show P of the day against its limits, with halts and the way back from them; inside a live fragment."""
    shown = [limit for limit in live.day_limits if _matters(limit)]
    if shown:
        with st.grid(min(3, len(shown)), min_column_width=300):
            for limit in shown:
                with st.container(border=True, gap="small", height="stretch"):
                    _card(limit, now, enabled=enabled)
    bare = [scope_name(limit) for limit in live.day_limits if not _matters(limit)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not live.day_limits:
            st.caption("Limits of the day are not known: the engine has not told them yet.", width="content")
        elif bare:
            whose = formats.plain(", ".join(bare)) if shown else "anybody"
            st.caption(f"No limit of the day for {whose}.", width="content")
        if link:
            st.page_link(places.SETTINGS, label="Set limits", icon=":material/tune:")


def _matters(limit: DayLimitView) -> bool:
    return limit.halted or bool(limit.latched) or limit.max_loss_paise is not None or limit.max_profit_paise is not None


def _card(limit: DayLimitView, now: datetime, *, enabled: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{formats.plain(scope_name(limit))}**", width="content")
        if limit.halted:
            st.badge("Halted", icon=":material/block:", color="red")
    st.markdown(f"P of the day {formats.coloured_profit(limit.profit_paise)}")
    _bar("Max loss", limit, limit.max_loss_paise, -1)
    _bar("Max profit", limit, limit.max_profit_paise, 1)
    if limit.halted:
        st.caption(
            f":red[No entries {_until(limit.halted_until)}], since {formats.clock(limit.halted_at, now=now)} IST"
            + (f": {formats.plain(limit.reason)}" if limit.reason else "")
        )
    if not (limit.halted or limit.latched):
        return
    if st.button(
        "Re-arm",
        key=f"rearm-day-{limit.account_id or 'me'}",
        icon=":material/lock_open:",
        disabled=not enabled,
        help="Entries are allowed again and limits that acted watch the day again",
    ):
        ask_rearm(
            scope_name(limit).lower() if limit.account_id is None else limit.account,
            account_id=limit.account_id,
            breached=breached(limit),
        )
        st.rerun()


def _until(day: date | None) -> str:
    return "until re-armed" if day is None else f"before {day:%a %d %b}"


def _bar(name: str, limit: DayLimitView, amount: int | None, sign: int) -> None:
    if amount is None:
        return
    loss = sign < 0
    on = limit.max_loss_enabled if loss else limit.max_profit_enabled
    action = limit.max_loss_action if loss else limit.max_profit_action
    acted = ("max_loss" if loss else "max_profit") in limit.latched
    text = f"**{name}** {formats.rupees(amount)}"
    if not on:
        st.markdown(f":small[{text} · :gray[switched off]]")
        return
    if limit.profit_paise is None:
        st.markdown(f":small[{text} · :orange[P of the day is not known: does not decide]]")
        return
    used = max(0.0, sign * limit.profit_paise / amount) if amount else 1.0
    left = amount - sign * limit.profit_paise
    away = f"{formats.rupees(left)} away ({(1 - used) * 100:.0f} %)" if left > 0 else "passed"
    colour = "red" if used >= CLOSE else "orange" if used >= NEAR else "green"
    state = ":orange[acted, latched]" if acted else f":gray[{word(ACTIONS, action).lower()}]"
    st.progress(min(1.0, used), text=f"{text} · :{colour}[{away}] · {state}")


def breached(limit: DayLimitView | None) -> bool | None:
    """Return whether P of the day is beyond a limit that is on; None while P is not known, False without limits."""
    if limit is None or (limit.max_loss_paise is None and limit.max_profit_paise is None):
        return False
    if limit.profit_paise is None:
        return None
    return _passed(limit.profit_paise, limit.max_loss_paise if limit.max_loss_enabled else None,
                   limit.max_profit_paise if limit.max_profit_enabled else None)  # fmt: skip


def _passed(profit: int, max_loss: int | None, max_profit: int | None) -> bool:
    return (max_loss is not None and profit <= -max_loss) or (max_profit is not None and profit >= max_profit)


def limits_forms(desk: Desk, limits: Sequence[DayLimitView]) -> None:
    """Show a form for each scope, filled with what is set now; what is typed stays until it is taken."""
    with st.grid(2, min_column_width=330):
        for limit in limits:
            _form(desk, limit)


def _form(desk: Desk, limit: DayLimitView) -> None:
    key = f"limits-{limit.account_id or 'me'}"
    seen = _shown(key, limit)
    with st.form(key, enter_to_submit=False):
        st.markdown(f"**{formats.plain(scope_name(limit))}**")
        loss = _fields("Max loss of the day, ₹", f"{key}-loss", seen.max_loss_action)
        profit = _fields("Max profit of the day, ₹", f"{key}-profit", seen.max_profit_action)
        sent = st.form_submit_button(
            "Set", key=f"{key}-set", type="primary", disabled=not desk.may_trade, on_click=_press, args=(key,)
        )
    if sent:
        _set(desk, limit, TypedLimits(limit.account_id, *loss, *profit, seen))


def _press(key: str) -> None:
    st.session_state[f"{key}-pressed"] = True


def _shown(key: str, limit: DayLimitView) -> DayLimitView:
    """Return the limits that a form was filled with; it is filled anew when they changed, but never under a press.

    What is sent with a press is then what the person had before his eyes, not what is set by now.
    """
    state = st.session_state
    pressed = state.pop(f"{key}-pressed", False)
    seen: DayLimitView | None = state.get(f"{key}-seen")
    there = f"{key}-loss" in state
    if seen is not None and there and (pressed or _settings(seen) == _settings(limit)):
        return seen
    state[f"{key}-seen"] = limit
    for name, (paise, on, action) in zip(("loss", "profit"), _settings(limit), strict=True):
        state[f"{key}-{name}"] = None if paise is None else paise / 100
        state[f"{key}-{name}-on"] = on
        state[f"{key}-{name}-does"] = action
    return limit


def _settings(limit: DayLimitView) -> tuple[tuple[int | None, bool, str], tuple[int | None, bool, str]]:
    return (
        (limit.max_loss_paise, limit.max_loss_enabled, limit.max_loss_action),
        (limit.max_profit_paise, limit.max_profit_enabled, limit.max_profit_action),
    )


def _fields(label: str, key: str, action: str) -> tuple[float | None, bool, str]:
    amount: float | None = st.number_input(label, value=None, step=500.0, key=key, placeholder="none")
    with st.container(horizontal=True, vertical_alignment="center"):
        switched = st.toggle("On", key=f"{key}-on")
        options = list(DOES) if action in DOES else [*DOES, action]
        does = st.selectbox(
            f"{label}: what it does",
            options,
            format_func=lambda one: DOES.get(one, word(ACTIONS, one)),
            key=f"{key}-does",
            label_visibility="collapsed",
        )
    return amount, switched, does or action


def _set(desk: Desk, limit: DayLimitView, typed: TypedLimits) -> None:
    """Order the change, or ask first where it would act at once; a wrong field is named and what was typed stays."""
    at_once = _acts_at_once(limit, typed)
    if at_once is not False:
        ask(AskedLimits(uuid4().hex, scope_name(limit), typed, sure=at_once is True))
        st.rerun()
    try:
        follow(typed.order(desk, uuid4().hex), f"Limits of the day, {scope_name(limit).lower()}")
    except InvalidInput as error:
        st.error(error.reason, title=f"Look at: {error.field.replace('_', ' ')}")
    except ServiceError as error:
        st.error(str(error), title="Not set")
    else:
        st.rerun()


def _acts_at_once(limit: DayLimitView, typed: TypedLimits) -> bool | None:
    """Whether the limits would act as soon as they are set; None: not known. What is no limit is left to the desk."""
    loss = typed.max_loss if typed.max_loss_enabled else None
    profit = typed.max_profit if typed.max_profit_enabled else None
    given = [amount for amount in (typed.max_loss, typed.max_profit) if amount is not None]
    if any(amount <= 0 for amount in given) or (loss is None and profit is None):
        return False
    if limit.profit_paise is None:
        return None
    return _passed(
        limit.profit_paise,
        None if loss is None else round(loss * 100),
        None if profit is None else round(profit * 100),
    )


@st.dialog("Limits of the day", icon=":material/tune:", width="medium")
def limits_dialog(asked: AskedLimits, live: LiveView) -> None:
    """Ask once before limits are set that take positions off as soon as they are."""
    show_wrong_field(asked)
    limit = next((one for one in live.day_limits if one.account_id == asked.typed.account_id), None)
    name = formats.plain(asked.name)
    profit = formats.coloured_profit(None if limit is None else limit.profit_paise)
    lines = [
        f"{word_} **₹{formats.price(amount)}** · {DOES.get(action, word(ACTIONS, action)).lower()}"
        for word_, amount, on, action in (
            ("Max loss", asked.typed.max_loss, asked.typed.max_loss_enabled, asked.typed.max_loss_action),
            ("Max profit", asked.typed.max_profit, asked.typed.max_profit_enabled, asked.typed.max_profit_action),
        )
        if amount is not None and on
    ]
    st.markdown(f"**{name}**: P of the day is {profit}.")
    for line in lines:
        st.markdown(line)
    if asked.sure:
        held = [
            run.id
            for run in live.open_runs
            if any(row.exit_quantity and asked.typed.account_id in {None, row.account_id} for row in run.positions)
        ]
        out = f"takes {formats.count(len(held), 'open run')} out there at market and " if held else ""
        st.warning(
            f"The limit is passed already: **it acts at once**. Where it exits, it {out}halts entries for the day.",
            icon=":material/bolt:",
        )
    else:
        st.caption("P of the day is not known now: a limit that is passed acts as soon as it is.")
    say_when_engine_is_away(live)
    confirm("Set it, and let it act" if asked.sure else "Set it", asked.key, send_limits, asked)


def send_limits(asked: AskedLimits) -> None:
    """Send the limits, after checking again who asks."""
    title = f"Limits of the day, {asked.name.lower()}"
    send_typed(asked, title, lambda desk: asked.typed.order(desk, asked.key))
