"""Market data: the endpoints of all its calls."""

from __future__ import annotations

from engine.paper import chain_calls, greeks_calls, history_calls, instrument_calls, quote_calls

ENDPOINTS = (
    *quote_calls.ENDPOINTS,
    *instrument_calls.ENDPOINTS,
    *chain_calls.ENDPOINTS,
    *greeks_calls.ENDPOINTS,
    *history_calls.ENDPOINTS,
)
