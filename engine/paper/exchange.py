"""The exchange: accounts and their modes over one market, and what time does to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.paper import settlement
from engine.paper.accounts import ANALYZE, DEFAULT_LIQUIDITY, LIVE, Account, Liquidity, Position, Token
from engine.paper.approvals import Approvals, Queued
from engine.paper.bands import Bands
from engine.paper.booking import Booking
from engine.paper.clock import trading_day
from engine.paper.crossing import Crossing
from engine.paper.gtt import GttRequest
from engine.paper.gtt_book import GttBook
from engine.paper.holdings import Holding
from engine.paper.liquidity import DisplayedLiquidity
from engine.paper.listing import Listing
from engine.paper.market import Market
from engine.paper.orders import LIVE_DIGITS, NORMAL, SANDBOX_DIGITS, OrderRequest, PaperOrder, Push, Treatment
from engine.paper.orders import new_order_id as order_id_at
from engine.paper.prices import PriceControls
from engine.paper.quotes import Quotes
from engine.paper.storage import Storage
from engine.paper.trading import Trading
from engine.paper.wire import Refusal


class PaperExchange:
    """Accounts, books and matching over one market. Not thread-safe: one event loop owns it.

    ``accounts`` has every key's account in its present mode, ``parked`` that of its other mode, once it had one: books
    of their own, whose orders and expiries go on without pushes. ``on_push`` is called with every order update, before
    the call that caused it returns. ``trading``, ``gtts`` and ``approvals`` are its desks.
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
        self.bands = Bands(market, self.quotes, self.listing.close_of)
        self.liquidity = DisplayedLiquidity(self.quotes.depth)
        self._storage = storage
        self.accounts, self.parked = storage.accounts()
        self.prices = PriceControls(market, self.quotes, self.listing, storage)
        self._booking = Booking(storage=storage, quotes=self.quotes, clock=clock, announce=self._announce)
        self.trading = Trading(
            clock=clock,
            listing=self.listing,
            quotes=self.quotes,
            bands=self.bands,
            crossing=Crossing(quotes=self.quotes, bands=self.bands, liquidity=self.liquidity, booking=self._booking),
            booking=self._booking,
            storage=storage,
            new_id=self._new_order_id,
        )
        self.gtts = GttBook(self.trading, storage, clock)
        self.approvals = Approvals(storage)
        self.approvals.register("place", self._place_queued)
        self.approvals.register("gtt", self._place_queued_gtt)
        for account in self.everyone():
            self._keep_contracts(account)
        storage.on_undone = self._reload

    def everyone(self) -> list[Account]:
        """All accounts in both modes."""
        return [*self.accounts.values(), *self.parked.values()]

    def open_account(self, *, api_key: str, name: str, funds: int, face: str) -> tuple[Account, bool]:
        """Return the account of a key, and whether it is new. An existing one is left as it is."""
        known = self.accounts.get(api_key)
        if known is not None:
            return known, False
        account = self._new_account(api_key, name, funds, face)
        with self._storage.transaction():
            self._storage.save_account(account)
        self.accounts[api_key] = account
        return account, True

    def change_account(
        self,
        api_key: str,
        *,
        face: str | None = None,
        semi_auto: bool | None = None,
        token: str | None = None,
        liquidity: str | None = None,
    ) -> Account:
        """Set switches of a key; returns its account in its mode. ``None`` leaves a switch as it is.

        ``semi_auto`` and ``token`` belong to the server and the broker's session: both modes share them. ``liquidity``
        is that of the mode the key is in, after ``face`` was switched. Raises Refusal (400) for an unknown key,
        ValueError for a value that a switch does not have.
        """
        given_token = None if token is None else Token(token)
        given_liquidity = None if liquidity is None else Liquidity(liquidity)
        account = self._known(api_key) if face is None else self.switch_mode(api_key, face)
        for one in (account, self.parked.get(api_key)):
            if one is not None:
                one.semi_auto = one.semi_auto if semi_auto is None else semi_auto
                one.token = given_token or one.token
        account.liquidity = given_liquidity or account.liquidity
        with self._storage.transaction():
            for one in (account, self.parked.get(api_key)):
                if one is not None:
                    self._storage.save_switches(one)
        return account

    def switch_mode(self, api_key: str, face: str) -> Account:
        """Put a key into analyzer or live mode; returns the account of that mode. Repeating it changes nothing.

        Each mode has books of its own. The first time the other mode begins with the same name and starting funds,
        empty books and its mode's liquidity. Raises Refusal (400) for an unknown key, ValueError for an unknown mode.
        """
        present = self._known(api_key)
        if face == present.face:
            return present
        account = self.parked.get(api_key)
        if account is None:
            account = self._new_account(api_key, present.name, present.funds, face)
            account.semi_auto, account.token = present.semi_auto, present.token
        account.calls = present.calls
        with self._storage.transaction():
            self._storage.save_account(account)
        self.accounts[api_key], self.parked[api_key] = account, present
        return account

    def available(self, account: Account) -> int:
        """Cash that is free for new orders, in paise."""
        return self.trading.available(account)

    def used(self, account: Account) -> int:
        """Paise blocked for positions and holdings."""
        return self.trading.used(account)

    def holdings(self, account: Account) -> list[Holding]:
        """Shares of earlier days (see holdings.py)."""
        return list(account.holdings.values())

    def place(self, account: Account, request: OrderRequest, treatment: Treatment = NORMAL) -> PaperOrder:
        """Take an order and match it at once. Raises Refusal, with an order id if a rejected order was recorded."""
        return self.trading.place(account, request, treatment)

    def modify(self, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
        """Change quantity, price and trigger of a working order, in live mode its price type too. Raises Refusal."""
        return self.trading.modify(account, order_id, request)

    def cancel(self, account: Account, order_id: str) -> PaperOrder:
        """Cancel a working order. Raises Refusal."""
        return self.trading.cancel(account, order_id)

    def queue(self, account: Account, kind: str, payload: dict[str, Any], approve_after: float | None = None) -> int:
        """Keep an order call for approval; returns its pending id.

        Kinds are those registered with ``approvals``: ``place`` (payload ``OrderRequest.document()``) and ``gtt``
        (``GttRequest.document()``) from the beginning. After ``approve_after`` seconds it is approved by itself.
        """
        return self.approvals.queue(
            account.api_key, account.face, kind, payload, at=self.clock(), approve_after=approve_after
        )

    def approve(self, api_key: str, pending_id: int) -> Queued:
        """Carry a queued call out as if it came now, in the mode it came in. Raises Refusal (404) if none waits."""
        return self.approvals.approve(api_key, pending_id)

    def reject_pending(self, api_key: str, pending_id: int) -> Queued:
        """Decline a queued call. Raises Refusal (404) if none waits."""
        return self.approvals.reject(api_key, pending_id)

    def sweep(self) -> None:
        """Let time pass: the change of the day, resting orders, GTT triggers, expiries, approvals that are due."""
        at = self.clock()
        everyone = self.everyone()
        self.trading.sweep(everyone, at)
        self.gtts.sweep(everyone, at)
        for account in everyone:
            for position in account.positions.values():
                if position.quantity:
                    self._settle_if_expired(account, position, at)
        self.approvals.sweep(at)

    def account_of(self, api_key: str, face: str) -> Account:
        """Return a key's account of a mode, whichever mode it is in now. Raises Refusal (400) if there is none."""
        for account in (self.accounts.get(api_key), self.parked.get(api_key)):
            if account is not None and account.face == face:
                return account
        raise Refusal(400, f"There is no account with this key in {face} mode")

    def _reload(self) -> None:
        """Take all books from disk, after something could not be kept there: nothing half done is shown."""
        self.accounts, self.parked = self._storage.accounts()
        self.approvals.reload()

    def _known(self, api_key: str) -> Account:
        account = self.accounts.get(api_key)
        if account is None:
            raise Refusal(400, "There is no account with this key")
        return account

    def _new_account(self, api_key: str, name: str, funds: int, face: str) -> Account:
        if face not in DEFAULT_LIQUIDITY:
            raise ValueError(f"there is no mode {face}; modes are {ANALYZE} and {LIVE}")
        return Account(api_key, name, funds, face, self.clock(), liquidity=DEFAULT_LIQUIDITY[face])

    def _keep_contracts(self, account: Account) -> None:
        for key in account.positions:
            self.listing.keep(key.symbol, key.exchange)
        for order in account.working.values():
            self.listing.keep(order.symbol, order.exchange)
        for gtt in self.gtts.active(account):
            self.listing.keep(gtt.request.symbol, gtt.request.exchange)

    def _new_order_id(self, account: Account, at: float) -> str:
        while True:
            order_id = order_id_at(at, digits=LIVE_DIGITS if account.is_live else SANDBOX_DIGITS)
            if not any(order_id in other.orders for other in self.everyone()):
                return order_id

    def _place_queued(self, call: Queued) -> str:
        account = self.account_of(call.api_key, call.face)
        return self.place(account, OrderRequest.from_document(call.payload)).order_id

    def _place_queued_gtt(self, call: Queued) -> str:
        account = self.account_of(call.api_key, call.face)
        return self.gtts.place(account, GttRequest.from_document(call.payload)).trigger_id

    def _settle_if_expired(self, account: Account, position: Position, at: float) -> None:
        contract = self.listing.contract(position.symbol, position.exchange)
        if contract.expiry is None or trading_day(at) <= contract.expiry:
            return
        close = self.market.closing(contract.underlying, self.listing.close_of(contract), at)
        spot = round(close * 100)
        with self._storage.transaction():
            trade = settlement.settle(account.api_key, position, contract, spot=spot, at=at)
            self._booking.trade(account, trade, spot)

    def _announce(self, account: Account, push: Push) -> None:
        if self.accounts.get(account.api_key) is account:
            self.on_push(push)
