"""Closing a run by hand: all of it, one account, or a part of it by legs and by share; asked once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from engine.services.part_views import exit_orders, leaving
from engine.services.views import LiveView, PositionView, RunView
from pages.components import formats
from pages.components.asked import Asked, ask_close, confirm
from pages.components.notes import note
from pages.components.sending import say_when_engine_is_away, send
from pages.components.tables import exit_orders_table

ALL, PART = "all", "part"
WHOLE = 100.0


class Part(NamedTuple):
    """What of a run shall be closed: legs by number (empty: all of them), and how much of each in %."""

    legs: tuple[int, ...] = ()
    share: float = WHOLE

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.legs and self.share >= WHOLE


def close_run_buttons(run: RunView, *, where: str, enabled: bool) -> None:
    """Show the ways to close a run inside a live fragment; they only ask, the dialog confirms."""
    with st.container(horizontal=True, gap="small"):
        if st.button("Close run", key=f"close-{where}-{run.id}", icon=":material/logout:", disabled=not enabled):
            ask_close(run.id)
            st.rerun()
        held = {position.account_id: position.account for position in run.positions if position.exit_quantity}
        if len(held) > 1:
            chosen = st.menu_button(
                "Close one account",
                list(held),
                key=f"close-one-{where}-{run.id}",
                format_func=lambda account_id: held.get(account_id, ""),
                disabled=not enabled,
            )
            if chosen is not None:
                ask_close(run.id, chosen, held.get(chosen, "this account"))
                st.rerun()


def close_dialog(asked: Asked, live: LiveView) -> None:
    """Open the dialog, unless the run has ended meanwhile."""
    run = next((run for run in live.open_runs if run.id == asked.run_id), None)
    if run is None:
        note("This run has ended.")
        return
    # the title says whether all of the run is meant: it is not known before
    dialog = st.dialog(formats.plain(asked.title), icon=":material/logout:", width="medium")
    dialog(_dialog)(asked, run, live)


def _dialog(asked: Asked, run: RunView, live: LiveView) -> None:
    held = [row for row in run.positions if row.exit_quantity and asked.account_id in {None, row.account_id}]
    part = _part(asked, held)
    chosen = [row for row in held if part is None or not part.legs or row.leg_index in part.legs]
    positions = chosen if part is None else _leaving(asked, run, part)
    accounts = {row.account_id: row.account for row in positions}
    names = ", ".join(formats.plain(name) for name in accounts.values()) or "no account"
    verb = "Closes" if part is None or part.everything else "Closes a part of"
    if asked.account_id is None:
        what = f"{verb} **{formats.plain(run.strategy)}** (run {run.id}) on **{names}**"
    else:
        what = f"{verb} run {run.id} ({formats.plain(run.strategy)}) on **{formats.plain(asked.account)}** only"
    orders = exit_orders(positions)
    st.markdown(
        f"{what} with {'' if orders.exact else 'at least '}**{formats.count(orders.number, 'order')}** at market, sold "
        "legs first, in slices where the exchange's freeze quantity asks for them."
    )
    others = {row.account for row in run.positions if row.exit_quantity} - {asked.account}
    if asked.account_id is not None and others:
        st.markdown(f"It stays open on **{formats.plain(', '.join(sorted(others)))}**.")
    if part is not None and not part.everything:
        _say_what_stays(part, held, chosen)
    say_when_engine_is_away(live)
    if positions:
        exit_orders_table(positions)
    elif chosen:
        st.info("Nothing would leave: what you chose covers sold legs that stay open.")
    else:
        st.info("Nothing is open here as far as the engine knows; entry orders that still work are cancelled.")
    label = f"{asked.title} everywhere" if asked.account_id is None else formats.plain(asked.title)
    if part is not None:
        label = f"Close a part of run {asked.run_id}"
    confirm(label, asked.key, send_close, asked, part, ready=part is None or bool(positions))


def _leaving(asked: Asked, run: RunView, part: Part) -> list[PositionView]:
    """Return what would leave, in the units that would."""
    account_ids = () if asked.account_id is None else (asked.account_id,)
    return leaving(run, account_ids=account_ids, legs=part.legs, share=part.share)


def _part(asked: Asked, held: Sequence[PositionView]) -> Part | None:
    """Ask whether all of it or a part is meant; None is all of it."""
    if not held:
        return None
    legs = {row.leg_index: row.symbol for row in held if row.leg_index}
    how = st.segmented_control(
        "What",
        [ALL, PART],
        default=ALL,
        required=True,
        format_func=lambda one: {ALL: "All of it", PART: "A part"}.get(one, ""),
        key=f"what-{asked.key}",
        label_visibility="collapsed",
    )
    if how != PART:
        return None
    left, right = st.columns([3, 2])
    chosen = left.multiselect(
        "Legs",
        sorted(legs),
        format_func=lambda leg: f"{leg}: {legs.get(leg, '')}",
        placeholder="every leg",
        key=f"legs-{asked.key}",
    )
    share = right.number_input(
        "Share of each, %",
        min_value=1.0,
        max_value=WHOLE,
        value=WHOLE,
        step=5.0,
        format="%g",
        key=f"share-{asked.key}",
        help="In whole lots: half a lot counts as one, and at least one lot of each leaves",
    )
    return Part(tuple(chosen), WHOLE if share is None else float(share))


def _say_what_stays(part: Part, held: Sequence[PositionView], positions: Sequence[PositionView]) -> None:
    said = []
    if part.share < WHOLE:
        said.append(
            f"Of each leg **{formats.percent(part.share)}** in whole lots leaves, at least one lot: the quantities "
            "below. The rest stays open."
        )
    if left := [row.symbol for row in held if row not in positions]:
        said.append(f"Open stays: {formats.plain(', '.join(dict.fromkeys(left)))}.")
    sold_stay = part.share < WHOLE or any(row.quantity < 0 for row in held if row not in positions)
    if sold_stay and any(row.quantity > 0 for row in positions):
        said.append("A bought leg is sold only when no sold leg of this run and account is open: it waits for that.")
    for one in said:
        st.markdown(one)


def send_close(asked: Asked, part: Part | None = None) -> None:
    """Send the exit of a run or of a part of it, after checking again who asks."""
    run_id = asked.run_id
    if run_id is None:
        return
    account_ids = None if asked.account_id is None else [asked.account_id]
    if part is None or part.everything:
        send(asked.title, lambda desk: desk.close_run(run_id, account_ids, asked.key))
        return
    legs = list(part.legs) or None
    share = None if part.share >= WHOLE else part.share
    send(
        f"{asked.title}, a part",
        lambda desk: desk.close_run(run_id, account_ids, asked.key, leg_indexes=legs, share=share),
    )
