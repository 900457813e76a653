"""Links to the server's own routes, in the same tab: Streamlit's link buttons open another one."""

from __future__ import annotations

import streamlit as st


def same_tab_link(label: str, path: str, *, icon: str) -> None:
    """Show a link to a fixed path of this server; neither may come from a person."""
    st.markdown(f'<a href="{path}" target="_self">{icon} {label}</a>', unsafe_allow_html=True)
