"""The guard before the rules: between two bounds per figure nothing can change, so nobody has to ask (DESIGN 2).

A figure is a linear form of prices: P of a run, P of it on one account, the price of a leg. Each has a low and a high
bound; a form fires at or beyond one of them, and only then its rules are asked. The guard never decides: it may fire
once too often, never once too little.

Everything is in paise. Prices of whole paise make sums that are exact in 64 bit floats. From the first price with a
part of a paisa on, every bound is drawn in by what rounding can differ by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Owner = Hashable
"""Whose forms they are: what fires is told by owner."""
Place = Hashable
"""What has a price."""

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]
Fired = Callable[[Floats, Wholes, Wholes, Floats, Floats, Floats, Floats], Wholes]
"""Prices, starts, columns, quantities, bases, lows, highs → the rows that fire."""

ROUNDING = 0.5
"""How far (paise) the value of one position, rounded by itself, is from the exact product."""
FIRST_ROOM = 256
INERT = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Form:
    """A figure in paise, ``base`` + Σ quantity × price, that fires at or below ``low`` and at or above ``high``.

    ``terms``: signed quantity by what has the price, at least one. ``positions``: how many positions are summed in it,
    each rounded to paise by itself.
    """

    base: float
    terms: Mapping[Place, int]
    low: float = -math.inf
    high: float = math.inf
    positions: int = 1

    def value(self, prices: Mapping[Place, float]) -> float:
        """Return the figure (paise) at prices in ₹; NaN where one is missing.

        >>> Form(1_000, {"call": -65}).value({"call": 10.0})
        -64000.0
        """
        return self.base + sum(
            quantity * in_paise(prices.get(place, math.nan)) for place, quantity in self.terms.items()
        )

    def fires(self, prices: Mapping[Place, float]) -> bool:
        """Whether it fires at prices in ₹; without one of its prices it does not."""
        value = self.value(prices)
        return value <= self.low or value >= self.high


def in_paise(price: float) -> float:
    """Return a price (₹) in paise: exactly a whole number where the exchange's price is one.

    >>> in_paise(235.4), in_paise(0.333)
    (23540.0, 33.300000000000004)
    """
    if price != price:  # noqa: PLR0124 - NaN: there is no price
        return price
    whole = float(round(price * 100))
    return whole if whole / 100 == price else price * 100


def fired_rows(  # noqa: PLR0917 - called by position, as its kernel is
    prices: Floats, starts: Wholes, columns: Wholes, quantities: Floats, bases: Floats, lows: Floats, highs: Floats
) -> Wholes:
    """Return the rows that fire, by numpy: the meaning of the kernel in ``guard_kernel``, and good for some hundreds.

    The terms of row i are starts[i] to starts[i + 1]: there is one start more than there are rows, and every row has
    terms. A row without one of its prices (NaN) does not fire.
    """
    if len(bases) == 0:
        return np.empty(0, np.int64)
    values = np.add.reduceat(quantities * prices[columns], starts[:-1]) + bases
    return np.flatnonzero((values <= lows) | (values >= highs))


@dataclass(slots=True)
class _Block:
    """Where an owner's rows and terms are, and how many there is room for."""

    row: int
    rows: int
    term: int
    terms: int


class Guard:
    """Prices and forms as arrays. ``by``: who says which rows fire; a kernel may take its place at any time."""

    def __init__(self) -> None:
        self.by: Fired = fired_rows
        self._column_of: dict[Place, int] = {}
        self._forms: dict[Owner, tuple[Form, ...]] = {}
        self._loose = False
        self._prices: Floats = np.full(FIRST_ROOM, np.nan)
        self._clear()

    @property
    def rows(self) -> int:
        """How many rows are looked at."""
        return self._row

    def knows(self, place: Place) -> bool:
        """Whether a form needs this price."""
        return place in self._column_of

    def price(self, place: Place, ltp: float) -> None:
        """Take a price (₹, NaN for none); one that no form needs is left out."""
        column = self._column_of.get(place)
        if column is None:
            return
        paise = in_paise(ltp)
        self._prices[column] = paise
        if not self._loose and paise == paise and not paise.is_integer():  # noqa: PLR0124 - a number, and not whole
            self._loose = True
            self._rewrite()

    def put(self, owner: Owner, forms: Sequence[Form]) -> list[Place]:
        """Take the forms of an owner in the place of those of before; return the places whose price is not known yet.

        Forms without terms are left out: no price can make them fire.
        """
        kept = tuple(form for form in forms if form.terms)
        if kept == self._forms.get(owner, ()):
            return []
        fresh = [place for form in kept for place in form.terms if place not in self._column_of]
        for place in fresh:
            self._add_column(place)
        if kept:
            self._forms[owner] = kept
        else:
            self._forms.pop(owner, None)
        self._place(owner, kept)
        if self._inert > FIRST_ROOM and self._inert * 2 > self._row:
            self._rewrite()
        return list(dict.fromkeys(fresh))

    def owners(self) -> list[Owner]:
        """Return who has forms."""
        return list(self._forms)

    def fired(self) -> set[Owner]:
        """Return the owners of forms that fire at the prices of now."""
        row, term = self._row, self._term
        fired = self.by(
            self._prices, self._starts[: row + 1], self._columns[:term], self._quantities[:term],
            self._bases[:row], self._lows[:row], self._highs[:row],
        )  # fmt: skip
        return {self._owner_of[one] for one in fired.tolist()}

    def _clear(self) -> None:
        self._blocks: dict[Owner, _Block] = {}
        self._owner_of: list[Owner] = []
        self._row = self._term = self._inert = 0
        self._starts: Wholes = np.zeros(FIRST_ROOM + 1, np.int64)
        self._columns: Wholes = np.zeros(FIRST_ROOM, np.int64)
        self._quantities: Floats = np.zeros(FIRST_ROOM)
        self._bases: Floats = np.zeros(FIRST_ROOM)
        self._lows: Floats = np.zeros(FIRST_ROOM)
        self._highs: Floats = np.zeros(FIRST_ROOM)

    def _rewrite(self) -> None:
        """Write every form anew: without gaps, and with bounds drawn in where prices have parts of a paisa."""
        self._clear()
        for owner, forms in self._forms.items():
            self._place(owner, forms)

    def _add_column(self, place: Place) -> None:
        if place in self._column_of:
            return
        column = self._column_of[place] = len(self._column_of)
        if column >= len(self._prices):
            self._prices = np.concatenate([self._prices, np.full(len(self._prices), np.nan)])

    def _place(self, owner: Owner, forms: tuple[Form, ...]) -> None:
        """Write an owner's forms where those of before were, or at the end where they do not fit."""
        rows, terms = len(forms), sum(len(form.terms) for form in forms)
        block = self._blocks.get(owner)
        if block is not None and (not rows or rows > block.rows or terms + block.rows - rows > block.terms):
            self._fill(block, ())
            self._inert += block.rows
            del self._blocks[owner]
            block = None
        if block is None:
            if not rows:
                return
            block = self._blocks[owner] = self._make_room(rows, terms)
            self._owner_of += [owner] * rows
        self._fill(block, forms)

    def _make_room(self, rows: int, terms: int) -> _Block:
        block = _Block(self._row, rows, self._term, terms)
        self._row, self._term = self._row + rows, self._term + terms
        self._starts = _grown(self._starts, self._row + 1)
        for name in ("_bases", "_lows", "_highs"):
            setattr(self, name, _grown(getattr(self, name), self._row))
        for name in ("_columns", "_quantities"):
            setattr(self, name, _grown(getattr(self, name), self._term))
        return block

    def _fill(self, block: _Block, forms: tuple[Form, ...]) -> None:
        """Write forms into a block; rows that are left over never fire, terms that are left over count nothing.

        Every row keeps at least one term: what is left over belongs to the last row.
        """
        row, term = block.row, block.term
        count, last = block.rows, block.term + block.terms
        self._starts[row : row + count] = range(term, term + count)  # what is left over: one term each
        self._quantities[term:last] = 0.0
        self._columns[term:last] = 0
        self._bases[row : row + count] = 0.0
        self._lows[row : row + count], self._highs[row : row + count] = INERT
        for place, form in enumerate(forms, start=row):
            end = term + len(form.terms)
            self._starts[place] = term
            self._columns[term:end] = [self._column_of[one] for one in form.terms]
            self._quantities[term:end] = list(form.terms.values())
            slack = ROUNDING * form.positions if self._loose else 0.0
            self._bases[place], self._lows[place], self._highs[place] = form.base, form.low + slack, form.high - slack
            term = end
        left = count - len(forms)
        if left:
            self._starts[row + len(forms) : row + count] = range(term, term + left)
        elif term < last:
            self._columns[term:last] = self._columns[term - 1]  # counts nothing, and is no price that is missing
        self._starts[self._row] = self._term


def _grown(array: Any, size: int) -> Any:
    """Return an array with room for so many, what it held in front."""
    if size <= len(array):
        return array
    grown = np.zeros(max(size, 2 * len(array)), array.dtype)
    grown[: len(array)] = array
    return grown
