"""Market data of an account whose broker refuses its session: 500 with the broker's words, in both modes.

OpenAlgo asks the broker for every price, also for its sandbox. ``quotes``, ``multiquotes``, ``depth`` and
``optionchain`` are recorded (``*.broker-token-expired``); the others put the same reason behind their own words.
"""

from __future__ import annotations

from typing import Any

from engine.paper.accounts import Account, Token
from engine.paper.live_orders import BAD_TOKEN
from engine.paper.wire import Refusal

_REASON = f"API Error: {BAD_TOKEN}"
_NO_QUOTES = f"Error fetching quotes: {_REASON}"
NO_UNDERLYING = "Failed to fetch LTP for {}. " + _NO_QUOTES
WORDS = {
    "quotes": _NO_QUOTES,
    "multiquotes": f"Error fetching multiquotes: {_REASON}",
    "depth": f"Error fetching market depth: {_REASON}",
    "history": f"Error fetching historical data: {_REASON}",
    "optionchain": "Failed to fetch LTP for {}: " + _NO_QUOTES,
    "optionsymbol": NO_UNDERLYING,
    "syntheticfuture": NO_UNDERLYING,
    "optiongreeks": f"Failed to fetch option price: {_NO_QUOTES}",
    "multioptiongreeks": f"Failed to fetch option price: {_NO_QUOTES}",
    "margin": f"Failed to calculate margin: {_REASON}",
}


def require(account: Account | None, endpoint: str, values: dict[str, Any]) -> None:
    """Raise Refusal (500) if an endpoint's answer has to come from a broker that refuses the account's session."""
    words = WORDS.get(endpoint)
    if words is not None and account is not None and account.token is Token.DEAD:
        raise Refusal(500, words.format(values.get("underlying", "")))
