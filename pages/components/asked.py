"""What may be asked for, to be confirmed once in a dialog: the kill switch, closing, re-arming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import streamlit as st

from pages.components.sending import ask


@dataclass(frozen=True)
class Asked:
    """What shall be confirmed: ``run_id`` None is the kill switch, ``account_id`` None every account of the run."""

    key: str
    run_id: int | None = None
    account_id: int | None = None
    account: str = ""

    @property
    def title(self) -> str:
        """What was asked for, in words."""
        if self.run_id is None:
            return "Kill switch"
        return f"Close run {self.run_id}" + (f" on {self.account}" if self.account_id is not None else "")


def ask_kill_switch() -> None:
    """Note that the kill switch was pressed."""
    ask(Asked(key=uuid4().hex))


def ask_close(run_id: int, account_id: int | None = None, account: str = "") -> None:
    """Note that a run, or its part on one account, shall be closed."""
    ask(Asked(uuid4().hex, run_id, account_id, account))


def confirm(label: str, key: str, send: Callable[..., None], *args: object, ready: bool = True) -> None:
    """Show the buttons at the end of a dialog: the one that sends under ``key``, and the way out."""
    with st.container(horizontal=True):
        pressed = st.button(label, key=f"confirm-{key}", type="primary", on_click=send, args=args, disabled=not ready)
        if pressed or st.button("Keep as it is", key=f"keep-{key}"):
            st.rerun()
