"""AlgoMirror: the server (imported as module ``Home``) and the pages (run as ``__main__``) of one Streamlit app."""

from __future__ import annotations

if __name__ != "__main__":
    import streamlit as st

    from engine import web

    app = st.App(__file__, lifespan=web.lifespan, routes=web.routes, middleware=web.middleware)
else:
    from pages.components.shell import main

    main()
