"""Preview, then Execute: what would be sent, on which account, why so many lots; sent once under one key (RULES 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import streamlit as st

from engine.desk import Desk, ServiceError
from engine.services.views import AccountView, CommandView, PreviewView, StrategyView
from pages.components import formats, gate, places
from pages.components.live import read_now
from pages.components.notes import note
from pages.components.orders import WAITING
from pages.components.tables import preview_accounts_table, preview_legs_table, preview_orders_table

PREVIEW_GOOD_FOR_SECONDS = 60.0


@dataclass(frozen=True)
class Sending:
    """How far a strategy is on its way: the preview, what it was asked with, and the entry ordered from it."""

    preview_id: int
    version: int
    account_ids: tuple[int, ...]
    seen_run_ids: tuple[int, ...]
    key: str
    execute_id: int | None = None
    settled: bool = False
    problem: str = ""


def send_panel(desk: Desk, strategy: StrategyView, accounts: Sequence[AccountView]) -> None:
    """Show accounts, Preview and what came of it."""
    sending: Sending | None = st.session_state.get(_place(strategy.id))
    begun = None if sending is None or sending.execute_id is None else desk.command(sending.execute_id)
    if begun is not None:  # first of all: the page may be scrolled, and a long preview lies below
        st.fragment(_outcome, run_every=0.4 if begun.state in WAITING else 2.0)(begun.id)
    names = {account.id: account.name for account in accounts}
    chosen_key = f"send-accounts-{strategy.id}-{strategy.version}"
    chosen = st.pills(
        "Accounts",
        list(names),
        selection_mode="multi",
        default=[account_id for account_id in strategy.account_ids if account_id in names],
        format_func=lambda account_id: names.get(account_id, ""),
        key=chosen_key,
        wrap=True,
    )
    again = False
    others = _others(strategy, begun)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Preview",
            key="preview",
            icon=":material/visibility:",
            disabled=not chosen or not desk.may_trade,
            on_click=ask_preview,
            args=(strategy, chosen_key),
        )
        if others:  # on the line of the button: it must not move the form below when a run begins or ends
            again = st.checkbox("Run again: open another run beside it", key=f"again-{strategy.id}-{len(others)}")
    waiting = sending is not None and not sending.settled
    st.fragment(_progress, run_every=0.4 if waiting else 2.0)(strategy, again=again)


def warn_of_open_runs(desk: Desk, strategy: StrategyView) -> None:
    """Say which runs of the strategy are open, other than the one just sent; below the form, which it must not move."""
    sending: Sending | None = st.session_state.get(_place(strategy.id))
    begun = None if sending is None or sending.execute_id is None else desk.command(sending.execute_id)
    if others := _others(strategy, begun):
        runs = ", ".join(map(str, others))
        st.warning(f"A run of this strategy is open already ({runs}).", icon=":material/info:")


def _others(strategy: StrategyView, begun: CommandView | None) -> list[int]:
    return [run for run in strategy.open_run_ids if begun is None or run != begun.outcome.get("run_id")]


def ask_preview(strategy: StrategyView, chosen_key: str) -> None:
    """Ask the engine what Execute would send to the chosen accounts; what was sent before is forgotten."""
    chosen = tuple(st.session_state.get(chosen_key) or ())
    try:
        desk = gate.provide()
        if desk is None:
            return
        view = desk.request_preview(strategy.id, list(chosen))
    except ServiceError as error:
        note(str(error), wrong=True)
        return
    st.session_state[_place(strategy.id)] = Sending(
        preview_id=view.id,
        version=strategy.version,
        account_ids=chosen,
        seen_run_ids=tuple(strategy.open_run_ids),
        key=uuid4().hex,
    )


def send(strategy_id: int, again: bool, contracts: tuple[str, ...]) -> None:
    """Order the entry of the previewed contracts; a second press finds the first one's command."""
    sending: Sending | None = st.session_state.get(_place(strategy_id))
    if sending is None or sending.execute_id is not None:
        return
    try:
        desk = gate.provide()
        if desk is None:
            return
        view = desk.execute(
            strategy_id,
            sending.version,
            list(sending.account_ids),
            list(sending.seen_run_ids),
            sending.key,
            again=again,
            contracts=list(contracts),
        )
    except ServiceError as error:
        st.session_state[_place(strategy_id)] = replace(sending, problem=str(error))
        return
    st.session_state[_place(strategy_id)] = replace(sending, execute_id=view.id, settled=False, problem="")


def _progress(strategy: StrategyView, *, again: bool) -> None:
    desk = gate.fragment_desk()
    sending: Sending | None = st.session_state.get(_place(strategy.id))
    if sending is None:
        st.caption("Preview shows contracts, prices, lots and orders before anything is sent.")
        return
    if sending.version != strategy.version:
        st.caption("The strategy was changed after this preview. Preview it again.")
        return
    asked = desk.command(sending.preview_id)
    ordered = None if sending.execute_id is None else desk.command(sending.execute_id)
    if asked.state in WAITING:
        _waiting("The engine reads the chain and the funds…", desk)
    elif asked.state != "done" or "preview" not in asked.outcome:
        st.error(asked.message or "The engine gave no preview.", title="No preview")
    else:
        preview = PreviewView.model_validate(asked.outcome["preview"])
        if ordered is None or ordered.state != "done":
            _show_preview(desk, strategy, sending, preview, again=again)
        else:
            with st.expander("The preview that was sent", icon=":material/visibility:"):
                _show_preview(desk, strategy, sending, preview, again=again)
    if sending.problem:
        st.error(sending.problem, title="Not sent")
    last = ordered or asked
    if last.state not in WAITING and not sending.settled:
        st.session_state[_place(strategy.id)] = replace(sending, settled=True)
        st.rerun()  # the page above learns of the new run, and this part slows down


def _show_preview(desk: Desk, strategy: StrategyView, sending: Sending, preview: PreviewView, *, again: bool) -> None:
    seconds = (desk.now - preview.as_of).total_seconds()
    old = seconds > PREVIEW_GOOD_FOR_SECONDS
    orders = sum(len(account.orders) for account in preview.accounts)
    takers = [account for account in preview.accounts if account.lots]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(f"{preview.underlying} {formats.price(preview.spot)}", icon=":material/show_chart:", color="blue")
        st.badge(f"Read {formats.age(max(0.0, seconds))}", color="orange" if old else "green")
        if preview.expiry_day:
            st.badge("Expiry day", icon=":material/event:", color="orange")
    preview_legs_table(preview)
    preview_accounts_table(preview, behind=max(0.0, seconds))
    row = "expiry day" if preview.expiry_day else "other day"
    st.caption(
        f"Margin of one structure: from the margin table, row “{row}”, which changes with the day; the broker may ask "
        "for another amount."
    )
    for account in preview.accounts:
        if not account.lots:
            reason = formats.plain(account.reason or account.bound_by)
            st.caption(f":orange[:material/block: {formats.plain(account.account)} takes no part:] {reason}")
    if orders:
        with st.expander(f"{formats.count(orders, 'order')} in the order they would go", icon=":material/list:"):
            preview_orders_table(preview)
    halted = read_now(desk).live.halted
    if halted:
        st.warning("The kill switch was pressed: re-arm at the top of the page first.", title="Halted: no entries")
    needs_again = bool(strategy.open_run_ids) and not again
    reason = (
        "Sent already; preview again for another one" if sending.execute_id is not None
        else "No account can take a lot" if not orders
        else "The preview is more than a minute old; preview again" if old
        else "Entries are halted; re-arm first" if halted
        else "Tick “Run again” first: a run is open" if needs_again
        else None
    )  # fmt: skip
    limits = sum(order.price is not None for account in preview.accounts for order in account.orders)
    kind = (
        "at market" if not limits
        else "with limits reckoned anew from bid and ask" if limits == orders
        else f"({limits} of them with limits reckoned anew from bid and ask, the others at market)"
    )  # fmt: skip
    st.markdown(
        f"Execute sends **{formats.count(orders, 'order')}** {kind} to **{formats.count(len(takers), 'account')}**, "
        "sized again from funds read fresh at that moment. Strikes are resolved again; if they differ from these "
        "contracts nothing is sent."
    )
    if st.button(
        "Execute",
        key="execute",
        type="primary",
        icon=":material/send:",
        disabled=reason is not None or not desk.may_trade,
        help=reason,
        on_click=send,
        args=(strategy.id, again, tuple(leg.symbol for leg in preview.legs)),
    ):
        st.rerun()  # this part runs faster while the engine is at it


def _outcome(command_id: int) -> None:
    """Show what became of Execute, above what it was ordered from."""
    desk = gate.fragment_desk()
    _show_outcome(desk.command(command_id), desk)


def _show_outcome(ordered: CommandView, desk: Desk) -> None:
    if ordered.state in WAITING:
        _waiting("Sent to the engine…", desk)
    elif ordered.state == "done":
        run = ordered.outcome.get("run_id")
        seen = next((seen for seen in read_now(desk).live.runs if seen.id == run), None)
        if seen is not None and seen.state == "refused":
            st.error(formats.plain(seen.reason or "The engine refused it."), title=f"Run {run} was refused")
            return
        st.success(ordered.message or "The run has begun.", title=f"Run {run}" if run is not None else "Done")
        st.page_link(places.POSITIONS, label="Watch it on Positions", icon=":material/stacked_line_chart:")
    else:
        st.error(ordered.message or "The engine refused it.", title="Nothing was sent")


def _waiting(text: str, desk: Desk) -> None:
    engine = read_now(desk).engine
    if engine.alive:
        st.info(text, icon=":material/hourglass_top:")
    else:
        st.warning("Nothing is sent unless it comes back within 15 seconds.", title=engine.problem)


def _place(strategy_id: int) -> str:
    return f"sending-{strategy_id}"
