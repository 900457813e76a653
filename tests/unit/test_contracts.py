from datetime import date

import pytest

from engine.domain.contracts import derivatives_exchange, fallback_contract_terms, index_exchange
from engine.domain.errors import ContractError
from engine.domain.instruments import Exchange

NOW = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("underlying", "expiry", "on", "lot"),
    [
        ("NIFTY", date(2024, 4, 25), date(2024, 4, 20), 50),
        ("NIFTY", date(2024, 5, 2), date(2024, 4, 26), 25),
        ("NIFTY", date(2024, 12, 19), date(2024, 12, 1), 25),
        ("NIFTY", date(2025, 1, 2), date(2024, 12, 20), 75),
        ("NIFTY", date(2025, 1, 30), date(2025, 1, 28), 25),
        ("NIFTY", date(2025, 2, 27), date(2025, 1, 28), 75),
        ("NIFTY", date(2025, 12, 30), date(2025, 12, 30), 75),
        ("NIFTY", date(2026, 1, 6), date(2025, 12, 29), 65),
        ("NIFTY", date(2026, 1, 6), date(2025, 10, 28), 75),
        ("NIFTY", date(2026, 6, 30), date(2025, 12, 30), 75),
        ("NIFTY", date(2026, 6, 30), date(2025, 12, 31), 65),
        ("NIFTY", date(2026, 11, 23), NOW, 65),
        ("BANKNIFTY", date(2025, 1, 29), date(2025, 1, 2), 15),
        ("BANKNIFTY", date(2025, 2, 26), date(2025, 1, 2), 30),
        ("BANKNIFTY", date(2025, 6, 26), date(2025, 5, 2), 30),
        ("BANKNIFTY", date(2025, 7, 31), date(2025, 5, 2), 35),
        ("BANKNIFTY", date(2025, 12, 30), date(2025, 12, 1), 35),
        ("BANKNIFTY", date(2026, 1, 27), date(2025, 12, 1), 30),
        ("BANKNIFTY", date(2026, 12, 29), NOW, 30),
        ("SENSEX", date(2024, 12, 27), date(2024, 12, 2), 10),
        ("SENSEX", date(2025, 9, 11), date(2025, 9, 4), 20),
        ("SENSEX", date(2026, 11, 26), NOW, 20),
        ("BANKEX", date(2026, 11, 26), NOW, 30),
        ("FINNIFTY", date(2026, 11, 23), NOW, 60),
        ("MIDCPNIFTY", date(2026, 11, 23), NOW, 120),
    ],
)
def test_a_lot_belongs_to_the_contract_and_the_day(underlying, expiry, on, lot):
    assert fallback_contract_terms(underlying, expiry, on).lot_size == lot


def test_two_lots_of_one_index_are_live_on_the_same_day():
    on = date(2025, 12, 15)
    december = fallback_contract_terms("NIFTY", date(2025, 12, 30), on)
    january = fallback_contract_terms("NIFTY", date(2026, 1, 6), on)
    assert (december.lot_size, january.lot_size) == (75, 65)


@pytest.mark.parametrize(
    ("underlying", "on", "freeze"),
    [
        ("NIFTY", date(2023, 4, 2), None),
        ("NIFTY", date(2023, 4, 3), 1800),
        ("NIFTY", NOW, 1800),
        ("BANKNIFTY", date(2025, 6, 30), 900),
        ("BANKNIFTY", date(2025, 7, 1), 600),
        ("BANKNIFTY", date(2025, 9, 1), 900),
        ("BANKNIFTY", date(2025, 11, 2), 900),
        ("BANKNIFTY", date(2025, 11, 3), 600),
        ("BANKNIFTY", NOW, 600),
        ("FINNIFTY", date(2025, 12, 15), 1200),
        ("FINNIFTY", NOW, 1800),
        ("MIDCPNIFTY", date(2025, 3, 3), 4200),
        ("MIDCPNIFTY", NOW, 2800),
        ("SENSEX", NOW, 1000),
        ("BANKEX", NOW, 900),
    ],
)
def test_the_freeze_quantity_is_the_one_in_force_on_the_day(underlying, on, freeze):
    assert fallback_contract_terms(underlying, date(2026, 12, 29), on).freeze_quantity == freeze


@pytest.mark.parametrize(
    ("underlying", "step"),
    [("NIFTY", 50), ("BANKNIFTY", 100), ("SENSEX", 100), ("BANKEX", 100)],
)
def test_step_and_tick_come_with_the_name_of_their_source(underlying, step):
    terms = fallback_contract_terms(underlying, date(2026, 12, 29), NOW)
    assert (terms.strike_step, terms.tick_size, terms.source) == (step, 0.05, "table")


def test_an_underlying_without_a_row_is_refused():
    with pytest.raises(ContractError, match="RELIANCE"):
        fallback_contract_terms("RELIANCE", date(2026, 12, 29), NOW)


def test_a_day_before_the_first_row_is_refused():
    with pytest.raises(ContractError) as caught:
        fallback_contract_terms("BANKEX", date(2024, 6, 24), date(2024, 6, 1))
    assert caught.value.field == "expiry"


@pytest.mark.parametrize(
    ("underlying", "derivatives", "index"),
    [
        ("NIFTY", Exchange.NFO, Exchange.NSE_INDEX),
        ("BANKNIFTY", Exchange.NFO, Exchange.NSE_INDEX),
        ("FINNIFTY", Exchange.NFO, Exchange.NSE_INDEX),
        ("MIDCPNIFTY", Exchange.NFO, Exchange.NSE_INDEX),
        ("SENSEX", Exchange.BFO, Exchange.BSE_INDEX),
        ("BANKEX", Exchange.BFO, Exchange.BSE_INDEX),
    ],
)
def test_an_index_trades_and_is_quoted_on_its_own_exchanges(underlying, derivatives, index):
    assert derivatives_exchange(underlying) is derivatives
    assert index_exchange(underlying) is index


def test_a_stock_has_derivatives_on_nfo_and_no_index():
    assert derivatives_exchange("RELIANCE") is Exchange.NFO
    with pytest.raises(ContractError):
        index_exchange("RELIANCE")
