"""A paper exchange inside the test's own process, with a clock that the test moves.

    floor = Floor()
    asha = floor.account("asha")
    order = asha.place("BUY", 260)
    floor.pass_time(1.0)

Prices are given in ₹; ``Floor.pin`` holds one. ``Seat`` is one account and what its holder does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.domain.instruments import Action, Contract, Exchange, InstrumentType, PriceType, Product
from engine.paper.accounts import Account, PositionKey
from engine.paper.clock import IST
from engine.paper.exchange import PaperExchange
from engine.paper.gtt import Gtt, GttLeg, GttRequest
from engine.paper.market import Market
from engine.paper.orders import NORMAL, OrderRequest, PaperOrder, Push, Trade, Treatment
from engine.paper.quotes import Level
from engine.paper.storage import PriceControl, Storage

TUESDAY = datetime(2026, 11, 24, 11, 0, tzinfo=IST).timestamp()
EXPIRY = date(2026, 12, 1)
NEVER = 0
DAY_SECONDS = 86_400.0
FUNDS = 10_000_000_00


class Floor:
    """The exchange, its clock and every push it made.

    ``thin`` displays 2 to 6 lots a level on the bid's side and 3 to 7 on the ask's instead of what the generator shows.
    """

    def __init__(self, state: Path | None = None, *, seed: int = 11, now: float = TUESDAY, thin: bool = True) -> None:
        self.now = now
        self.pushes: list[Push] = []
        self.exchange = PaperExchange(
            market=Market(seed), storage=Storage(state), clock=lambda: self.now, on_push=self.pushes.append
        )
        if thin:
            self.exchange.liquidity.depth_of = self._thin

    @functools.cached_property
    def option(self) -> Contract:
        """The NIFTY call at the money of the first day."""
        listing = self.exchange.listing
        spot = self.exchange.market.spot("NIFTY", TUESDAY)
        strike = min(listing.strikes("NIFTY", EXPIRY), key=lambda strike: abs(strike - spot))
        return listing.option("NIFTY", EXPIRY, strike, InstrumentType.CE)

    def contract(self, symbol: str, exchange: Exchange) -> Contract:
        return self.exchange.listing.contract(symbol, exchange)

    def account(self, api_key: str, *, face: str = "live", funds: int = FUNDS) -> Seat:
        account, _ = self.exchange.open_account(api_key=api_key, name=api_key.title(), funds=funds, face=face)
        return Seat(self, account)

    def pin(self, contract: Contract, rupees: float) -> None:
        """Hold a price, without letting orders meet it yet."""
        self.exchange.prices.set(PriceControl("pin", contract.symbol, contract.exchange, rupees, self.now))

    def move(self, contract: Contract, rupees: float) -> None:
        """Hold a price and let what rests meet it."""
        self.pin(contract, rupees)
        self.exchange.sweep()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.exchange.sweep()

    def asks(self, contract: Contract | None = None) -> list[tuple[int, int]]:
        """What can be bought now: (paise, units), best first."""
        levels = self.exchange.liquidity.levels(contract or self.option, Action.BUY, self.now)
        return [(level.price, level.quantity) for level in levels]

    def bids(self, contract: Contract | None = None) -> list[tuple[int, int]]:
        """What can be sold now: (paise, units), best first."""
        levels = self.exchange.liquidity.levels(contract or self.option, Action.SELL, self.now)
        return [(level.price, level.quantity) for level in levels]

    def _thin(self, contract: Contract, at: float) -> tuple[list[Level], list[Level]]:
        _, bid, ask = self.exchange.quotes.touch(contract, at)
        tick, lot = round(contract.tick_size * 100), contract.lot_size
        buys = [Level(max(bid - k * tick, tick), (2 + k) * lot, 1) for k in range(5)]
        return buys, [Level(ask + k * tick, (3 + k) * lot, 1) for k in range(5)]


@dataclass(slots=True)
class Seat:
    """One account of a floor. Orders are MARKET NRML in the floor's option unless said otherwise."""

    floor: Floor
    account: Account

    @property
    def contract(self) -> Contract:
        """What it trades unless said otherwise."""
        return self.floor.option

    def request(self, action: str, quantity: int, **fields: Any) -> OrderRequest:
        given = dict(fields)
        contract = given.pop("contract", self.contract)
        rupees = {name: round(given.pop(name, 0.0) * 100) for name in ("price", "trigger_price")}
        kind = PriceType.LIMIT if rupees["price"] else PriceType.MARKET
        plain: dict[str, Any] = {"strategy": "test", "product": Product.NRML, "price_type": kind}
        return OrderRequest(
            symbol=contract.symbol,
            exchange=contract.exchange,
            action=Action(action),
            quantity=quantity,
            **(plain | rupees | given),
        )

    def place(self, action: str, quantity: int, treatment: Treatment = NORMAL, **fields: Any) -> PaperOrder:
        return self.floor.exchange.place(self.account, self.request(action, quantity, **fields), treatment)

    def modify(self, order: PaperOrder, quantity: int, **fields: Any) -> PaperOrder:
        fields.setdefault("price_type", order.price_type)
        request = self.request(order.action, quantity, **fields)
        return self.floor.exchange.modify(self.account, order.order_id, request)

    def cancel(self, order: PaperOrder) -> PaperOrder:
        return self.floor.exchange.cancel(self.account, order.order_id)

    def gtt(self, action: str, quantity: int, *legs: tuple[float, float], **fields: Any) -> Gtt:
        """Place a GTT with legs of (trigger, price) in ₹."""
        return self.floor.exchange.gtts.place(self.account, self.gtt_request(action, quantity, *legs, **fields))

    def gtt_request(self, action: str, quantity: int, *legs: tuple[float, float], **fields: Any) -> GttRequest:
        contract = fields.pop("contract", self.contract)
        return GttRequest(
            **{
                "strategy": "test",
                "symbol": contract.symbol,
                "exchange": contract.exchange,
                "action": Action(action),
                "product": Product.NRML,
                "quantity": quantity,
                "legs": tuple(GttLeg(round(trigger * 100), round(price * 100)) for trigger, price in legs),
                **fields,
            }
        )

    def order(self, order: PaperOrder) -> PaperOrder:
        """The order as it stands now."""
        return self.account.orders[order.order_id]

    def fills(self, order: PaperOrder) -> list[tuple[int, int]]:
        """(paise, units) of an order's trades in the order of events."""
        return [(trade.price, trade.quantity) for trade in self.trades(order)]

    def trades(self, order: PaperOrder) -> list[Trade]:
        return [trade for trade in self.account.trades if trade.order_id == order.order_id]

    def net(self, contract: Contract | None = None, product: Product = Product.NRML) -> int:
        wanted = contract or self.contract
        return self.account.position(PositionKey(wanted.symbol, wanted.exchange, product)).quantity

    @property
    def available(self) -> int:
        return self.floor.exchange.available(self.account)


def unbalanced(account: Account) -> list[str]:
    """Everything in an account's books that does not add up; empty when all does."""
    wrong: list[str] = []
    cash = sum(-trade.action.sign * trade.value for trade in account.trades)
    booked = sum(
        position.realised - (position.cost if position.quantity > 0 else -position.cost)
        for position in account.positions.values()
    )
    if cash != booked - account.delivered_cost:
        wrong.append(f"trades moved {cash} paise, the books say {booked - account.delivered_cost}")
    for key, position in account.positions.items():
        traded = sum(
            trade.action.sign * trade.quantity
            for trade in account.trades
            if (trade.symbol, trade.exchange, trade.product) == key
        )
        holding = account.holdings.get((key.symbol, key.exchange))
        kept = position.quantity + (holding.quantity if holding and key.product is Product.CNC else 0)
        if traded != kept:
            wrong.append(f"{key.symbol} {key.product}: traded {traded}, kept {kept}")
    for order in account.orders.values():
        trades = [trade for trade in account.trades if trade.order_id == order.order_id]
        if not 0 <= order.filled <= order.quantity or order.blocked < 0:
            wrong.append(f"order {order.order_id}: filled {order.filled} of {order.quantity}, blocked {order.blocked}")
        if (order.filled, order.filled_value) != (sum(t.quantity for t in trades), sum(t.value for t in trades)):
            wrong.append(f"order {order.order_id}: its trades are not what it filled")
        if order.blocked and order.order_id not in account.working:
            wrong.append(f"order {order.order_id}: ended and still blocks {order.blocked}")
    return wrong
