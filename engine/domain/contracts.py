"""Lot, freeze, strike step and tick per contract: the effective-dated fallback of the broker's master (RULES 1).

A lot belongs to a contract on a date: two lots of one index can be live on the same day. Rows follow the exchanges'
circulars; FINNIFTY and MIDCPNIFTY lots are those of the same circulars, known at second hand only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from engine.domain.errors import ContractError
from engine.domain.instruments import Exchange

OPTION_TICK = 0.05

_BSE_INDICES = frozenset({"SENSEX", "BANKEX", "SENSEX50"})
_NSE_INDICES = frozenset({"NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50"})
_STRIKE_STEPS = {
    "NIFTY": 50.0,
    "BANKNIFTY": 100.0,
    "FINNIFTY": 50.0,
    "MIDCPNIFTY": 25.0,
    "SENSEX": 100.0,
    "BANKEX": 100.0,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a contract: lot and freeze in units (freeze None: unknown), strike step and tick in ₹.

    ``source`` is shown beside the numbers: ``table`` here, ``broker`` where they come from an instrument master.
    """

    lot_size: int
    freeze_quantity: int | None
    strike_step: float
    tick_size: float
    source: str = "table"


@dataclass(frozen=True, slots=True)
class _Lot:
    """A lot size for expiries in a range, in force from the day ``on``; a later row wins over an earlier one."""

    size: int
    first_expiry: date = date.min
    last_expiry: date = date.max
    on: date = date.min


@dataclass(frozen=True, slots=True)
class _Freeze:
    quantity: int
    on: date = date.min


_NEW_CONTRACTS_2026 = date(2025, 10, 29)  # January and February 2026 expiries were listed with the new lot
_LONG_DATED_2026 = date(2025, 12, 31)  # those listed before were converted at the end of 2025-12-30
_JANUARY_2026, _FEBRUARY_2026, _MARCH_2026 = date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 1)


def _lots_of_2026(size: int) -> tuple[_Lot, _Lot]:
    return (
        _Lot(size, _JANUARY_2026, _FEBRUARY_2026, on=_NEW_CONTRACTS_2026),
        _Lot(size, _MARCH_2026, on=_LONG_DATED_2026),
    )


_LOTS: dict[str, tuple[_Lot, ...]] = {
    "NIFTY": (
        _Lot(50),
        _Lot(25, date(2024, 5, 2), on=date(2024, 4, 26)),
        _Lot(75, date(2025, 1, 2), on=date(2024, 11, 20)),
        _Lot(25, date(2025, 1, 30), date(2025, 1, 30)),
        *_lots_of_2026(65),
    ),
    "BANKNIFTY": (
        _Lot(15),
        _Lot(30, date(2025, 2, 1), on=date(2024, 11, 20)),
        _Lot(35, date(2025, 7, 1), on=date(2025, 4, 25)),
        *_lots_of_2026(30),
    ),
    "FINNIFTY": (_Lot(65, date(2025, 2, 1), on=date(2024, 11, 20)), *_lots_of_2026(60)),
    "MIDCPNIFTY": (
        _Lot(120, date(2025, 2, 1), on=date(2024, 11, 20)),
        _Lot(140, date(2025, 7, 1), on=date(2025, 4, 25)),
        *_lots_of_2026(120),
    ),
    "SENSEX": (_Lot(10), _Lot(20, date(2025, 1, 1), on=date(2024, 11, 20))),
    "BANKEX": (_Lot(30, date(2025, 1, 1), on=date(2024, 11, 20)),),
}

_FREEZES: dict[str, tuple[_Freeze, ...]] = {
    "NIFTY": (_Freeze(1800, date(2023, 4, 3)),),
    "BANKNIFTY": (
        _Freeze(900, date(2023, 4, 3)),
        _Freeze(600, date(2025, 7, 1)),
        _Freeze(900, date(2025, 9, 1)),
        _Freeze(600, date(2025, 11, 3)),
    ),
    "FINNIFTY": (
        _Freeze(1800, date(2023, 4, 3)),
        _Freeze(1200, date(2025, 12, 1)),
        _Freeze(1800, date(2026, 2, 1)),
    ),
    "MIDCPNIFTY": (
        _Freeze(2800, date(2024, 8, 1)),
        _Freeze(4200, date(2025, 3, 3)),
        _Freeze(2800, date(2025, 7, 1)),
    ),
    "SENSEX": (_Freeze(1000),),
    "BANKEX": (_Freeze(900),),
}


def fallback_contract_terms(underlying: str, expiry: date, on: date) -> Terms:
    """Return the terms of an index contract with this expiry on a day, from the table (RULES 1).

    For accounts without an instrument master only: the broker's figures win where they exist. The tick is that of
    options. Raises ContractError for an underlying or expiry without a row.

    >>> fallback_contract_terms("NIFTY", date(2025, 12, 30), date(2025, 12, 1)).lot_size
    75
    >>> fallback_contract_terms("NIFTY", date(2026, 12, 1), date(2026, 11, 22))
    Terms(lot_size=65, freeze_quantity=1800, strike_step=50.0, tick_size=0.05, source='table')
    """
    rows = _LOTS.get(underlying)
    if rows is None:
        raise ContractError("underlying", f"no lot size is tabled for {underlying}: connect an account for its master")
    lots = [row.size for row in rows if row.first_expiry <= expiry <= row.last_expiry and row.on <= on]
    if not lots:
        raise ContractError("expiry", f"no lot size is tabled for {underlying} {expiry} on {on}")
    freezes = [row.quantity for row in _FREEZES[underlying] if row.on <= on]
    return Terms(lots[-1], freezes[-1] if freezes else None, _STRIKE_STEPS[underlying], OPTION_TICK)


def derivatives_exchange(underlying: str) -> Exchange:
    """Return where futures and options of an underlying trade: BFO for BSE's indices, else NFO (RULES 1).

    >>> derivatives_exchange("SENSEX"), derivatives_exchange("BANKNIFTY")
    (<Exchange.BFO: 'BFO'>, <Exchange.NFO: 'NFO'>)
    """
    return Exchange.BFO if underlying in _BSE_INDICES else Exchange.NFO


def index_exchange(underlying: str) -> Exchange:
    """Return where an index itself is quoted (RULES 1). Raises ContractError for what is no index of NSE or BSE.

    >>> index_exchange("SENSEX")
    <Exchange.BSE_INDEX: 'BSE_INDEX'>
    """
    if underlying in _BSE_INDICES:
        return Exchange.BSE_INDEX
    if underlying in _NSE_INDICES:
        return Exchange.NSE_INDEX
    raise ContractError("underlying", f"{underlying} is not an index of NSE or BSE")
