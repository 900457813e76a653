"""The vocabulary of the exchange: what is traded, where, how, and under which key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple


class Exchange(StrEnum):
    """Exchange segments by OpenAlgo's names."""

    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"
    NCDEX = "NCDEX"
    NCO = "NCO"
    NSE_INDEX = "NSE_INDEX"
    BSE_INDEX = "BSE_INDEX"
    MCX_INDEX = "MCX_INDEX"
    GLOBAL_INDEX = "GLOBAL_INDEX"
    CRYPTO = "CRYPTO"


class Product(StrEnum):
    """CNC delivery equity, NRML carried derivatives, MIS intraday."""

    CNC = "CNC"
    NRML = "NRML"
    MIS = "MIS"


class PriceType(StrEnum):
    """Kinds of order price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class Action(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a purchase, −1 for a sale."""
        return 1 if self is Action.BUY else -1

    @property
    def opposite(self) -> Action:
        """The side that undoes this one."""
        return Action.SELL if self is Action.BUY else Action.BUY


class InstrumentType(StrEnum):
    """Kinds of instrument, as OpenAlgo's ``instrumenttype`` names them."""

    CE = "CE"
    PE = "PE"
    FUT = "FUT"
    EQ = "EQ"
    INDEX = "INDEX"


class Key(NamedTuple):
    """What a position is kept under (RULES, first paragraph)."""

    account_id: int
    symbol: str
    exchange: Exchange
    product: Product


@dataclass(frozen=True, slots=True)
class Contract:
    """One tradable instrument on a date.

    ``lot_size`` and ``freeze_quantity`` count units; ``freeze_quantity`` None means unknown. ``tick_size`` in ₹.
    ``source`` says where lot and freeze came from: ``broker`` or ``table``.
    """

    symbol: str
    exchange: Exchange
    underlying: str
    instrument_type: InstrumentType
    expiry: date | None
    strike: float
    lot_size: int
    tick_size: float
    freeze_quantity: int | None
    source: str = "broker"


LIVE = "live"
"""The venue of real markets; analyzer accounts belong to it too. Every paper exchange is a venue of its own."""
