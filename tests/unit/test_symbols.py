import json
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import SymbolError
from engine.domain.instruments import Exchange, InstrumentType
from engine.domain.symbols import (
    ParsedSymbol,
    format_expiry_compact,
    format_expiry_dashed,
    format_future,
    format_option,
    parse_expiry,
    parse_symbol,
)
from tests.unit.strategies import thorough

CE, PE, FUT, EQ, INDEX = (InstrumentType[name] for name in ("CE", "PE", "FUT", "EQ", "INDEX"))
REPOSITORY = Path(__file__).parents[2]
DERIVATIVE = re.compile(r"\b[A-Z0-9&-]+\d{2}[A-Z]{3}\d{2}(?:FUT|\d[\d.]*(?:CE|PE))\b")


def recorded_symbols() -> list[tuple[str, str]]:
    places = [REPOSITORY / "tests" / "contract" / "recorded", REPOSITORY.parent / "shared" / "openalgo-contract"]
    place = next((path for path in places if path.is_dir() and any(path.rglob("*.json"))), None)
    if place is None:
        pytest.skip("the recorded OpenAlgo contract is not here")
    found: set[tuple[str, str]] = set()
    for path in sorted(place.rglob("*.json")):
        text = path.read_text(encoding="utf-8")
        found.update((symbol, "BFO" if symbol.startswith("SENSEX") else "NFO") for symbol in DERIVATIVE.findall(text))
        collect_rows(json.loads(text), found)
    return sorted(found)


def collect_rows(node: object, found: set[tuple[str, str]]) -> None:
    if isinstance(node, dict):
        symbol, exchange = node.get("symbol"), node.get("exchange")
        if isinstance(symbol, str) and symbol and exchange in list(Exchange):
            found.add((symbol, exchange))
        for value in node.values():
            collect_rows(value, found)
    elif isinstance(node, list):
        for value in node:
            collect_rows(value, found)


def formatted(parsed: ParsedSymbol) -> str:
    if parsed.expiry is None:
        return parsed.underlying
    if parsed.instrument_type is FUT:
        return format_future(parsed.underlying, parsed.expiry)
    return format_option(parsed.underlying, parsed.expiry, parsed.strike, parsed.instrument_type)


def test_every_recorded_symbol_survives_the_round_trip():
    symbols = recorded_symbols()
    assert len(symbols) > 40
    # a request in the recordings asks for a name on the wrong exchange on purpose: it must be refused, not changed
    for symbol, exchange in symbols:
        try:
            parsed = parse_symbol(symbol, exchange)
        except SymbolError:
            assert bool(DERIVATIVE.fullmatch(symbol)) == (exchange in ("NSE", "BSE", "NSE_INDEX", "BSE_INDEX")), symbol
            continue
        assert formatted(parsed) == symbol


@pytest.mark.parametrize(
    ("symbol", "exchange", "parsed"),
    [
        ("NIFTY01DEC2626000CE", "NFO", ParsedSymbol("NIFTY", CE, date(2026, 12, 1), 26000.0)),
        ("BANKNIFTY29DEC26FUT", "NFO", ParsedSymbol("BANKNIFTY", FUT, date(2026, 12, 29), 0.0)),
        ("SENSEX26NOV2685000PE", "BFO", ParsedSymbol("SENSEX", PE, date(2026, 11, 26), 85000.0)),
        ("VEDL25APR24292.5CE", "NFO", ParsedSymbol("VEDL", CE, date(2024, 4, 25), 292.5)),
        ("NIFTYNXT5028APR2668000PE", "NFO", ParsedSymbol("NIFTYNXT50", PE, date(2026, 4, 28), 68000.0)),
        ("M&M28APR26FUT", "NFO", ParsedSymbol("M&M", FUT, date(2026, 4, 28), 0.0)),
        ("360ONE28APR261100CE", "NFO", ParsedSymbol("360ONE", CE, date(2026, 4, 28), 1100.0)),
        ("BAJAJ-AUTO28APR269000CE", "NFO", ParsedSymbol("BAJAJ-AUTO", CE, date(2026, 4, 28), 9000.0)),
        ("RELIANCE", "NSE", ParsedSymbol("RELIANCE", EQ, None, 0.0)),
        ("NIFTY", "NSE_INDEX", ParsedSymbol("NIFTY", INDEX, None, 0.0)),
    ],
)
def test_a_symbol_says_what_it_is_and_is_written_back_the_same(symbol, exchange, parsed):
    assert parse_symbol(symbol, exchange) == parsed
    assert formatted(parsed) == symbol


@pytest.mark.parametrize(
    ("symbol", "exchange"),
    [
        ("", "NSE"),
        ("", "NFO"),
        ("NIFTY", "NFO"),
        ("NIFTY01DEC26CE", "NFO"),
        ("NIFTY01DEC2626000XX", "NFO"),
        ("NIFTY31NOV2626000CE", "NFO"),
        ("NIFTY01DIC2626000CE", "NFO"),
        ("nifty01DEC2626000CE", "NFO"),
        ("NIFTY01DEC26026000CE", "NFO"),
        ("NIFTY01DEC2626000.0CE", "NFO"),
        ("NIFTY01DEC260CE", "NFO"),
        ("01DEC2626000CE", "NFO"),
        ("NIFTY01DEC2626000CE", "NSE"),
        ("NIFTY01DEC26FUT", "NSE_INDEX"),
        ("NIFTY01DEC2626000CE ", "NFO"),
        ("RELI ANCE", "NSE"),
        ("NIFTY01DEC2626000CE", "NYSE"),
    ],
)
def test_a_symbol_of_another_form_is_refused(symbol, exchange):
    with pytest.raises(SymbolError):
        parse_symbol(symbol, exchange)


@pytest.mark.parametrize("text", ["01-DEC-26", "01DEC26", "01-Dec-2026", "01dec2026", " 01-DEC-26 "])
def test_the_three_written_forms_of_a_date_mean_the_same_day(text):
    assert parse_expiry(text) == date(2026, 12, 1)


@pytest.mark.parametrize("text", ["", "1DEC26", "01/12/26", "2026-12-01", "31-FEB-26", "01-DEZ-26", "01DEC6"])
def test_other_dates_are_refused(text):
    with pytest.raises(SymbolError) as caught:
        parse_expiry(text)
    assert caught.value.field == "expiry"


@pytest.mark.parametrize("strike", [0.0, -50.0, float("nan"), float("inf")])
def test_an_option_needs_a_real_strike(strike):
    with pytest.raises(SymbolError) as caught:
        format_option("NIFTY", date(2026, 12, 1), strike, CE)
    assert caught.value.field == "strike"


def test_a_future_is_not_formatted_as_an_option():
    with pytest.raises(SymbolError):
        format_option("NIFTY", date(2026, 12, 1), 26000, FUT)


@thorough
@given(
    underlying=st.sampled_from(["NIFTY", "BANKNIFTY", "NIFTYNXT50", "M&M", "BAJAJ-AUTO", "360ONE", "VEDL"]),
    expiry=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    strike=st.integers(1, 4_000_000).map(lambda twentieths: twentieths / 20),
    right=st.sampled_from([CE, PE]),
)
def test_any_option_survives_the_round_trip(underlying, expiry, strike, right):
    symbol = format_option(underlying, expiry, strike, right)
    assert parse_symbol(symbol, Exchange.NFO) == ParsedSymbol(underlying, right, expiry, strike)
    assert parse_expiry(format_expiry_dashed(expiry)) == parse_expiry(format_expiry_compact(expiry)) == expiry
