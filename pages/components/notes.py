"""Short messages that outlive a rerun, at the top of the page: a toast would lie over the kill switch."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from pages.components import formats

NOTES = "notes"


class Note(NamedTuple):
    """One message; ``wrong``: something could not be done."""

    text: str
    wrong: bool


def note(text: str, *, wrong: bool = False) -> None:
    """Have a message shown at the next run of the page, until the one after."""
    st.session_state.setdefault(NOTES, []).append(Note(text, wrong))


def show_notes() -> None:
    """Show what was noted, once."""
    for one in st.session_state.pop(NOTES, []):
        if one.wrong:
            st.error(formats.plain(one.text), icon=":material/error:")
        else:
            st.success(formats.plain(one.text), icon=":material/check:")
