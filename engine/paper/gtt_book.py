"""The GTT orders of all accounts: placed, changed, cancelled, and watched until a trigger is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.domain.instruments import Contract, PriceType, Product
from engine.paper import admission
from engine.paper.accounts import Account
from engine.paper.clock import trading_day
from engine.paper.gtt import FIRST_LIVE_NUMBER, Gtt, GttRequest, GttStatus, a_year_on, new_trigger_id
from engine.paper.orders import OrderRequest
from engine.paper.storage import GTT, Storage
from engine.paper.trading import Trading
from engine.paper.wire import Refusal

MIS_REFUSED = "GTT supports only CNC (delivery) or NRML (overnight F&O); MIS is intraday-only."
MOST_LEGS = 2


class GttBook:
    """Watches GTT orders over one trading desk; a trigger places a LIMIT order there."""

    def __init__(self, trading: Trading, storage: Storage, clock: Callable[[], float]) -> None:
        self._trading = trading
        self._storage = storage
        self._clock = clock
        numbers = [int(name) for _, name, __ in storage.documents(GTT) if name.isdigit()]
        self._next_number = max(numbers, default=FIRST_LIVE_NUMBER - 1) + 1

    def active(self, account: Account) -> list[Gtt]:
        """Return the account's active GTT orders, oldest first."""
        return [gtt for gtt in account.gtts.values() if gtt.status is GttStatus.ACTIVE]

    def place(self, account: Account, request: GttRequest) -> Gtt:
        """Take a GTT. Raises Refusal (400) for a request that is not possible or not covered by the funds."""
        contract = self._checked(request)
        at = self._clock()
        margin = max(leg.price for leg in request.legs) * request.quantity
        blocked = self._blocked(account, margin, freed=0)
        last = self._trading.quotes.last(contract, at)
        gtt = Gtt(self._new_id(account, at), request, last, margin, blocked, at, at, a_year_on(at))
        self._trading.listing.keep(request.symbol, request.exchange)
        self._keep(account, gtt)
        return gtt

    def modify(self, account: Account, trigger_id: str, request: GttRequest) -> Gtt:
        """Change an active GTT of the same contract. Raises Refusal: 404 if it is not active, 400 as ``place``."""
        gtt = self._active(account, trigger_id)
        contract = self._checked(request)
        if (request.symbol, request.exchange) != (gtt.request.symbol, gtt.request.exchange):
            raise Refusal(400, f"GTT {trigger_id} is for {gtt.request.symbol} on {gtt.request.exchange}")
        margin = max(leg.price for leg in request.legs) * request.quantity
        gtt.blocked = self._blocked(account, margin, freed=gtt.blocked)
        gtt.request, gtt.margin, gtt.updated_at = request, margin, self._clock()
        gtt.last_price = self._trading.quotes.last(contract, gtt.updated_at)
        self._keep(account, gtt)
        return gtt

    def cancel(self, account: Account, trigger_id: str) -> Gtt:
        """Cancel an active GTT. Raises Refusal (404) if there is none of that id."""
        gtt = self._active(account, trigger_id)
        self._end(account, gtt, GttStatus.CANCELLED, self._clock())
        return gtt

    def sweep(self, accounts: Iterable[Account], at: float) -> None:
        """Place the order of every leg whose trigger the last price has reached; end those whose time is over."""
        today = trading_day(at)
        for account in accounts:
            for gtt in self.active(account):
                contract = self._trading.listing.contract(gtt.request.symbol, gtt.request.exchange)
                if at >= gtt.expires_at or (contract.expiry is not None and today > contract.expiry):
                    self._end(account, gtt, GttStatus.EXPIRED, at)
                else:
                    self._watch(account, gtt, contract, at)

    def _watch(self, account: Account, gtt: Gtt, contract: Contract, at: float) -> None:
        leg = gtt.reached(self._trading.quotes.last(contract, at))
        if leg is None:
            return
        request = gtt.request
        order = OrderRequest(
            strategy=request.strategy,
            symbol=request.symbol,
            exchange=request.exchange,
            action=request.action,
            quantity=request.quantity,
            price_type=PriceType.LIMIT,
            product=request.product,
            price=leg.price,
        )
        with self._storage.transaction():
            gtt.blocked = 0  # before the order reserves what it needs
            try:
                gtt.order_id = self._trading.place(account, order).order_id
                self._end(account, gtt, GttStatus.TRIGGERED, at)
            except Refusal as refusal:
                gtt.reason, gtt.order_id = str(refusal.message), str(refusal.fields.get("orderid", ""))
                self._end(account, gtt, GttStatus.REJECTED, at)

    def _checked(self, request: GttRequest) -> Contract:
        contract = self._trading.listing.resolve(request.symbol, request.exchange)
        if contract is None:
            raise Refusal(400, "Symbol not found")
        if request.product is Product.MIS:
            raise Refusal(400, MIS_REFUSED)
        admission.check_tradable(contract, request.product)
        admission.check_lots(contract, request.quantity)
        admission.check_freeze(contract, request.quantity)
        if not 1 <= len(request.legs) <= MOST_LEGS:
            raise Refusal(400, f"A GTT has one or two legs, not {len(request.legs)}")
        for leg in request.legs:
            if leg.trigger_price <= 0 or leg.price <= 0:
                raise Refusal(400, "Every leg of a GTT needs a positive trigger price and a positive price")
            admission.check_tick(contract, leg.trigger_price)
            admission.check_tick(contract, leg.price)
        if len(request.legs) == MOST_LEGS and request.legs[0].trigger_price >= request.legs[1].trigger_price:
            raise Refusal(400, "triggerprice_sl must be below triggerprice_tg")
        return contract

    def _blocked(self, account: Account, margin: int, *, freed: int) -> int:
        """Paise that count against the funds: analyzer mode blocks the margin, brokers block nothing for a GTT."""
        if account.is_live:
            return 0
        admission.check_funds(margin, self._trading.available(account) + freed)
        return margin

    def _new_id(self, account: Account, at: float) -> str:
        if not account.is_live:
            return new_trigger_id(at)
        self._next_number += 1
        return str(self._next_number - 1)

    def _active(self, account: Account, trigger_id: str) -> Gtt:
        gtt = account.gtts.get(trigger_id)
        if gtt is None or gtt.status is not GttStatus.ACTIVE:
            raise Refusal(404, f"No active GTT with trigger_id '{trigger_id}'")
        return gtt

    def _end(self, account: Account, gtt: Gtt, status: GttStatus, at: float) -> None:
        gtt.status, gtt.blocked, gtt.updated_at = status, 0, at
        self._keep(account, gtt)

    def _keep(self, account: Account, gtt: Gtt) -> None:
        with self._storage.transaction():
            self._storage.save_document(GTT, account.book, gtt.trigger_id, gtt.document())
        account.gtts[gtt.trigger_id] = gtt
