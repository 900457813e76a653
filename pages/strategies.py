"""Strategies: start from a template, preview and send, edit."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, InvalidInput, ServiceError
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.views import AccountView, StrategyView
from pages.components import formats, places
from pages.components.exit_words import exit_words, schedule_words
from pages.components.gate import provide
from pages.components.notes import note
from pages.components.send_panel import send_panel, warn_of_open_runs
from pages.components.shell import require_desk
from pages.components.strategy_form import strategy_form, warn_of_twins
from pages.components.words import venue_word

CHOSEN = "chosen-strategy"
TAB = "strategies-tab"
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
    with st.container(border=True):
        send_panel(desk, strategy, accounts)
    with st.expander("Edit", icon=":material/edit:", key=f"edit-open-{strategy.id}"):
        typed = strategy_form(
            strategy.draft, accounts, key=f"edit-{strategy.id}-{strategy.version}", enabled=desk.may_trade
        )
        if typed is not None:
            save(desk, typed, strategy)
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
if tabs[0].open:
    with tabs[0]:
        if strategies:
            mine(desk, strategies, accounts)
        else:
            st.caption("No strategy yet: begin with a template.")
if tabs[1].open:
    with tabs[1]:
        templates(desk, accounts)
if tabs[2].open:
    with tabs[2]:
        typed = strategy_form(BLANK, accounts, key="new-strategy", enabled=desk.may_trade)
        if typed is not None:
            save(desk, typed, None)
