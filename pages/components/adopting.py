"""A quantity that nobody here owns, taken into an open run: asked once, at a price that a person gives (RULES 6)."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from engine.desk import Desk
from engine.services.views import CommandView, LiveView, RunView
from pages.components import formats
from pages.components.notes import note
from pages.components.sending import say_when_engine_is_away, send_typed, show_wrong_field


@dataclass(frozen=True)
class AskedAdoption:
    """What stands outside on an account and shall belong to a run; ``quantity`` signed, ``key``: of the command."""

    key: str
    account_id: int
    account: str
    symbol: str
    exchange: str
    product: str
    quantity: int

    def field(self, name: str) -> str:
        """Return the widget key of a field of this dialog."""
        return f"adopt-{self.key}-{name}"


def runs_for(live: LiveView, account_id: int, symbol: str) -> list[RunView]:
    """Return the open runs that trade a contract and stand on an account, newest first: those that may adopt it."""
    return [
        run
        for run in reversed(live.open_runs)
        if any(row.account_id == account_id for row in run.accounts)
        and any(row.symbol == symbol for row in run.positions)
    ]


def adoption_dialog(asked: AskedAdoption, live: LiveView) -> None:
    """Open the dialog, unless no run is left that could take it."""
    runs = runs_for(live, asked.account_id, asked.symbol)
    if not runs:
        note(f"No open run on {asked.account} trades {asked.symbol}.", wrong=True)
        return
    _dialog(asked, runs, live)


@st.dialog("Adopt into a run", icon=":material/move_to_inbox:", width="medium")
def _dialog(asked: AskedAdoption, runs: list[RunView], live: LiveView) -> None:
    wrong = show_wrong_field(asked)
    st.markdown(
        f"**{formats.quantity(asked.quantity)} {formats.plain(asked.symbol)}** ({asked.product}) stands on "
        f"**{formats.plain(asked.account)}** and belongs to nobody here."
    )
    names = {run.id: f"Run {run.id} · {run.strategy}" for run in runs}
    st.selectbox("Into", list(names), format_func=lambda run_id: names.get(run_id, ""), key=asked.field("run"))
    left, right = st.columns(2)
    low, high = sorted((0, asked.quantity))
    left.number_input(
        "Quantity", min_value=low, max_value=high, value=asked.quantity, step=1, key=asked.field("quantity"),
        help="Above 0 for what is owned, below 0 for what was sold",
    )  # fmt: skip
    right.number_input("Price it came at ₹", min_value=0.0, value=None, step=0.05, key=asked.field("price"))
    st.info(
        "The run owns it as if it had traded it at this price: its P, its stops and its exit count it, and Close takes "
        "it off at market. Nothing is sent now.",
        title="What follows",
    )
    say_when_engine_is_away(live)
    with st.container(horizontal=True):
        pressed = st.button("Adopt", key=asked.field("send"), type="primary", on_click=send_adoption, args=(asked,))
        if st.button("Leave it outside", key=asked.field("keep")) or (pressed and not wrong):
            st.rerun()


def send_adoption(asked: AskedAdoption) -> None:
    """Send what was chosen and typed."""
    typed = st.session_state
    run_id, quantity, price = (typed.get(asked.field(name)) for name in ("run", "quantity", "price"))
    if run_id is None:
        return

    def order(desk: Desk) -> CommandView:
        return desk.adopt(
            run_id,
            asked.account_id,
            asked.key,
            symbol=asked.symbol,
            exchange=asked.exchange,
            product=asked.product,
            quantity=quantity or 0,
            price=price,
        )

    send_typed(asked, f"Adopt {asked.symbol} into run {run_id}", order)
