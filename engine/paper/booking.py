"""Books: fills, trades and ends of orders go into the account, onto disk and out as pushes."""

from __future__ import annotations

import copy
from collections.abc import Callable

from engine.domain.instruments import Contract, PriceType
from engine.paper.accounts import Account, PositionKey
from engine.paper.clock import trading_day
from engine.paper.orders import PaperOrder, Push, Status, Trade, new_trade_id
from engine.paper.quotes import Quotes
from engine.paper.storage import Storage


class Booking:
    """Writes what happened. Callers hold the storage's transaction.

    ``announce`` gets an account and the push; an order that is hidden makes none.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        quotes: Quotes,
        clock: Callable[[], float],
        announce: Callable[[Account, Push], None],
    ) -> None:
        self._storage = storage
        self._quotes = quotes
        self._clock = clock
        self._announce = announce

    def fill(
        self, account: Account, order: PaperOrder, contract: Contract, *, quantity: int, price: int, at: float
    ) -> None:
        """Fill ``quantity`` units of an order at ``price`` paise; releases their share of what the order blocks."""
        trade = Trade(
            trade_id=new_trade_id(at),
            order_id=order.order_id,
            api_key=account.api_key,
            strategy=order.strategy,
            symbol=order.symbol,
            exchange=order.exchange,
            product=order.product,
            action=order.action,
            quantity=quantity,
            price=price,
            at=at,
            visible_at=order.visible_at,
        )
        self.trade(account, trade, self._quotes.underlying_paise(contract, at))
        order.blocked = order.blocked * (order.pending - quantity) // order.pending
        order.filled += quantity
        order.filled_value += trade.value
        if not order.pending:
            self.finish(account, order, Status.COMPLETE, price=price)

    def trade(self, account: Account, trade: Trade, underlying: int) -> None:
        """Book a trade into its position; ``underlying`` is the underlying's price in paise, for margin."""
        key = PositionKey(trade.symbol, trade.exchange, trade.product)
        position = account.position(key)
        day = trading_day(trade.at).isoformat()
        position.apply(trade.action, trade.quantity, price=trade.price, underlying=underlying, day=day)
        account.positions[key] = position
        account.trades.append(trade)
        self._storage.save_trade(account.book, trade)
        self._storage.save_position(account.book, position)

    def finish(self, account: Account, order: PaperOrder, status: Status, *, price: int | None = None) -> None:
        """End an order; nothing is blocked for it any more. A complete MARKET order's push names the last ``price``."""
        order.status, order.blocked, order.held = status, 0, False
        account.remember(order)
        self.push(account, order, price if order.price_type is PriceType.MARKET else None)

    def keep(self, account: Account, order: PaperOrder) -> None:
        """Remember an order as it is, in memory and on disk."""
        account.remember(order)
        self._storage.save_order(account.book, order)

    def push(self, account: Account, order: PaperOrder, price: int | None = None) -> None:
        """Announce an order as it stands."""
        if order.is_hidden(self._clock()):
            return
        shown = order.shown_price if price is None or order.shown_as_limit else price
        self._announce(account, Push(copy.copy(order), shown))

    def reveal(self, account: Account, at: float) -> None:
        """Let hidden orders whose time has come appear, and announce them as they stand."""
        for order in [order for order in account.hidden.values() if not order.is_hidden(at)]:
            order.visible_at = 0.0
            with self._storage.transaction():
                self.keep(account, order)
            self.push(account, order)
