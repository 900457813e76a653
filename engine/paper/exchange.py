"""The exchange: takes orders, matches them against its own quotes, books fills."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import date

from engine.domain.instruments import Action, Contract, Exchange, PriceType
from engine.paper import admission, matching, settlement
from engine.paper.accounts import Account, Position, PositionKey
from engine.paper.clock import trading_day
from engine.paper.listing import Listing
from engine.paper.market import Market
from engine.paper.orders import (
    NORMAL,
    WORKING,
    OrderRequest,
    PaperOrder,
    Push,
    Status,
    Trade,
    Treatment,
    new_order_id,
    new_trade_id,
)
from engine.paper.prices import PriceControls
from engine.paper.quotes import Quotes
from engine.paper.storage import Storage
from engine.paper.wire import Refusal


class PaperExchange:
    """Accounts, books and matching over one market. Not thread-safe: one event loop owns it.

    ``on_push`` is called with every order update, before the call that caused it returns.
    """

    def __init__(
        self,
        *,
        market: Market,
        storage: Storage,
        clock: Callable[[], float] = time.time,
        on_push: Callable[[Push], None] = lambda _: None,
    ) -> None:
        self.market = market
        self.clock = clock
        self.on_push = on_push
        self.listing = Listing(market, clock)
        self.quotes = Quotes(market, self.listing.close_of)
        self._storage = storage
        self.accounts = storage.accounts()
        self.prices = PriceControls(market, self.quotes, self.listing, storage)
        for account in self.accounts.values():
            for key in account.positions:
                self.listing.keep(key.symbol, key.exchange)
            for order in account.working.values():
                self.listing.keep(order.symbol, order.exchange)

    def open_account(self, *, api_key: str, name: str, funds: int, face: str) -> tuple[Account, bool]:
        """Return the account of a key, and whether it is new. An existing one is left as it is."""
        known = self.accounts.get(api_key)
        if known is not None:
            return known, False
        account = Account(api_key, name, funds, face, self.clock())
        with self._storage.transaction():
            self._storage.save_account(account)
        self.accounts[api_key] = account
        return account, True

    def available(self, account: Account) -> int:
        """Cash that is free for new orders, in paise."""
        return account.funds + account.realised - self.used(account) - account.reserved

    def used(self, account: Account) -> int:
        """Paise blocked for positions."""
        return account.margin(self.listing.contract).total

    def place(self, account: Account, request: OrderRequest, treatment: Treatment = NORMAL) -> PaperOrder:
        """Take an order and match it at once. Raises Refusal, with an order id if a rejected order was recorded."""
        contract = self._contract(request.symbol, request.exchange)
        admission.check_order(contract, request)
        at = self.clock()
        order = self._new_order(account, request, contract, at)
        if treatment.reject is None:
            order.blocked = self._reserve(account, contract, order)
        held = account.position(PositionKey(request.symbol, request.exchange, request.product)).quantity
        reason = treatment.reject or admission.delivery_problem(request, held)
        with self._storage.transaction():
            if reason is not None:
                order.status, order.reason, order.blocked = Status.REJECTED, reason, 0
            account.remember(order)
            self.listing.keep(order.symbol, order.exchange)
            self._push(order)
            if order.status in WORKING:
                at_market = order.price_type is PriceType.MARKET
                self._match(account, order, contract, at, clip=treatment.clip, arriving=True, at_market=at_market)
            self._storage.save_order(order)
        if reason is not None:
            raise Refusal(400, reason, orderid=order.order_id)
        return order

    def modify(self, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
        """Change quantity, price and trigger of a working order; the price type stays what it was. Raises Refusal."""
        order = self._working(account, order_id, verb="modify")
        contract = self._contract(order.symbol, order.exchange)
        admission.check_change(contract, order, request)
        changed = copy.copy(order)
        changed.quantity = request.quantity
        changed.price = request.price or order.price
        changed.trigger_price = request.trigger_price or order.trigger_price
        changed.held = False
        order.blocked, kept = 0, order.blocked
        try:
            changed.blocked = self._reserve(account, contract, changed)
        except Refusal:
            order.blocked = kept
            raise
        with self._storage.transaction():
            account.remember(changed)
            at_market = changed.price_type is PriceType.MARKET and not request.price
            self._match(account, changed, contract, self.clock(), arriving=True, at_market=at_market)
            self._storage.save_order(changed)
        return changed

    def cancel(self, account: Account, order_id: str) -> PaperOrder:
        """Cancel a working order. Raises Refusal."""
        order = self._working(account, order_id, verb="cancel")
        with self._storage.transaction():
            self._finish(account, order, Status.CANCELLED)
            self._storage.save_order(order)
        return order

    def sweep(self) -> None:
        """Match every resting order against the present quotes; settle what has expired, end orders of past days."""
        at = self.clock()
        today = trading_day(at)
        for account in self.accounts.values():
            if account.working:
                with self._storage.transaction():
                    self._sweep_orders(account, at, today)
            for position in account.positions.values():
                if position.quantity:
                    self._settle_if_expired(account, position, at)

    def _sweep_orders(self, account: Account, at: float, today: date) -> None:
        for order in list(account.working.values()):
            if trading_day(order.placed_at) != today:
                self._finish(account, order, Status.CANCELLED)
                self._storage.save_order(order)
            elif not order.held and self._match(account, order, self._contract(order.symbol, order.exchange), at):
                self._storage.save_order(order)

    def _contract(self, symbol: str, exchange: Exchange) -> Contract:
        contract = self.listing.resolve(symbol, exchange)
        if contract is None:
            raise Refusal(400, f"Symbol {symbol} not found on {exchange}")
        return contract

    def _new_order(self, account: Account, request: OrderRequest, contract: Contract, at: float) -> PaperOrder:
        order_id = new_order_id(at)
        while any(order_id in other.orders for other in self.accounts.values()):
            order_id = new_order_id(at)
        waits = request.price_type in (PriceType.SL, PriceType.SL_M)
        price = 0 if request.price_type is PriceType.SL_M else request.price
        return PaperOrder(
            order_id=order_id,
            api_key=account.api_key,
            strategy=request.strategy,
            symbol=request.symbol,
            exchange=request.exchange,
            action=request.action,
            quantity=request.quantity,
            price_type=request.price_type,
            product=request.product,
            price=self.quotes.last(contract, at) if request.price_type is PriceType.MARKET else price,
            trigger_price=request.trigger_price if waits else 0,
            placed_at=at,
            status=Status.TRIGGER_PENDING if waits else Status.OPEN,
        )

    def _reserve(self, account: Account, contract: Contract, order: PaperOrder) -> int:
        """Paise that the order blocks until it is filled. Raises Refusal if they are not there."""
        at = self.clock()
        _, bid, ask = self.quotes.touch(contract, at)
        price = ask if order.action is Action.BUY else bid
        if order.price_type in (PriceType.LIMIT, PriceType.SL):
            price = order.price
        elif order.price_type is PriceType.SL_M:
            price = max(order.trigger_price, price)
        key = PositionKey(order.symbol, order.exchange, order.product)
        after = copy.copy(account.position(key))
        before = account.margin(self.listing.contract).total
        underlying = self.quotes.underlying_paise(contract, at)
        after.apply(order.action, order.pending, price=price, underlying=underlying, day=after.day)
        needed = max(account.margin(self.listing.contract, instead=after).total - before, 0)
        free = account.funds + account.realised - before - account.reserved
        if needed > free and needed:
            message = "Insufficient funds. Required: ₹{:.2f}, Available: ₹{:.2f}, Shortage: ₹{:.2f}"
            raise Refusal(400, message.format(needed / 100, free / 100, (needed - free) / 100))
        return needed

    def _working(self, account: Account, order_id: str, *, verb: str) -> PaperOrder:
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal(404, f"Order {order_id} not found")
        if order.status not in WORKING:
            raise Refusal(400, f"Cannot {verb} order in {order.status} status")
        return order

    def _match(
        self,
        account: Account,
        order: PaperOrder,
        contract: Contract,
        at: float,
        *,
        clip: float | None = None,
        arriving: bool = False,
        at_market: bool = False,
    ) -> bool:
        """Fill what the quotes allow. Returns whether anything about the order changed."""
        last, bid, ask = self.quotes.touch(contract, at)
        triggered = False
        if order.status is Status.TRIGGER_PENDING:
            if not matching.is_triggered(order, last):
                return False
            order.status, order.triggered, triggered = Status.OPEN, True, True
        price = matching.fill_price(order, bid=bid, ask=ask, arriving=arriving or triggered, at_market=at_market)
        if price is None:
            if triggered:
                self._push(order)
            return triggered
        quantity = order.pending if clip is None else matching.clipped(order.pending, clip, contract.lot_size)
        if quantity:
            self._fill(account, order, contract, quantity=quantity, price=price, at=at)
        if order.pending:
            order.held = True
            order.price = price if order.price_type is PriceType.MARKET else order.price
            self._push(order)
        return True

    def _fill(
        self, account: Account, order: PaperOrder, contract: Contract, *, quantity: int, price: int, at: float
    ) -> None:
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
        )
        self._book(account, trade, self.quotes.underlying_paise(contract, at))
        order.blocked = order.blocked * (order.pending - quantity) // order.pending
        order.filled += quantity
        order.filled_value += trade.value
        if not order.pending:
            self._finish(account, order, Status.COMPLETE, price=price)

    def _book(self, account: Account, trade: Trade, underlying: int) -> None:
        position = account.position(PositionKey(trade.symbol, trade.exchange, trade.product))
        day = trading_day(trade.at).isoformat()
        position.apply(trade.action, trade.quantity, price=trade.price, underlying=underlying, day=day)
        account.positions[PositionKey(trade.symbol, trade.exchange, trade.product)] = position
        account.trades.append(trade)
        self._storage.save_trade(trade)
        self._storage.save_position(account.api_key, position)

    def _settle_if_expired(self, account: Account, position: Position, at: float) -> None:
        contract = self.listing.contract(position.symbol, position.exchange)
        if contract.expiry is None or trading_day(at) <= contract.expiry:
            return
        close = self.market.closing(contract.underlying, self.listing.close_of(contract), at)
        spot = round(close * 100)
        with self._storage.transaction():
            self._book(account, settlement.settle(account.api_key, position, contract, spot=spot, at=at), spot)

    def _finish(self, account: Account, order: PaperOrder, status: Status, *, price: int | None = None) -> None:
        order.status, order.blocked, order.held = status, 0, False
        account.remember(order)
        self._push(order, price if order.price_type is PriceType.MARKET else None)

    def _push(self, order: PaperOrder, price: int | None = None) -> None:
        self.on_push(Push(copy.copy(order), order.price if price is None else price))
