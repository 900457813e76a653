"""Margin of one structure by the user's table, and how many structures the broker's figure allows (RULES 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.domain.errors import SizingError
from engine.domain.instruments import Action, InstrumentType
from engine.domain.legs import OPTION_TYPES, ResolvedLeg
from engine.domain.money import paise, value_paise

OPTION_PREMIUM_DEFAULT = paise(20_000)
"""Paise a lot for an option bought without a known premium."""

BROKER_CALLS = 3
"""Calls of the margin endpoint for one sizing."""


@dataclass(frozen=True, slots=True)
class DayMargin:
    """Paise a lot on an expiry day and on any other day."""

    expiry_day: int
    other_day: int

    def on(self, *, expiry_day: bool) -> int:
        """Return the figure for the kind of day."""
        return self.expiry_day if expiry_day else self.other_day


@dataclass(frozen=True, slots=True)
class MarginRow:
    """Margin of an underlying, paise a lot: options sold on one side, on both sides, and futures."""

    underlying: str
    one_side: DayMargin
    both_sides: DayMargin
    futures: DayMargin


def margin_row(
    underlying: str, *, one_side: tuple[float, float], both_sides: tuple[float, float], futures: tuple[float, float]
) -> MarginRow:
    """Return a row from ₹ a lot, each as (expiry day, other day). Raises SizingError unless all are above 0."""
    figures = []
    for field, pair in (("one_side", one_side), ("both_sides", both_sides), ("futures", futures)):
        if not all(math.isfinite(amount) and amount > 0 for amount in pair):
            raise SizingError(f"{underlying} {field}", f"{pair} are not amounts above 0")
        figures.append(DayMargin(paise(pair[0]), paise(pair[1])))
    return MarginRow(underlying, *figures)


_INDEX_50 = {"one_side": (205_000, 250_000), "both_sides": (250_000, 320_000), "futures": (215_000, 215_000)}

DEFAULT_MARGIN_ROWS: Mapping[str, MarginRow] = MappingProxyType(
    {
        "NIFTY": margin_row("NIFTY", **_INDEX_50),
        "BANKNIFTY": margin_row("BANKNIFTY", **_INDEX_50),
        "SENSEX": margin_row(
            "SENSEX", one_side=(180_000, 220_000), both_sides=(225_000, 290_000), futures=(185_000, 185_000)
        ),
    }
)


@dataclass(frozen=True, slots=True)
class StructureLeg:
    """What margin depends on: ``lots`` in one structure, ``lot_size`` in units, ``price`` in ₹ (None: unknown)."""

    underlying: str
    instrument_type: InstrumentType
    action: Action
    lots: int
    lot_size: int
    price: float | None = None


@dataclass(frozen=True, slots=True)
class MarginPart:
    """One line of the breakdown: ``lots`` of ``kind`` at ``per_lot_paise``."""

    underlying: str
    kind: str
    lots: int
    per_lot_paise: int

    @property
    def amount_paise(self) -> int:
        """The line's amount."""
        return self.lots * self.per_lot_paise


@dataclass(frozen=True, slots=True)
class StructureMargin:
    """Margin of one structure and how it comes about."""

    parts: tuple[MarginPart, ...]

    @property
    def total_paise(self) -> int:
        """Sum of the parts."""
        return sum(part.amount_paise for part in self.parts)


def structure_leg(resolved: ResolvedLeg) -> StructureLeg:
    """Return what margin depends on of a resolved leg."""
    leg, contract = resolved.leg, resolved.contract
    return StructureLeg(
        leg.underlying, leg.instrument_type, leg.action, leg.lots_ratio, contract.lot_size, resolved.price
    )


def structure_margin(
    legs: Sequence[StructureLeg],
    rows: Mapping[str, MarginRow],
    *,
    expiry_day: bool,
    count_bought_premium: bool = False,
    option_premium_default_paise: int = OPTION_PREMIUM_DEFAULT,
) -> StructureMargin:
    """Return the margin of one structure in paise, summed over its underlyings (RULES 2).

    Per underlying: lots sold on both sides, the rest sold on one side, futures of either direction, and the premium of
    bought options if nothing is sold beside them or ``count_bought_premium`` says so. A bought equity costs its price.
    Raises SizingError "no margin row" for derivatives of an underlying without a row and for a sold equity, and for a
    bought equity without a price.

    >>> call, put = (StructureLeg("NIFTY", kind, Action.SELL, 1, 65) for kind in (InstrumentType.CE, InstrumentType.PE))
    >>> structure_margin([call, put], DEFAULT_MARGIN_ROWS, expiry_day=False).total_paise // 100
    320000
    """
    if not legs:
        raise SizingError("legs", "a structure needs at least one leg")
    parts: list[MarginPart] = []
    for underlying in dict.fromkeys(leg.underlying for leg in legs):
        own = [leg for leg in legs if leg.underlying == underlying]
        derivatives = [leg for leg in own if leg.instrument_type is not InstrumentType.EQ]
        if derivatives:
            parts += _held(derivatives, _row(rows, underlying), expiry_day=expiry_day)
            if count_bought_premium or not any(leg.action is Action.SELL for leg in derivatives):
                parts += _premiums(derivatives, option_premium_default_paise)
        parts += [_equity(leg) for leg in own if leg.instrument_type is InstrumentType.EQ]
    return StructureMargin(tuple(part for part in parts if part.lots))


@dataclass(frozen=True, slots=True)
class BrokerStep:
    """Ask the broker for the margin of this many structures, or take the number as ``settled``."""

    structures: int
    settled: bool


def size_by_broker(usable: int, answers: Sequence[tuple[int, int]], *, at_most: int | None = None) -> BrokerStep:
    """Return the next step when the broker's margin figure sizes (RULES 2): at most three calls.

    ``answers`` are the calls so far, in order, as (structures, margin in paise); ``usable`` in paise; ``at_most``
    structures are wanted. One structure is asked first, then what it proposes, then a lower number by the dearer
    figure; if that does not fit either, the one structure known to fit is taken. Raises SizingError for a margin that
    is not above 0.

    >>> size_by_broker(65_000_000, [(1, 15_000_000)])
    BrokerStep(structures=4, settled=False)
    >>> size_by_broker(65_000_000, [(1, 15_000_000), (4, 70_000_000)])
    BrokerStep(structures=3, settled=False)
    """
    if not answers:
        return BrokerStep(1, settled=False)
    if any(margin <= 0 for _, margin in answers):
        raise SizingError("structure_margin", "the broker's margin is not above 0: nothing can be sized by it")
    proposed = usable // answers[0][1]
    if at_most is not None:
        proposed = min(proposed, at_most)
    if proposed <= 1:
        return BrokerStep(max(0, proposed), settled=True)
    if len(answers) == 1:
        return BrokerStep(proposed, settled=False)
    asked, margin = answers[-1]
    if margin <= usable:
        return BrokerStep(asked, settled=True)
    lower = max(1, min(asked - 1, usable * asked // margin))
    if len(answers) >= BROKER_CALLS or lower == 1:
        return BrokerStep(1, settled=True)
    return BrokerStep(lower, settled=False)


def _row(rows: Mapping[str, MarginRow], underlying: str) -> MarginRow:
    row = rows.get(underlying)
    if row is None:
        raise SizingError("margin", f"no margin row for {underlying}: add one in the settings")
    return row


def _held(legs: Iterable[StructureLeg], row: MarginRow, *, expiry_day: bool) -> list[MarginPart]:
    sold = dict.fromkeys((InstrumentType.CE, InstrumentType.PE), 0)
    futures = 0
    for leg in legs:
        if leg.instrument_type is InstrumentType.FUT:
            futures += leg.lots
        elif leg.action is Action.SELL:
            sold[leg.instrument_type] += leg.lots
    fewer, more = sorted(sold.values())
    return [
        MarginPart(row.underlying, "both sides sold", fewer, row.both_sides.on(expiry_day=expiry_day)),
        MarginPart(row.underlying, "one side sold", more - fewer, row.one_side.on(expiry_day=expiry_day)),
        MarginPart(row.underlying, "futures", futures, row.futures.on(expiry_day=expiry_day)),
    ]


def _premiums(legs: Iterable[StructureLeg], default_paise: int) -> list[MarginPart]:
    parts = []
    for leg in legs:
        if leg.instrument_type in OPTION_TYPES and leg.action is Action.BUY:
            price = _price(leg)
            if price is None:
                parts.append(MarginPart(leg.underlying, "premium, not known", leg.lots, default_paise))
            else:
                parts.append(MarginPart(leg.underlying, "premium", leg.lots, value_paise(price, leg.lot_size)))
    return parts


def _equity(leg: StructureLeg) -> MarginPart:
    if leg.action is Action.SELL:
        raise SizingError("margin", f"no margin row for sold equity {leg.underlying}")
    price = _price(leg)
    if price is None:
        raise SizingError("price", f"{leg.underlying} has no price: its cost is not known")
    return MarginPart(leg.underlying, "equity", leg.lots, value_paise(price, leg.lot_size))


def _price(leg: StructureLeg) -> float | None:
    return leg.price if leg.price is not None and math.isfinite(leg.price) and leg.price > 0 else None
