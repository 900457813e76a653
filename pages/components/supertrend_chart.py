"""The series a Supertrend exit runs on, as candles with the line, its flips, the entry and the bar that fired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import streamlit as st

from engine.services.risk_views import BarView, SeriesView, SupertrendView
from pages.components import formats
from pages.components.words import SERIES, word

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

STALE_SECONDS = 15.0
SHOWN_BARS = 100
"""The newest bars of a series: more of them are lines of a pixel on a phone."""
HEIGHT = 380
COLOURS = {
    "light": {"up": "#15803d", "down": "#dc2626", "mark": "#0369a1", "fired": "#b45309"},
    "dark": {"up": "#4ade80", "down": "#f87171", "mark": "#38bdf8", "fired": "#fbbf24"},
}
STATES = {"warming": "warming", "watching": "watches", "waiting": "waits", "fired": "fired"}
DIRECTIONS = {1: ":green[up]", -1: ":red[down]", 0: "none yet"}
SOURCES = {"history": "the broker's history", "ticks": "own ticks"}


def settings_words(view: SupertrendView) -> str:
    """Return what the exit runs on, in words."""
    series = SERIES[view.series].lower() if view.series in SERIES else view.series.partition(":")[0]
    return f"{view.period}/{view.multiplier:g} on {series}, {view.interval}"


def supertrend_line(view: SupertrendView, now: datetime, *, does: str) -> None:
    """Show in a line or two where the exit stands, inside a live fragment; ``does``: what it does when it fires."""
    turns = "up" if view.exit_on == "breakout" else "down"
    leaves = f"leaves when it turns {turns}" if view.test == "cross" else f"leaves while it points {turns}"
    head = f"**Supertrend** {formats.plain(settings_words(view))}"
    if view.state == "warming":
        st.progress(
            min(1.0, view.bars / view.needed) if view.needed else 0.0,
            text=f"{head} · :orange[warming: {view.bars} of {view.needed} bars, does not decide yet] · :gray[{does}]",
        )
        return
    parts = [head, f"points {DIRECTIONS.get(view.direction, 'none yet')}"]
    if view.line is not None and view.close is not None:
        parts.append(f"close {formats.price(view.close)}, line {formats.price(view.line)}")
    parts.append(":red[fired]" if view.state == "fired" else leaves)
    parts.append(f":gray[{does}]")
    st.markdown(f":small[{' · '.join(parts)}]")
    seen = f"Last closed bar {formats.clock(view.bar_at, now=now)} IST" if view.bar_at is not None else "No bar yet"
    source = f" from {word(SOURCES, view.source)}" if view.source else ""
    note = f" · {formats.plain(view.note)}" if view.note else ""
    waits = f" · :orange[{STATES[view.state]}]" if view.state == "waiting" else ""
    st.caption(f"{seen}{source}{waits}{note}")


def supertrend_chart(series: SeriesView, now: datetime, *, dark: bool) -> None:
    """Show the newest bars of a series with everything that its exit saw in them."""
    if not series.bars:
        st.caption("No bar of this series has closed yet.")
        return
    shown = series.bars[-SHOWN_BARS:]
    st.plotly_chart(
        figure(series, shown, dark=dark),
        key=f"supertrend-{series.run_id}",
        theme="streamlit",
        config={"displayModeBar": False, "scrollZoom": False},
    )
    own = sum(bar.source == "ticks" for bar in shown)
    parts = [f"{formats.count(len(shown), 'bar')} of {series.interval}"]
    if len(series.bars) > len(shown):
        parts.append(f"the newest of {len(series.bars)}")
    parts.append(f"{own} from own ticks, the rest from the broker's history" if own else "from the broker's history")
    if not shown[-1].closed:
        parts.append("the last one is still open and decides nothing")
    old = (now - series.as_of).total_seconds() > STALE_SECONDS
    read = f"as of {formats.clock(series.as_of, now=now)} IST"
    st.caption(f"{' · '.join(parts)} · {f':orange[{read}: it does not move]' if old else read}")
    if series.fired_at is not None:
        why = f": {formats.plain(series.fired_why)}" if series.fired_why else ""
        st.markdown(f":orange[:material/flag:] The bar of **{formats.clock(series.fired_at, now=now)}** fired{why}")


def figure(series: SeriesView, bars: Sequence[BarView], *, dark: bool) -> Figure:
    """Return the candles with the Supertrend, flips, entry and the bar that fired; one place a bar, nights left out."""
    import plotly.graph_objects as go  # noqa: PLC0415 - a second of a page's start, for pages that show no chart

    colours = COLOURS["dark" if dark else "light"]
    places = list(range(len(bars)))
    made = go.Figure()
    made.add_trace(
        go.Candlestick(
            x=places,
            open=[bar.open for bar in bars],
            high=[bar.high for bar in bars],
            low=[bar.low for bar in bars],
            close=[bar.close for bar in bars],
            text=[_hover(bar) for bar in bars],
            hoverinfo="text",
            increasing={"line": {"color": colours["up"], "width": 1}},
            decreasing={"line": {"color": colours["down"], "width": 1}},
            name="Bars",
            showlegend=False,
        )
    )
    for direction, name in ((1, "up"), (-1, "down")):
        made.add_trace(
            go.Scatter(
                x=places,
                y=[bar.line if bar.direction == direction else None for bar in bars],
                mode="lines",
                connectgaps=False,
                line={"color": colours[name], "width": 2},
                name=f"Supertrend, {name}",
                hoverinfo="skip",
            )
        )
    _marks(made, bars, colours)
    _uprights(made, series, bars, colours)
    step = max(1, len(bars) // 6)
    ticks = places[::step]
    made.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.12},
        hovermode="x",
        dragmode=False,
        xaxis={
            "tickmode": "array",
            "tickvals": ticks,
            "ticktext": [_label(bars, place, step) for place in ticks],
            "rangeslider": {"visible": False},
            "range": [-0.7, len(bars) - 0.3],
        },
        yaxis={"side": "right", "tickformat": ",.2f"},
    )
    return made


def _marks(made: Figure, bars: Sequence[BarView], colours: dict[str, str]) -> None:
    """Mark flips on the line, and bars of own ticks below the candles."""
    import plotly.graph_objects as go  # noqa: PLC0415

    for direction, symbol, name in ((1, "triangle-up", "up"), (-1, "triangle-down", "down")):
        flips = [
            place
            for place in range(1, len(bars))
            if bars[place].direction == direction and bars[place - 1].direction == -direction
        ]
        if flips:
            made.add_trace(
                go.Scatter(
                    x=flips,
                    y=[bars[place].line for place in flips],
                    mode="markers",
                    marker={"symbol": symbol, "size": 11, "color": colours[name]},
                    name=f"Turned {name}",
                    hoverinfo="skip",
                )
            )
    own = [place for place, bar in enumerate(bars) if bar.source == "ticks"]
    if own:
        low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
        made.add_trace(
            go.Scatter(
                x=own,
                y=[low - (high - low) * 0.04] * len(own),
                mode="markers",
                marker={"symbol": "square", "size": 4, "color": colours["mark"]},
                name="Own ticks",
                hoverinfo="skip",
            )
        )


def _uprights(made: Figure, series: SeriesView, bars: Sequence[BarView], colours: dict[str, str]) -> None:
    """Mark the entry and the bar that fired."""
    entry = _place_at(bars, series.entered_at)
    if entry is not None:
        made.add_vline(
            x=entry, line={"color": colours["mark"], "dash": "dot", "width": 1.5}, annotation_text="entry",
            annotation_position="top left", annotation_font_color=colours["mark"],
        )  # fmt: skip
    fired = _place_at(bars, series.fired_at)
    if fired is not None:
        made.add_vrect(x0=fired - 0.5, x1=fired + 0.5, fillcolor=colours["fired"], opacity=0.25, line_width=0)
        made.add_annotation(
            x=fired - 0.6, y=1, yref="y domain", text="fired", font={"color": colours["fired"]}, showarrow=False,
            xanchor="right", yanchor="top",
        )  # fmt: skip


def _place_at(bars: Sequence[BarView], moment: datetime | None) -> int | None:
    """Return the place of the bar that a moment falls into; None when it lies before all of them."""
    if moment is None or not bars or moment < bars[0].start:
        return None
    return max(place for place, bar in enumerate(bars) if bar.start <= moment)


def _label(bars: Sequence[BarView], place: int, step: int) -> str:
    local = bars[place].start.astimezone(formats.IST)
    before = place - step
    new_day = before < 0 or bars[before].start.astimezone(formats.IST).date() != local.date()
    return f"{local:%H:%M}<br>{local:%d %b}" if new_day else f"{local:%H:%M}"


def _hover(bar: BarView) -> str:
    local = bar.start.astimezone(formats.IST)
    opened, high, low, close = (formats.price(value) for value in (bar.open, bar.high, bar.low, bar.close))
    parts = [
        f"<b>{local:%d %b %H:%M}</b>",
        f"O {opened} H {high} L {low} C {close}",
        f"Supertrend {formats.price(bar.line)}",
        word(SOURCES, bar.source) + ("" if bar.closed else ", still open"),
    ]
    return "<br>".join(parts)
