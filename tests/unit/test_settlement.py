from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA
from engine.domain.conversions import converted_to, moved_value
from engine.domain.errors import ContractError, DomainError, SymbolError
from engine.domain.instruments import Action, Exchange, Product
from engine.domain.pnl import Holding, apply_fill
from engine.domain.settlement import contract_end, intrinsic_value
from tests.unit.strategies import thorough

CALL = "NIFTY01DEC2626000CE"


@pytest.mark.parametrize(
    ("symbol", "exchange", "spot", "pays"),
    [
        (CALL, Exchange.NFO, 26_130.55, 130.55),
        (CALL, Exchange.NFO, 26_000.0, 0.0),
        (CALL, Exchange.NFO, 25_999.95, 0.0),
        ("NIFTY01DEC2626000PE", Exchange.NFO, 25_862.35, 137.65),
        ("NIFTY01DEC2626000PE", Exchange.NFO, 26_000.05, 0.0),
        ("SENSEX26NOV2685000PE", Exchange.BFO, 84_999.9, 0.1),
        ("BANKNIFTY29DEC26FUT", Exchange.NFO, 58_123.45, 58_123.45),
    ],
)
def test_expired_contract_pays_what_it_is_worth_at_the_index(symbol, exchange, spot, pays):
    assert intrinsic_value(symbol, exchange, spot) == pays


@pytest.mark.parametrize("spot", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_price_settles_nothing(spot):
    with pytest.raises(ContractError):
        intrinsic_value(CALL, Exchange.NFO, spot)


def test_share_does_not_expire():
    with pytest.raises(SymbolError):
        intrinsic_value("RELIANCE", Exchange.NSE, 1_300.0)


@given(st.integers(1, 10_000_000))
@thorough
def test_call_and_put_of_one_strike_differ_by_the_future_less_the_strike(paise):
    spot = paise / 100
    call = intrinsic_value(CALL, Exchange.NFO, spot)
    put = intrinsic_value("NIFTY01DEC2626000PE", Exchange.NFO, spot)
    future = intrinsic_value("NIFTY01DEC26FUT", Exchange.NFO, spot)
    assert round(100 * (call - put)) == round(100 * (future - 26_000))
    assert min(call, put) == 0


def test_contract_ends_with_the_last_session_of_its_expiry():
    end = contract_end(CALL, Exchange.NFO, INDIA)
    assert end.closes_at == datetime(2026, 12, 1, 10, 10, tzinfo=UTC)
    assert end.settles_until == datetime(2026, 12, 2, 3, 45, tzinfo=UTC)
    assert end.index == ("NIFTY", Exchange.NSE_INDEX)
    assert not end.over(end.closes_at - timedelta(microseconds=1))
    assert end.over(end.closes_at)


def test_price_settles_over_a_weekend_until_the_market_opens_again():
    friday = contract_end("NIFTY27NOV26FUT", Exchange.NFO, INDIA)
    assert friday.settles_until == datetime(2026, 11, 30, 3, 45, tzinfo=UTC)


def test_expiry_that_is_a_holiday_ends_on_the_trading_day_before():
    """The 24th of November 2026 is a holiday."""
    end = contract_end("NIFTY24NOV2626000CE", Exchange.NFO, INDIA)
    assert end.closes_at == datetime(2026, 11, 23, 10, 10, tzinfo=UTC)


def test_paper_exchange_ends_its_contracts_at_midnight():
    end = contract_end(CALL, Exchange.NFO, ALWAYS_OPEN)
    assert end.closes_at == datetime(2026, 12, 1, 18, 30, tzinfo=UTC)
    assert end.closes_at < end.settles_until


def test_stock_derivative_has_no_index_to_settle_against():
    assert contract_end("RELIANCE29DEC261300CE", Exchange.NFO, INDIA).index is None


@pytest.mark.parametrize(("symbol", "exchange"), [("RELIANCE", Exchange.NSE), ("junk", Exchange.NFO)])
def test_what_has_no_expiry_has_no_end(symbol, exchange):
    assert contract_end(symbol, exchange, INDIA) is None


# ── conversions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("lost", "gained", "product"),
    [
        (65, {Product.MIS: 65}, Product.MIS),
        (-65, {Product.MIS: -65, Product.CNC: 0}, Product.MIS),
        (65, {Product.MIS: -65}, None),
        (65, {Product.MIS: 130}, None),
        (130, {Product.MIS: 65, Product.CNC: 65}, None),
        (65, {Product.MIS: 65, Product.CNC: 65}, None),
        (65, {}, None),
        (0, {Product.MIS: 0}, None),
    ],
)
def test_conversion_explains_the_whole_quantity_or_nothing(lost, gained, product):
    assert converted_to(lost, gained) is product


@given(
    st.lists(st.tuples(st.sampled_from(Action), st.integers(1, 10), st.integers(0, 3_000_000)), min_size=1, max_size=5),
    st.integers(1, 50),
)
@thorough
def test_what_moves_to_another_product_changes_no_profit(fills, wanted):
    held = Holding()
    for action, lots, value in fills:
        held = apply_fill(held, action, lots * 65, value)
    if not held.quantity:
        return
    quantity = min(wanted, abs(held.quantity))
    value = moved_value(held, quantity)
    closing = Action.SELL if held.quantity > 0 else Action.BUY
    left = apply_fill(held, closing, quantity, value)
    new = apply_fill(Holding(), closing.opposite, quantity, value)
    assert left.realised_paise == held.realised_paise
    assert new.realised_paise == 0
    assert left.open_value_paise + new.open_value_paise == held.open_value_paise
    assert left.quantity + new.quantity == held.quantity


@pytest.mark.parametrize("quantity", [0, -1, 66])
def test_more_than_is_open_cannot_be_moved(quantity):
    with pytest.raises(DomainError):
        moved_value(Holding(quantity=65, open_value_paise=1), quantity)
