"""What the exchange blocks for positions: premiums of bought options, span and exposure of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.domain.instruments import Contract, InstrumentType, Product

SPAN_PERCENT = 9
EXPOSURE_PERCENT = 2
HEDGED_SPAN_PERCENT = 60
"""Share of span that remains for a sold option with a bought one of the same underlying beside it."""
SHARE_MIS_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Exposure:
    """One position for margin: signed units, its cost and the underlying's value behind it in paise."""

    contract: Contract
    product: Product
    quantity: int
    cost: int
    notional: int


@dataclass(frozen=True, slots=True)
class Margin:
    """Margin in paise. ``total`` is premium, span and exposure together."""

    premium: int
    span: int
    exposure: int

    @property
    def total(self) -> int:
        """Everything that is blocked."""
        return self.premium + self.span + self.exposure


def margin_of(exposures: Iterable[Exposure]) -> Margin:
    """Margin of positions held together, in paise.

    Bought options cost their premium and futures and sold options span and exposure on the underlying's value. Sold
    options with bought ones of the same underlying and kind beside them need less span, unit for unit; of calls and
    puts sold on one underlying only the dearer side needs span, as one move cannot hurt both. Shares cost their value
    (CNC) or a fifth of it (MIS); those sold out of holdings cost nothing.
    """
    premium = span = exposure = 0
    bought: dict[tuple[str, InstrumentType], int] = {}
    sold: dict[str, dict[InstrumentType, int]] = {}
    rows = [row for row in exposures if row.quantity]
    for row in rows:
        if row.quantity > 0 and row.contract.instrument_type in (InstrumentType.CE, InstrumentType.PE):
            own = (row.contract.underlying, row.contract.instrument_type)
            bought[own] = bought.get(own, 0) + row.quantity
    for row in rows:
        kind: tuple[str, InstrumentType] = (row.contract.underlying, row.contract.instrument_type)
        match row.contract.instrument_type:
            case InstrumentType.EQ | InstrumentType.INDEX if row.product is Product.CNC and row.quantity < 0:
                pass  # sold out of holdings, which stand for it until they are delivered
            case InstrumentType.EQ | InstrumentType.INDEX:
                share = 100 if row.product is Product.CNC else SHARE_MIS_PERCENT
                premium += row.cost * share // 100
            case InstrumentType.FUT:
                span += row.notional * SPAN_PERCENT // 100
                exposure += row.notional * EXPOSURE_PERCENT // 100
            case InstrumentType.CE | InstrumentType.PE if row.quantity > 0:
                premium += row.cost
            case InstrumentType.CE | InstrumentType.PE:
                full = row.notional * SPAN_PERCENT // 100
                hedged = min(bought.get(kind, 0), -row.quantity)
                bought[kind] = bought.get(kind, 0) - hedged
                relief = full * hedged * (100 - HEDGED_SPAN_PERCENT) // (100 * -row.quantity)
                side = sold.setdefault(row.contract.underlying, {})
                side[kind[1]] = side.get(kind[1], 0) + full - relief
                exposure += row.notional * EXPOSURE_PERCENT // 100
    span += sum(max(sides.values()) for sides in sold.values())
    return Margin(premium, span, exposure)
