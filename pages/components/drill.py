"""The fire drill: the kill switch rehearsed on live books, and what it would have sent (DESIGN 2)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import streamlit as st

from engine.desk import Desk, ServiceError
from engine.services.risk_views import DrillAccountView, DrillOrderView, DrillView
from pages.components import formats
from pages.components.gate import fragment_desk
from pages.components.sending import WAITING
from pages.components.tables import show_table

MINUTE = 60.0
COMMAND, PROBLEM = "drill-command", "drill-problem"


def drill_section(desk: Desk) -> None:
    """Show the button of the drill and what the last one of this browser tab found."""
    st.subheader("Fire drill", anchor=False)
    st.caption(
        "Rehearses the kill switch on what is held now: which orders, in which order, how long until everything is "
        "out, and which accounts it would not reach. **Nothing is sent and nothing is halted.**"
    )
    if desk.may_trade and st.button("Start a fire drill", key="drill", icon=":material/local_fire_department:"):
        st.session_state.pop(PROBLEM, None)
        try:
            st.session_state[COMMAND] = desk.drill(uuid4().hex).id
        except ServiceError as error:
            st.session_state[PROBLEM] = str(error)
    if problem := st.session_state.get(PROBLEM):
        st.error(problem, title="No drill")
    if COMMAND in st.session_state:
        waits = _state(desk, st.session_state[COMMAND]) in WAITING
        st.fragment(_result, run_every=0.5 if waits else None, key="drill-result")(waiting=waits)


def _state(desk: Desk, command_id: int) -> str:
    try:
        return desk.command(command_id).state
    except ServiceError:
        return "gone"


def _result(*, waiting: bool) -> None:
    desk = fragment_desk()
    command_id = st.session_state.get(COMMAND)
    if command_id is None:
        return
    try:
        command = desk.command(command_id)
        if command.state in WAITING:
            st.info("The engine rehearses it.", icon=":material/hourglass_top:")
            return
        if command.state != "done":
            st.error(command.message or "The engine refused it.", title="No drill")
            return
        if waiting:
            st.rerun()  # it is there: nothing has to be asked every half second any more
        drill = desk.drill_result(command_id)
    except ServiceError as error:
        st.error(str(error), title="No drill")
        return
    if drill is None:
        st.caption("Its result is not kept any more: start another one.")
        return
    drill_view(drill, desk)


def drill_view(drill: DrillView, desk: Desk) -> None:
    """Show what the kill switch would have done."""
    st.success(
        f"Rehearsed {formats.since(drill.as_of, desk.now)} on {formats.count(len(drill.run_ids), 'run')}. "
        "**No order was sent, nothing was cancelled and nothing is halted.**",
        icon=":material/verified_user:",
    )
    units = sum(order.quantity for order in drill.orders)
    with st.grid(4, min_column_width=150):
        st.metric("Orders", len(drill.orders), border=True)
        st.metric("Units", formats.grouped(units), border=True)
        st.metric("Until flat", _seconds(drill.seconds_to_flat), border=True, help="Of the slowest account it reaches")
        st.metric(
            "Crossed inside",
            formats.grouped(drill.crossed),
            border=True,
            help="Units that runs hold against each other: they need no order",
        )
    for account in drill.accounts:
        if account.problem:
            st.error(
                f"{formats.plain(account.problem[:1].upper() + account.problem[1:])}. What is held there stays.",
                title=f"Would not reach {formats.plain(account.account)}",
                icon=":material/cloud_off:",
            )
    for one in drill.notes:
        st.caption(f":orange[:material/info:] {formats.plain(one)}")
    if drill.accounts:
        _accounts(drill.accounts)
    if drill.orders:
        with st.expander(f"{formats.count(len(drill.orders), 'order')}, in the order of sending", key="drill-orders"):
            _orders(drill.orders)


def _seconds(seconds: float | None) -> str:
    return (
        formats.UNKNOWN
        if seconds is None
        else f"{seconds:.2f} s"
        if seconds < MINUTE
        else f"{seconds / MINUTE:.1f} min"
    )


def _accounts(accounts: Sequence[DrillAccountView]) -> None:
    show_table(
        [
            {
                "Account": formats.plain(account.account),
                "Orders": account.orders,
                "Units": formats.grouped(account.units),
                "Until flat": _seconds(account.seconds_to_flat),
                "Reached": "🔴 no" if account.problem else "🟢 yes",
            }
            for account in accounts
        ],
        alt="Accounts of the drill",
        right=("Orders", "Units", "Until flat"),
    )


def _orders(orders: Sequence[DrillOrderView]) -> None:
    show_table(
        [
            {
                "Sent after": f"{order.at_seconds:.2f} s",
                "Account": formats.plain(order.account),
                "Stage": order.stage,
                "Side": order.action,
                "Quantity": formats.grouped(order.quantity),
                "Contract": formats.plain(order.symbol),
                "Run": order.run_id,
            }
            for order in sorted(orders, key=lambda order: (order.at_seconds, order.stage, order.account_id))
        ],
        alt="Orders of the drill",
        right=("Sent after", "Quantity"),
    )
