"""Which dialog was asked for: the kill switch, closing, re-arming and all else that is confirmed once."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk
from pages.components.adopting import AskedAdoption, adoption_dialog
from pages.components.asked import Asked, ask_kill_switch
from pages.components.closing import close_dialog, close_run_buttons
from pages.components.declaring import AskedDeclaration, declaration_dialog
from pages.components.kill_switch import kill_dialog
from pages.components.live import read_now
from pages.components.rearming import AskedRearm, rearm_button, rearm_dialog
from pages.components.risk_limits import AskedLimits, limits_dialog
from pages.components.sending import ASKED, WAITING, follow, show_followed
from pages.components.taking_over import AskedTakeOver, take_over_dialog

__all__ = [
    "WAITING",
    "Asked",
    "ask_kill_switch",
    "close_run_buttons",
    "follow",
    "forget_asked",
    "open_asked_dialog",
    "rearm_button",
    "show_followed",
]


def open_asked_dialog(desk: Desk) -> None:
    """Open the dialog that was asked for; ``forget_asked`` at the end of a whole run makes it once.

    A run that another one cuts short would otherwise take the dialog with it, and the press would be lost.
    """
    asked = st.session_state.get(ASKED)
    if asked is None:
        return
    live = read_now(desk).live
    match asked:
        case AskedDeclaration():
            declaration_dialog(asked, live, desk.now)
        case AskedTakeOver():
            take_over_dialog(asked, live)
        case AskedAdoption():
            adoption_dialog(asked, live)
        case AskedRearm():
            rearm_dialog(asked)
        case AskedLimits():
            limits_dialog(asked, live)
        case Asked(run_id=None):
            kill_dialog(asked, live, desk)
        case Asked():
            close_dialog(asked, live)


def forget_asked() -> None:
    """Note that the dialog stands: the page was run to its end."""
    st.session_state.pop(ASKED, None)
