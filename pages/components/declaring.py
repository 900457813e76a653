"""A person says what became of an order in doubt: its evidence in sight, told what follows, asked once (RULES 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import streamlit as st

from engine.desk import Desk
from engine.services.views import CommandView, LiveView, UnknownOrderView
from pages.components import formats
from pages.components.doubt import evidence, order_words
from pages.components.freshness import lag
from pages.components.notes import note
from pages.components.sending import say_when_engine_is_away, send_typed, show_wrong_field

FATES = {
    "filled": "It filled, all of it",
    "working": "It still works at the broker",
    "cancelled": "It ended, not all of it filled",
    "rejected": "The broker rejected it",
    "not_received": "It never reached the broker",
}
HINTS = {
    "filled": "the broker's trade book shows it",
    "working": "the broker's order book shows it open",
    "cancelled": "cancelled or expired, with nothing or a part filled",
    "rejected": "the broker's order book shows the refusal",
    "not_received": "no book of the broker shows it",
}


@dataclass(frozen=True)
class AskedDeclaration:
    """An order in doubt about which somebody wants to say something; ``key``: of the command."""

    key: str
    order_id: int

    def field(self, name: str) -> str:
        """Return the widget key of a field of this dialog."""
        return f"declare-{self.key}-{name}"


def declaration_dialog(asked: AskedDeclaration, live: LiveView, now: datetime) -> None:
    """Open the dialog, unless the order has become known meanwhile."""
    order = next((one for one in live.unknown if one.order_id == asked.order_id), None)
    if order is None:
        note(f"Order {asked.order_id} is in doubt no more.")
        return
    _dialog(asked, order, live, now)


@st.dialog("What became of it?", icon=":material/contact_support:", width="medium")
def _dialog(asked: AskedDeclaration, order: UnknownOrderView, live: LiveView, now: datetime) -> None:
    wrong = show_wrong_field(asked)
    st.markdown(f"**{order_words(order)}**")
    with st.expander("What is known", expanded=False):
        for line in evidence(order, now, behind=lag(live.as_of, now)):
            st.markdown(line)
    say_when_engine_is_away(live)
    state = st.radio(
        "As the broker's own books show it",
        list(FATES),
        index=None,
        key=asked.field("state"),
        format_func=FATES.get,
        captions=list(HINTS.values()),
    )
    if state is not None:
        _fields(asked, order, state)
        st.info(what_follows(order, state), title="What follows")
        if state in {"rejected", "not_received"} and (order.candidates or order.moved or order.orderid):
            st.warning(
                "The books show something that may be this order. If it is, what follows comes on top of it.",
                icon=":material/warning:",
            )
    looked = st.checkbox("I have looked into the broker's own order book and trade book", key=asked.field("looked"))
    with st.container(horizontal=True):
        pressed = st.button(
            "Declare",
            key=asked.field("send"),
            type="primary",
            disabled=state is None or not looked,
            on_click=send_declaration,
            args=(asked,),
        )
        if st.button("Leave it to the engine", key=asked.field("keep")) or (pressed and not wrong):
            st.rerun()


def _fields(asked: AskedDeclaration, order: UnknownOrderView, state: str) -> None:
    """Ask for what the fate needs; nothing is filled in that a person has to look up."""
    if state == "not_received":
        return
    left, right = st.columns(2)
    match state:
        case "filled":
            left.text_input("Quantity", value=formats.grouped(order.quantity), disabled=True, key=asked.field("whole"))
            right.number_input("Average price ₹", min_value=0.0, value=None, step=0.05, key=asked.field("price"))
        case "cancelled":
            left.number_input(
                "Quantity that filled", min_value=0, value=order.filled_quantity, step=1, key=asked.field("quantity")
            )
            right.number_input(
                "Average price ₹ (if any filled)", min_value=0.0, value=None, step=0.05, key=asked.field("price")
            )
        case _:
            pass
    st.text_input(
        "Order id at the broker" if state == "working" or order.candidates else "Order id at the broker (optional)",
        value=order.orderid or "",
        key=asked.field("orderid"),
        placeholder=", ".join(order.candidates),
        help="Books that list it prove it; then the engine goes by them",
    )


def what_follows(order: UnknownOrderView, state: str) -> str:
    """Return in words what the engine does after a declaration."""
    goes_on = "The exit goes on" if order.purpose == "exit" else "The entry of this account goes on"
    again = (
        "the exit takes off what is then left, with a new order at market"
        if order.purpose == "exit"
        else "the leg has failed: the account is unwound or held, as the strategy says"
    )
    match state:
        case "filled":
            return (
                f"Run {order.run_id} counts {formats.grouped(order.quantity)} as "
                f"{'sold' if order.action == 'SELL' else 'bought'} at this price. {goes_on}."
            )
        case "working":
            return (
                "The engine follows this broker order as its own: it reads its fills from the books, and may cancel it."
            )
        case "cancelled":
            return f"Run {order.run_id} counts what filled, and {again}."
        case _:
            return (
                f"Run {order.run_id} counts nothing, and {again}. **If the order did reach the broker, there are then "
                "two of them.**"
            )


def send_declaration(asked: AskedDeclaration) -> None:
    """Send what was chosen and typed."""
    typed = st.session_state
    state = typed.get(asked.field("state"))
    if state is None or not typed.get(asked.field("looked")):
        return
    fields: dict[str, Any] = {}
    if state in {"filled", "cancelled"}:
        fields["price"] = typed.get(asked.field("price")) or None
    if state == "cancelled":
        fields["quantity"] = typed.get(asked.field("quantity"))
    named = (typed.get(asked.field("orderid")) or "").strip()
    if state == "working" or (named and state != "not_received"):
        fields["orderid"] = named

    def order(desk: Desk) -> CommandView:
        return desk.declare_order(asked.order_id, state, asked.key, **fields)

    send_typed(asked, f"Declare order {asked.order_id}", order)
