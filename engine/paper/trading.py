"""Trading: takes orders, changes and cancels them, matches them against quotes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection

from engine.domain.instruments import Action, Contract, Exchange, PriceType, Product
from engine.paper import admission, matching
from engine.paper.accounts import Account, Liquidity, PositionKey
from engine.paper.bands import Bands
from engine.paper.booking import Booking
from engine.paper.clock import day_start, trading_day
from engine.paper.crossing import Crossing
from engine.paper.delivery import Delivery
from engine.paper.listing import Listing
from engine.paper.orders import NORMAL, WORKING, OrderRequest, PaperOrder, Status, Treatment
from engine.paper.quotes import Quotes
from engine.paper.storage import Storage
from engine.paper.wire import Refusal

STOPS = (PriceType.SL, PriceType.SL_M)
LIMITED = (PriceType.LIMIT, PriceType.SL)


class Trading:
    """Orders of all accounts over one market. ``new_id`` gives a free order id for an account at an instant."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        listing: Listing,
        quotes: Quotes,
        bands: Bands,
        crossing: Crossing,
        booking: Booking,
        storage: Storage,
        new_id: Callable[[Account, float], str],
    ) -> None:
        self.listing = listing
        self.quotes = quotes
        self._clock = clock
        self._bands = bands
        self._crossing = crossing
        self._booking = booking
        self._storage = storage
        self._new_id = new_id
        self._delivery = Delivery(storage)

    def available(self, account: Account) -> int:
        """Cash that is free for new orders, in paise."""
        return account.funds + account.realised - self.used(account) - account.reserved

    def used(self, account: Account) -> int:
        """Paise blocked for positions and holdings."""
        return account.margin(self.listing.contract).total + account.delivered_cost

    def place(self, account: Account, request: OrderRequest, treatment: Treatment = NORMAL) -> PaperOrder:
        """Take an order and match it at once. Raises Refusal, with an order id if a rejected order was recorded.

        A live account's order above the freeze quantity, outside the price band, not covered or not deliverable is
        recorded as rejected, as brokers do it.
        """
        contract = self._contract(request.symbol, request.exchange)
        admission.check_order(contract, request)
        at = self._clock()
        self._delivery.turn(account, trading_day(at))
        with self._storage.transaction():
            order = self._take(account, request, contract, treatment, at)
            if treatment.duplicate and order.status is not Status.REJECTED:
                with contextlib.suppress(Refusal):
                    self._take(account, request, contract, treatment, at)
        if order.status is Status.REJECTED:
            raise Refusal(400, order.reason, orderid=order.order_id)
        return order

    def modify(self, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
        """Change quantity, price and trigger of a working order, in live mode its price type too. Raises Refusal."""
        at = self._clock()
        self._delivery.turn(account, trading_day(at))
        order = self._working(account, order_id, at, verb="modify")
        contract = self._contract(order.symbol, order.exchange)
        admission.check_change(contract, order, request)
        admission.check_band(contract, self._bands.band(contract, at), request.price, request.trigger_price)
        changed = self._changed(account, order, contract, request, at)
        order.blocked, kept = 0, order.blocked
        try:
            changed.blocked = self._reserve(account, contract, changed)
        except Refusal:
            order.blocked = kept
            raise
        with self._storage.transaction():
            account.remember(changed)
            if not changed.validating_until:
                self._crossing.match(account, changed, contract, at, arriving=True)
            self._booking.keep(account, changed)
        return changed

    def cancel(self, account: Account, order_id: str) -> PaperOrder:
        """Cancel a working order. Raises Refusal."""
        order = self._working(account, order_id, self._clock(), verb="cancel")
        with self._storage.transaction():
            self._booking.finish(account, order, Status.CANCELLED)
            self._booking.keep(account, order)
        return order

    def sweep(self, accounts: Collection[Account], at: float) -> None:
        """Match resting orders, the better price and the older order first; show hidden ones; end those of past days.

        Shares of past days are delivered.
        """
        today = trading_day(at)
        midnight = day_start(today)
        for account in accounts:
            self._delivery.turn(account, today)
            self._booking.reveal(account, at)
        waiting = [(account, order) for account in accounts for order in account.working.values()]
        for account, order in sorted(waiting, key=lambda pair: _priority(pair[1])):
            with self._storage.transaction():
                if self._pass(account, order, at, midnight):
                    self._booking.keep(account, order)

    def _pass(self, account: Account, order: PaperOrder, at: float, midnight: float) -> bool:
        """Let time pass for one working order. Returns whether anything about it changed."""
        if order.placed_at < midnight:
            self._booking.finish(account, order, Status.CANCELLED)
            return True
        if order.held or at < order.validating_until:
            return False
        contract = self._contract(order.symbol, order.exchange)
        if not order.validating_until:
            return self._crossing.match(account, order, contract, at)
        order.validating_until = 0.0
        self._crossing.match(account, order, contract, at, arriving=True)
        return True

    def _contract(self, symbol: str, exchange: Exchange) -> Contract:
        contract = self.listing.resolve(symbol, exchange)
        if contract is None:
            raise Refusal(400, f"Symbol {symbol} not found on {exchange}")
        return contract

    def _take(
        self, account: Account, request: OrderRequest, contract: Contract, treatment: Treatment, at: float
    ) -> PaperOrder:
        order = self._new_order(account, request, contract, treatment, at)
        reason = treatment.reject or self._rejection(account, contract, order, at)
        if reason is not None:
            order.status, order.reason, order.blocked = Status.REJECTED, reason, 0
        account.remember(order)
        self.listing.keep(order.symbol, order.exchange)
        self._booking.push(account, order)
        if order.status in WORKING and not order.validating_until:
            self._crossing.match(account, order, contract, at, clip=treatment.clip, arriving=True)
        self._booking.keep(account, order)
        return order

    def _rejection(self, account: Account, contract: Contract, order: PaperOrder, at: float) -> str | None:
        """Reserve what the order needs; returns why it is to be recorded as rejected instead, None if it is taken.

        In analyzer mode only a sale of shares that are not there is recorded; the rest is refused (raises Refusal).
        """
        try:
            admission.check_freeze(contract, order.quantity)
            limit = order.price if order.price_type in LIMITED else 0
            admission.check_band(contract, self._bands.band(contract, at), limit, order.trigger_price)
            order.blocked = self._reserve(account, contract, order)
        except Refusal as refusal:
            if not account.is_live:
                raise
            return str(refusal.message)
        return self._undeliverable(account, order)

    def _new_order(
        self, account: Account, request: OrderRequest, contract: Contract, treatment: Treatment, at: float
    ) -> PaperOrder:
        waits = request.price_type in STOPS
        price = 0 if request.price_type is PriceType.SL_M else request.price
        order = PaperOrder(
            order_id=self._new_id(account, at),
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
            visible_at=at + treatment.hidden_seconds if treatment.hidden_seconds else 0.0,
            shown_as_limit=treatment.shown_as_limit and request.price_type is PriceType.MARKET,
            moving_timestamp=treatment.moving_timestamp,
            stale_status=treatment.stale_status,
            validating_until=at + treatment.validation_seconds if treatment.validation_seconds else 0.0,
        )
        if order.price_type is PriceType.MARKET:
            order.protected = self._crossing.protected(contract, order.action, at)
        return order

    def _changed(
        self, account: Account, order: PaperOrder, contract: Contract, request: OrderRequest, at: float
    ) -> PaperOrder:
        """Return the order as the request wants it, with nothing blocked. Raises Refusal."""
        changed = copy.copy(order)
        changed.quantity = request.quantity
        changed.price = request.price or order.price
        changed.trigger_price = request.trigger_price or order.trigger_price
        changed.held = False
        if account.is_live and request.price_type is not order.price_type:
            admission.check_prices(contract, request)
            changed.price_type, changed.price = request.price_type, request.price
            waits = changed.price_type in STOPS and not order.triggered
            changed.status = Status.TRIGGER_PENDING if waits else Status.OPEN
            changed.trigger_price = changed.trigger_price if changed.price_type in STOPS else 0
            changed.shown_as_limit = False
        if changed.price_type is PriceType.MARKET:
            changed.price = changed.price or self.quotes.last(contract, at)
            changed.protected = request.price or self._crossing.protected(contract, changed.action, at)
        elif request.price:
            changed.protected = 0
        if changed.quantity > order.quantity and (problem := self._undeliverable(account, changed, instead_of=order)):
            raise Refusal(400, problem)
        return changed

    def _undeliverable(self, account: Account, order: PaperOrder, instead_of: PaperOrder | None = None) -> str | None:
        if order.product is not Product.CNC or order.action is Action.BUY:
            return None
        sellable = account.sellable(order.symbol, order.exchange)
        if instead_of is not None:
            sellable += instead_of.pending
        return admission.delivery_problem(order.symbol, order.pending, sellable)

    def _reserve(self, account: Account, contract: Contract, order: PaperOrder) -> int:
        """Paise that the order blocks until it is filled. Raises Refusal if they are not there."""
        at = self._clock()
        _, bid, ask = self.quotes.touch(contract, at)
        price = ask if order.action is Action.BUY else bid
        if order.price_type in LIMITED:
            price = order.price
        elif order.price_type is PriceType.SL_M:
            price = max(order.trigger_price, price)
        elif account.liquidity is Liquidity.DISPLAYED and order.action is Action.BUY:
            price = max(order.protected, price)
        key = PositionKey(order.symbol, order.exchange, order.product)
        after = copy.copy(account.position(key))
        before = account.margin(self.listing.contract).total
        underlying = self.quotes.underlying_paise(contract, at)
        after.apply(order.action, order.pending, price=price, underlying=underlying, day=after.day)
        needed = max(account.margin(self.listing.contract, instead=after).total - before, 0)
        admission.check_funds(needed, self.available(account))
        return needed

    def _working(self, account: Account, order_id: str, at: float, *, verb: str) -> PaperOrder:
        order = account.orders.get(order_id)
        if order is None or order.is_hidden(at):
            raise Refusal(404, f"Order {order_id} not found")
        if order.status not in WORKING:
            raise Refusal(400, f"Cannot {verb} order in {order.status} status")
        return order


def _priority(order: PaperOrder) -> tuple[int, float]:
    """Who is first in line: the better price, then the older order."""
    return -order.action.sign * matching.limit_of(order), order.placed_at
