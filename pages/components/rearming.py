"""The ways back from what acted: a halt of everything, of an account, or the latch of one rule (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import streamlit as st

from pages.components import formats
from pages.components.asked import confirm
from pages.components.sending import ask, send

REARM_KEY = "orders-rearm-key"


@dataclass(frozen=True)
class AskedRearm:
    """What shall be re-armed: a rule of a run (``run_id``, ``latch``), or entries on an account or, without, of a user.

    ``breached``: the rule or limit is breached now, as far as the page knows; it would act at once.
    """

    key: str
    name: str
    run_id: int | None = None
    latch: str = ""
    account_id: int | None = None
    breached: bool | None = False
    everyone: bool = False


def ask_rearm(
    name: str,
    *,
    run_id: int | None = None,
    latch: str = "",
    account_id: int | None = None,
    breached: bool | None = False,
    everyone: bool = False,
) -> None:
    """Note that something shall be re-armed; the dialog confirms."""
    ask(AskedRearm(uuid4().hex, name, run_id, latch, account_id, breached, everyone))


@st.dialog("Re-arm", icon=":material/lock_open:", width="medium")
def rearm_dialog(asked: AskedRearm) -> None:
    """Ask once, saying what follows."""
    name = formats.plain(asked.name)
    if asked.run_id is not None:
        st.markdown(f"**{name}** of run {asked.run_id} acted and was latched. Re-armed, it watches the run again.")
    else:
        st.markdown(f"**Strategies may start again: {name}.** Limits of the day that acted watch the day again.")
    if asked.breached:
        st.warning("It is breached now: re-armed, **it acts at once** and sends orders.", icon=":material/bolt:")
    elif asked.breached is None:
        st.caption("How far it is from acting is not known now; what is breached acts at once.")
    label = "Re-arm, and let it act" if asked.breached else "Re-arm"
    confirm(label, asked.key, send_asked_rearm, asked)


def send_asked_rearm(asked: AskedRearm) -> None:
    """Send the re-arming, after checking again who asks."""
    run_id, account_id = asked.run_id, asked.account_id
    if run_id is not None:
        title = f"Re-arm {asked.name.lower()} of run {run_id}"
        send(title, lambda desk: desk.rearm_rule(run_id, asked.latch, asked.key))
    elif asked.everyone:
        send("Re-arm everyone", lambda desk: desk.rearm(asked.key, everyone=True))
    elif account_id is not None:
        send(f"Re-arm {asked.name}", lambda desk: desk.rearm(asked.key, account_id=account_id))
    else:
        send("Re-arm", lambda desk: desk.rearm(asked.key))


def rearm_button(*, enabled: bool, where: str = "top", breached: bool | None = False) -> None:
    """Show the way back from a halt; where a limit of the day is breached still, it asks first: that acts at once."""
    if breached:
        if st.button("Re-arm", key=f"rearm-{where}", icon=":material/lock_open:", disabled=not enabled):
            ask_rearm("all accounts together", breached=True)
            st.rerun()
        return
    key = st.session_state.setdefault(REARM_KEY, uuid4().hex)
    if st.button(
        "Re-arm",
        key=f"rearm-{where}",
        icon=":material/lock_open:",
        help="Strategies may start again on armed accounts",
        on_click=send_rearm,
        args=(key,),
        disabled=not enabled,
    ):
        st.session_state.pop(REARM_KEY, None)
        if where == "dialog":
            st.rerun()


def send_rearm(key: str) -> None:
    """Send the re-arming after a kill switch, after checking again who asks."""
    send("Re-arm", lambda desk: desk.rearm(key))
