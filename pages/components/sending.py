"""What was ordered from this browser tab: sent under one key after checking again who asks, followed to the outcome.

A button inside a live fragment only notes what is asked for (``ask``); the dialog is opened by the page's own run,
because a fragment that runs again a second later would take a dialog of its own away. What a dialog sends carries the
key that was made when it was opened, so two presses are one order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st

from engine.desk import Desk, InvalidInput, ServiceError
from engine.services.views import CommandView, LiveView
from pages.components import formats, gate

ASKED = "orders-asked"
FOLLOWED = "orders-followed"
PROBLEM = "orders-problem"
WRONG_FIELD = "orders-wrong-field"
SHOWN_FOR = timedelta(seconds=15)
WAITING = ("pending", "taken")


@dataclass(frozen=True)
class Followed:
    """A command whose outcome is shown until a while after it came."""

    command_id: int
    title: str
    ended_at: datetime | None = None


def ask(asked: object) -> None:
    """Note what shall be confirmed in a dialog; the page's next run opens it."""
    st.session_state[ASKED] = asked


def say_when_engine_is_away(live: LiveView) -> None:
    """Say in a dialog that what is sent now waits for the engine."""
    if live.problem:
        st.warning("The order waits and is carried out as soon as the engine is back.", title=live.problem)


def send(title: str, order: Callable[[Desk], CommandView]) -> None:
    """Send an order to the engine, after checking again who asks; what stands in the way is said on the page."""
    try:
        desk = gate.provide()
        if desk is None:
            st.session_state[PROBLEM] = f"{title}: your session has ended, nothing was sent. Log in, then try again."
            return
        follow(order(desk), title)
    except ServiceError as error:
        st.session_state[PROBLEM] = f"{title}: {error}"


def send_typed(asked: object, title: str, order: Callable[[Desk], CommandView]) -> None:
    """Send what was typed in a dialog: a wrong field is said there, and the dialog stays with what was typed."""
    st.session_state.pop(WRONG_FIELD, None)

    def checked(desk: Desk) -> CommandView:
        try:
            return order(desk)
        except InvalidInput as error:
            st.session_state[WRONG_FIELD] = (asked, error)
            raise

    send(title, checked)
    if WRONG_FIELD in st.session_state:
        st.session_state.pop(PROBLEM, None)
        ask(asked)


def show_wrong_field(asked: object) -> bool:
    """Show inside the dialog which field was wrong, until the next press; it is open and need not be opened again."""
    st.session_state.pop(ASKED, None)
    dialog, error = st.session_state.get(WRONG_FIELD, (None, None))
    if dialog != asked or error is None:
        return False
    st.error(error.reason, title=f"Look at: {error.field.replace('_', ' ')}")
    return True


def follow(command: CommandView, title: str) -> None:
    """Show the outcome of a command at the top of every page until it is known."""
    known = st.session_state.setdefault(FOLLOWED, [])
    if all(item.command_id != command.id for item in known):
        known.append(Followed(command.id, title))


def show_followed(desk: Desk) -> None:
    """Show what the engine made of the orders of this browser tab; done ones leave after 15 s."""
    if problem := st.session_state.get(PROBLEM):
        st.error(problem, title="Not sent")
        st.button("Dismiss", key="dismiss-problem", type="tertiary", on_click=_forget_problem)
    kept: list[Followed] = []
    for item in st.session_state.get(FOLLOWED, []):
        try:
            command = desk.command(item.command_id)
        except ServiceError:
            continue
        if command.state in WAITING:
            text = "Waiting for the engine to take it." if command.state == "pending" else "The engine is at it."
            st.info(
                f"{text} Asked {formats.since(command.created_at, desk.now)}.",
                title=formats.plain(item.title),
                icon=":material/hourglass_top:",
            )
            kept.append(item)
            continue
        ended_at = item.ended_at or desk.now
        if command.state == "done":
            if desk.now - ended_at > SHOWN_FOR:
                continue
            st.success(
                f"**{formats.plain(item.title)}** · {formats.plain(command.message or 'Done.')}",
                icon=":material/check:",
            )
        else:
            st.error(command.message or "The engine refused it.", title=item.title)
            st.button(
                "Dismiss", key=f"dismiss-{item.command_id}", type="tertiary", on_click=_forget, args=(item.command_id,)
            )
        kept.append(Followed(item.command_id, item.title, ended_at))
    st.session_state[FOLLOWED] = kept


def _forget(command_id: int) -> None:
    st.session_state[FOLLOWED] = [item for item in st.session_state.get(FOLLOWED, []) if item.command_id != command_id]


def _forget_problem() -> None:
    st.session_state.pop(PROBLEM, None)
