"""The kill switch: for everything of mine, one account or everyone, asked once and saying what it sends."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, Role
from engine.services.part_views import ExitOrders, exit_orders
from engine.services.views import LiveView
from pages.components import formats
from pages.components.asked import Asked, confirm
from pages.components.rearming import ask_rearm, rearm_button
from pages.components.sending import say_when_engine_is_away, send
from pages.components.tables import exit_orders_table

MINE, EVERYONE = "mine", "everyone"


def kill_dialog(asked: Asked, live: LiveView, desk: Desk) -> None:
    """Open the dialog of the kill switch."""
    _dialog(asked, live, admin=desk.caller.role is Role.ADMIN)


@st.dialog("Kill switch", icon=":material/emergency_home:", width="medium")
def _dialog(asked: Asked, live: LiveView, *, admin: bool) -> None:
    if live.halted and not live.open_runs and not live.problem and not admin:
        st.markdown("**It was pressed already**: no strategy starts on any account, and no run is open to take out.")
        with st.container(horizontal=True):
            rearm_button(enabled=True, where="dialog")
            if st.button("Stay halted", key=f"keep-{asked.key}"):
                st.rerun()
        return
    scope = _scope(asked, live, admin=admin)
    account_id = scope if isinstance(scope, int) else None
    name = next((account.name for account in live.accounts if account.id == account_id), "")
    positions = [
        position
        for run in live.open_runs
        for position in run.positions
        if position.exit_quantity and account_id in {None, position.account_id}
    ]
    _say_what_is_sent(
        live,
        scope,
        name,
        runs=len({position.run_id for position in positions} or live.open_runs),
        orders=exit_orders(positions, together=True),
        accounts=len({position.account_id for position in positions}),
    )
    say_when_engine_is_away(live)
    st.caption("Positions that were opened outside of AlgoMirror are left alone.")
    if positions:
        exit_orders_table(positions)
    if scope == EVERYONE and st.button("Re-arm everyone instead", key=f"rearm-everyone-{asked.key}", type="tertiary"):
        ask_rearm("everyone", everyone=True, breached=None)
        st.rerun()
    confirm(_label(live, scope, name, held=bool(positions)), asked.key, send_halt, asked, scope)


def _scope(asked: Asked, live: LiveView, *, admin: bool) -> int | str:
    """Ask for whom, where there is a choice: an account's id, MINE or EVERYONE."""
    names: dict[int | str, str] = {MINE: "Everything of mine"}
    if len(live.accounts) > 1:
        names |= {account.id: account.name for account in live.accounts}
    if admin:
        names[EVERYONE] = "Everyone"
    if len(names) == 1:
        return MINE
    options = list(names)
    chosen = st.selectbox(
        "For whom",
        options,
        format_func=lambda scope: names.get(scope, ""),
        key=f"scope-{asked.key}",
    )
    return MINE if chosen is None else chosen


def order_words(orders: ExitOrders) -> str:
    """Return how many orders go, in bold, with why that may be the least of it."""
    least = "" if orders.exact else "at least "
    crossed = f", {formats.grouped(orders.crossed)} units crossed inside first" if orders.crossed else ""
    return f"{least}**{formats.count(orders.number, 'order')}**{crossed}"


def _say_what_is_sent(
    live: LiveView, scope: int | str, name: str, *, runs: int, orders: ExitOrders, accounts: int
) -> None:
    words = order_words(orders)
    counted = (
        "cut to the exchange's freeze quantity, counted as the fire drill counts them; what changes before you "
        "press changes the number."
        if orders.exact
        else "one a position, more where the exchange's freeze quantity asks for slices: lot sizes are not known while "
        "the engine is away."
    )
    slices = f"at market, {counted} Entry orders that still work are cancelled."
    if scope == EVERYONE:
        st.markdown(
            "**Every run of every user leaves**, on all accounts of this installation, and nobody's strategies start "
            f"until they are re-armed. Of yours that is **{formats.count(len(live.open_runs), 'open run')}** with "
            f"{words} {slices} What others hold is not shown here."
        )
    elif scope != MINE:
        what = f"with {words} {slices}" if orders.number or orders.crossed else "; nothing is held there."
        st.markdown(
            f"Takes every run out on **{formats.plain(name)}** only, {what} The other accounts go on. No strategy "
            f"starts on {formats.plain(name)} until you re-arm it."
        )
    elif live.open_runs:
        st.markdown(
            f"Takes **{formats.count(runs, 'open run')}** out on **{formats.count(accounts, 'account')}** with "
            f"{words} {slices} No strategy starts until you re-arm."
        )
    else:
        st.markdown("No run is open. **No strategy starts** on any account until you re-arm.")


def _label(live: LiveView, scope: int | str, name: str, *, held: bool) -> str:
    if scope == EVERYONE:
        return "Take everyone out"
    if scope != MINE:
        return f"Take {formats.plain(name)} out" if held else f"Stop entries on {formats.plain(name)}"
    return "Take everything out" if live.open_runs else "Stop all entries"


def send_halt(asked: Asked, scope: int | str) -> None:
    """Send the kill switch, after checking again who asks."""
    if scope == EVERYONE:
        send("Kill switch for everyone", lambda desk: desk.halt(asked.key, everyone=True))
    elif isinstance(scope, int):
        send("Kill switch for one account", lambda desk: desk.halt(asked.key, account_id=scope))
    else:
        send("Kill switch", lambda desk: desk.halt(asked.key))
