"""One order against the market of one instant: what fills, at which prices, what rests."""

from __future__ import annotations

from engine.domain.instruments import Action, Contract, PriceType
from engine.paper import matching
from engine.paper.accounts import Account, Liquidity
from engine.paper.bands import Bands, tick_of
from engine.paper.booking import Booking
from engine.paper.liquidity import DisplayedLiquidity
from engine.paper.orders import PaperOrder, Status
from engine.paper.quotes import Quotes

AT_MARKET = (PriceType.MARKET, PriceType.SL_M)
Fills = list[tuple[int, int]]
"""Price in paise and units of each."""


class Crossing:
    """Fills orders by what their account meets, its ``liquidity``.

    * touch: an arriving order fills whole at bid or ask, as in OpenAlgo's analyzer;
    * displayed: it takes the displayed levels within its limit, at their prices, a trade a level. A market order's
      limit is the protected price; what is left of it rests there. What rests fills at its own price, by as much as is
      displayed within it, when the market comes or the levels are filled up again.
    """

    def __init__(self, *, quotes: Quotes, bands: Bands, liquidity: DisplayedLiquidity, booking: Booking) -> None:
        self._quotes = quotes
        self._bands = bands
        self._liquidity = liquidity
        self._booking = booking

    def protected(self, contract: Contract, action: Action, at: float) -> int:
        """Return the worst price (paise) of a market order that arrives now; a band reaches farther than that."""
        _, bid, ask = self._quotes.touch(contract, at)
        return matching.protected_price(action, ask if action is Action.BUY else bid, tick_of(contract))

    def match(
        self,
        account: Account,
        order: PaperOrder,
        contract: Contract,
        at: float,
        *,
        clip: float | None = None,
        arriving: bool = False,
    ) -> bool:
        """Fill what the market allows. Returns whether anything about the order changed.

        ``arriving`` orders are new, validated or modified. ``clip`` fills a share and holds the rest.
        """
        triggered = False
        if order.status is Status.TRIGGER_PENDING:
            if not matching.is_triggered(order, self._quotes.last(contract, at)):
                return False
            order.status, order.triggered, triggered = Status.OPEN, True, True
            if order.price_type is PriceType.SL_M:
                order.protected = self.protected(contract, order.action, at)
        arriving = arriving or triggered
        taken = self._takable(account, order, contract, at)
        if not taken and not (arriving and order.price_type in AT_MARKET):
            if triggered:
                self._booking.push(account, order)
            return triggered
        if clip is not None and taken:
            taken = _within(taken, matching.clipped(order.pending, clip, contract.lot_size))
            order.held = True
        self._fill(account, order, contract, taken, at, arriving=arriving)
        if order.pending:
            if order.price_type in AT_MARKET:
                order.price = order.protected
            self._booking.push(account, order)
        return True

    def _takable(self, account: Account, order: PaperOrder, contract: Contract, at: float) -> Fills:
        """Prices of the other side that the order reaches, and the units it can have there."""
        _, bid, ask = self._quotes.touch(contract, at)
        other_side = ask if order.action is Action.BUY else bid
        if not matching.crosses(order, other_side):
            return []
        if account.liquidity is Liquidity.TOUCH:
            return [(other_side, order.pending)]
        band = self._bands.band(contract, at)
        levels = [level for level in self._liquidity.levels(contract, order.action, at) if band.holds(level.price)]
        return matching.takes(order, levels, quantity=order.pending, lot_size=contract.lot_size)

    def _fill(
        self, account: Account, order: PaperOrder, contract: Contract, taken: Fills, at: float, *, arriving: bool
    ) -> None:
        """Book what is taken: at the prices of the other side for an arriving order, at its own for a resting one."""
        if account.liquidity is Liquidity.DISPLAYED:
            for price, quantity in taken:
                self._liquidity.take(contract, order.action, price=price, quantity=quantity, at=at)
        own = (matching.limit_of(order), sum(quantity for _, quantity in taken))
        for price, quantity in taken if arriving else [own]:
            if quantity:
                self._booking.fill(account, order, contract, quantity=quantity, price=price, at=at)


def _within(fills: Fills, quantity: int) -> Fills:
    """Return the first fills up to a quantity."""
    kept: Fills = []
    for price, units in fills:
        part = min(units, quantity)
        if part:
            kept.append((price, part))
            quantity -= part
    return kept
