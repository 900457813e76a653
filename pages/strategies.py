"""Strategies: start from a template, preview and send, edit."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, InvalidInput, ServiceError
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.exit_warnings import exit_warnings
from engine.services.views import AccountView, StrategyView
from pages.components import formats, places
from pages.components.exit_words import exit_words, schedule_words
from pages.components.gate import provide
from pages.components.notes import note
from pages.components.send_panel import send_panel, warn_of_open_runs
from pages.components.shell import require_desk
from pages.components.strategy_form import Typed, strategy_form, warn_of_exits, warn_of_twins
from pages.components.words import venue_word

CHOSEN = "chosen-strategy"
TAB = "strategies-tab"
FILLED = "strategy-form-filled-from"
"""The strategy as it was when its form was filled: what is typed there stays when another tab saves meanwhile."""
OPENED = "strategies-tabs-opened"
"""Tabs that were open once are kept: what is typed in a form stays when another tab is looked at."""
MINE, TEMPLATES, NEW = "Mine", "Templates", "New"
BLANK = StrategyDraft(name="", account_ids=[], legs=[LegDraft(underlying="NIFTY", action="SELL", instrument_type="CE")])


def use_template(key: str, account_ids: list[int]) -> None:
    """Make a strategy from a template and show it."""
    try:
        desk = provide()
        if desk is None:
            return
        made = desk.create_from_template(key, account_ids)
    except ServiceError as error:
        note(str(error), wrong=True)
        return
    st.session_state[CHOSEN] = made.id
    st.session_state[TAB] = MINE
    note(f"{made.name} is ready.")


def templates(desk: Desk, accounts: list[AccountView]) -> None:
    """Show the ready-made strategies."""
    if not accounts:
        st.caption("Templates go to your accounts: add accounts first.")
        st.page_link(places.DESK, label="Start with paper accounts", icon=":material/space_dashboard:")
    chosen = same_venue(accounts)
    with st.grid(3):
        for item in desk.templates():
            with st.container(border=True, gap="small", height="stretch"):
                st.markdown(f"**{item.title}**")
                st.caption(item.description)
                st.markdown(" ".join(leg_badge(leg) for leg in item.draft.legs))
                st.button(
                    "Use this template",
                    key=f"template-{item.key}",
                    disabled=not accounts or not desk.may_trade,
                    on_click=use_template,
                    args=(item.key, chosen),
                )


def same_venue(accounts: list[AccountView]) -> list[int]:
    """Return the accounts of one venue, because a run stays at one; ask which when there are several."""
    venues = list(dict.fromkeys(account.venue for account in accounts))
    venue = venues[0] if venues else ""
    if len(venues) > 1:
        there = {
            one: f"{formats.plain(', '.join(account.name for account in accounts if account.venue == one))} · "
            f"{venue_word(one)}"
            for one in venues
        }
        venue = (
            st.segmented_control(
                "For the accounts",
                venues,
                default=venue,
                required=True,
                format_func=lambda one: there.get(one, ""),
                key="template-venue",
                help="A run stays at one exchange: the prices of one must not decide about orders at another",
            )
            or venue
        )
    return [account.id for account in accounts if account.venue == venue]


def leg_badge(leg: LegDraft) -> str:
    """Return one leg as a badge: red for sold, green for bought."""
    distance = f" {leg.strike_kind.upper()} {leg.strike_value:g}" if leg.strike_value else " ATM"
    colour = "red" if leg.action == "SELL" else "green"
    enters = " · limit" if leg.price_type == "LIMIT" else ""
    return f":{colour}-badge[{leg.action.title()} {leg.instrument_type}{distance}{enters}]"


def mine(desk: Desk, strategies: list[StrategyView], accounts: list[AccountView]) -> None:
    """Show one strategy: preview and send, then edit."""
    names = {strategy.id: strategy.name for strategy in strategies}
    if st.session_state.get(CHOSEN) not in names:
        st.session_state[CHOSEN] = strategies[0].id
    chosen = st.selectbox("Strategy", list(names), format_func=lambda key: names.get(key, ""), key=CHOSEN)
    strategy = next(item for item in strategies if item.id == chosen)
    st.markdown(" ".join(leg_badge(leg) for leg in strategy.draft.legs))
    st.caption(
        f"Version {strategy.version} · {strategy.product}"
        + (f" · {formats.plain(strategy.description)}" if strategy.description else "")
    )
    st.caption(formats.plain(exit_words(strategy.draft)))
    if by_itself := schedule_words(strategy.draft.schedule):
        st.caption(f":material/schedule: {formats.plain(by_itself)}")
    warn_of_twins(strategy.draft.legs)
    warn_of_exits(exit_warnings(strategy.draft))
    with st.container(border=True):
        send_panel(desk, strategy, accounts)
    with st.expander("Edit", icon=":material/edit:", key=f"edit-open-{strategy.id}"):
        edit(desk, strategy, accounts)
    warn_of_open_runs(desk, strategy)
    with st.expander("Archive", icon=":material/archive:"):
        st.caption("Takes it out of this list; its runs stay in the history. Refused while a run is open.")
        if st.button("Archive this strategy", key=f"archive-{strategy.id}", disabled=not desk.may_trade):
            try:
                desk.archive_strategy(strategy.id)
            except ServiceError as error:
                st.error(str(error))
            else:
                st.rerun()


def edit(desk: Desk, strategy: StrategyView, accounts: list[AccountView]) -> None:
    """Show the form of a strategy, filled once; when it is saved elsewhere that is said, and nothing typed is lost."""
    filled: StrategyView | None = st.session_state.get(FILLED)
    if filled is None or filled.id != strategy.id:
        filled = st.session_state[FILLED] = strategy
    typed = strategy_form(filled.draft, accounts, key=f"edit-{filled.id}-{filled.version}", enabled=desk.may_trade)
    if typed is not None:
        take(desk, typed, filled)
    if filled.version != strategy.version:
        st.warning(
            f"This form shows version {filled.version}; meanwhile version {strategy.version} was saved in another tab "
            "or by somebody else. What you typed is still here, but cannot be saved over it.",
            title="Saved elsewhere",
            icon=":material/difference:",
        )
        st.button(
            f"Drop what I typed and show version {strategy.version}",
            key=f"fill-anew-{strategy.id}",
            on_click=lambda: st.session_state.pop(FILLED, None),
        )


def take(desk: Desk, typed: Typed, strategy: StrategyView | None) -> None:
    """Save what was typed, or only check it."""
    if typed.save:
        save(desk, typed.draft, strategy)
        return
    try:
        warned = desk.check_strategy(typed.draft)
    except InvalidInput as error:
        st.error(error.reason, title=f"Look at: {error.field}")
        return
    warn_of_twins(typed.draft.legs)
    warn_of_exits(warned)
    st.success("It can be saved as it is." if not warned else "It can be saved as it is; look at what is said above.")


def save(desk: Desk, typed: StrategyDraft, strategy: StrategyView | None) -> None:
    """Store what was typed, or say which leg and field is wrong; what was typed stays."""
    if strategy is not None and _cleaned(typed) == _cleaned(strategy.draft):
        st.info("Nothing changed.")
        return
    try:
        if strategy is None:
            saved = desk.save_strategy(typed)
        else:
            saved = desk.save_strategy(typed, strategy_id=strategy.id, expected_version=strategy.version)
    except InvalidInput as error:
        st.error(error.reason, title=f"Look at: {error.field}")
    except ServiceError as error:
        st.error(str(error), title="Not saved")
    else:
        st.session_state["strategies-saved"] = saved.id
        st.session_state.pop(FILLED, None)
        if strategy is None:
            st.session_state[OPENED].discard(NEW)  # the next new one begins empty
        note("Saved.")
        st.rerun()


def _cleaned(draft: StrategyDraft) -> StrategyDraft:
    return draft.model_copy(
        update={
            "name": draft.name.strip(),
            "description": draft.description.strip(),
            "account_ids": sorted(draft.account_ids),
        }
    )


desk = require_desk()
accounts = [account for account in desk.accounts() if account.active]
strategies = desk.strategies()
if (saved := st.session_state.pop("strategies-saved", None)) is not None:
    st.session_state[CHOSEN] = saved
    st.session_state[TAB] = MINE
tabs = st.tabs([MINE, TEMPLATES, NEW], key=TAB, default=MINE if strategies else TEMPLATES, on_change="rerun")
opened: set[str] = st.session_state.setdefault(OPENED, set())
opened |= {name for name, tab in zip((MINE, TEMPLATES, NEW), tabs, strict=True) if tab.open}
with tabs[0]:
    if MINE in opened and strategies:
        mine(desk, strategies, accounts)
    elif MINE in opened:
        st.caption("No strategy yet: begin with a template.")
with tabs[1]:
    if TEMPLATES in opened:
        templates(desk, accounts)
with tabs[2]:
    if NEW in opened:
        typed = strategy_form(BLANK, accounts, key="new-strategy", enabled=desk.may_trade)
        if typed is not None:
            take(desk, typed, None)
