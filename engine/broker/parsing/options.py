"""From OpenAlgo's JSON to chains, resolved offsets and greeks: pure; BadAnswerError names the field."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from engine.broker import fields as f
from engine.broker.errors import BadAnswerError
from engine.broker.models import (
    ChainGreeks,
    ChainRow,
    ChainSide,
    OptionChain,
    OptionGreeks,
    OptionSymbol,
    SyntheticFuture,
)
from engine.broker.parsing.answer import Answer, count
from engine.broker.parsing.market import Listed, freeze_quantity
from engine.domain.instruments import Exchange, InstrumentType


def expiries(answer: Answer) -> list[date]:
    """Answer of ``expiry``: dates in ascending order; empty when the server knows none."""
    return sorted(f.expiry(value, f"data[{place}]") for place, value in enumerate(f.items(answer, "data")))


def option_chain(answer: Answer, begun_at: datetime, ended_at: datetime) -> OptionChain:
    """Answer of ``optionchain``."""
    return OptionChain(
        underlying=f.text(answer, "underlying"),
        underlying_exchange=f.word(answer, "underlying_exchange", Exchange),
        underlying_ltp=f.number(answer, "underlying_ltp"),
        atm_strike=f.number(answer, "atm_strike"),
        expiry=f.expiry(answer.get("expiry_date"), "expiry_date"),
        rows=f.each(f.items(answer, "chain"), "chain", _chain_row),
        begun_at=begun_at,
        ended_at=ended_at,
        underlying_prev_close=f.number_or_none(answer, "underlying_prev_close"),
        forward_price=f.number_or_none(answer, "forward_price"),
    )


def option_symbol(answer: Answer) -> OptionSymbol:
    """Answer of ``optionsymbol``: everything stands at the top level."""
    return OptionSymbol(
        symbol=f.text(answer, "symbol"),
        exchange=f.word(answer, "exchange", Exchange),
        lot_size=count(answer, "lotsize"),
        tick_size=f.number(answer, "tick_size"),
        freeze_quantity=freeze_quantity(answer),
        underlying_ltp=f.number(answer, "underlying_ltp"),
    )


def option_greeks(answer: Answer) -> OptionGreeks:
    """Answer of ``optiongreeks``, and one good row of ``multioptiongreeks``."""
    greeks = f.mapping(answer.get("greeks"), "greeks")
    kind = f.word(answer, "option_type", InstrumentType)
    if kind not in {InstrumentType.CE, InstrumentType.PE}:
        raise f.bad("option_type", f"{kind} is no option")
    return OptionGreeks(
        symbol=f.text(answer, "symbol"),
        exchange=f.word(answer, "exchange", Exchange),
        underlying=f.text(answer, "underlying"),
        option_type=kind,
        strike=f.number(answer, "strike"),
        expiry=f.expiry(answer.get("expiry_date"), "expiry_date"),
        days_to_expiry=f.number(answer, "days_to_expiry"),
        option_price=f.number(answer, "option_price"),
        spot_price=f.number(answer, "spot_price"),
        interest_rate=f.number(answer, "interest_rate"),
        implied_volatility=f.number(answer, "implied_volatility"),
        delta=f.number(greeks, "delta"),
        gamma=f.number(greeks, "gamma"),
        theta=f.number(greeks, "theta"),
        vega=f.number(greeks, "vega"),
        rho=f.number(greeks, "rho"),
    )


def multi_option_greeks(answer: Answer, asked: Sequence[Listed]) -> dict[Listed, OptionGreeks | str]:
    """Answer of ``multioptiongreeks``, by what was asked: greeks, or the reason why there are none."""
    found: dict[tuple[str, str], OptionGreeks | str] = {}
    for row in f.items(answer, "data"):
        if isinstance(row, dict) and isinstance(row.get("symbol"), str) and isinstance(row.get("exchange"), str):
            found[row["symbol"], row["exchange"]] = _greeks_or_reason(row)
    return {(symbol, exchange): found.get((symbol, exchange.value), "not in the answer") for symbol, exchange in asked}


def synthetic_future(answer: Answer) -> SyntheticFuture:
    """Answer of ``syntheticfuture``: everything stands at the top level."""
    return SyntheticFuture(
        underlying=f.text(answer, "underlying"),
        expiry=f.expiry(answer.get("expiry"), "expiry"),
        atm_strike=f.number(answer, "atm_strike"),
        underlying_ltp=f.number(answer, "underlying_ltp"),
        price=f.number(answer, "synthetic_future_price"),
    )


def _greeks_or_reason(row: dict[str, Any]) -> OptionGreeks | str:
    if row.get("status") != "success":
        reason = row.get("message")
        return reason if isinstance(reason, str) and reason else "no greeks and no reason given"
    try:
        return option_greeks(row)
    except BadAnswerError as error:
        return error.what


def _chain_row(row: dict[str, Any]) -> ChainRow:
    return ChainRow(strike=f.number(row, "strike"), ce=_chain_side(row, "ce"), pe=_chain_side(row, "pe"))


def _chain_side(row: dict[str, Any], name: str) -> ChainSide | None:
    if row.get(name) is None:
        return None
    side = f.mapping(row[name], name)
    return ChainSide(
        symbol=f.text(side, "symbol"),
        ltp=f.number(side, "ltp"),
        bid=f.number(side, "bid"),
        ask=f.number(side, "ask"),
        lot_size=count(side, "lotsize"),
        tick_size=f.number(side, "tick_size"),
        oi=f.whole(side, "oi"),
        volume=f.whole(side, "volume"),
        label=f.text_or_none(side, "label") or "",
        greeks=None if side.get("implied_volatility") is None else _chain_greeks(side),
    )


def _chain_greeks(side: Answer) -> ChainGreeks:
    return ChainGreeks(
        implied_volatility=f.number(side, "implied_volatility"),
        delta=f.number(side, "delta"),
        gamma=f.number(side, "gamma"),
        theta=f.number(side, "theta"),
        vega=f.number(side, "vega"),
    )
