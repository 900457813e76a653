"""Accounts by API key: cash, positions, orders and trades, all money in integer paise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from engine.domain.instruments import Action, Contract, Exchange, Product
from engine.paper.gtt import Gtt
from engine.paper.holdings import Holding
from engine.paper.margins import Exposure, Margin, margin_of
from engine.paper.orders import WORKING, PaperOrder, Trade

DEFAULT_FUNDS = 10_000_000_00
"""Starting funds in paise: OpenAlgo's sandbox gives 10,000,000 rupees."""


ANALYZE, LIVE = "analyze", "live"
"""The two modes of an account, which are also the names of its faces."""


class Token(StrEnum):
    """The broker's session behind an account: good, expired (dead), or revoked with the API key's login."""

    GOOD = "good"
    DEAD = "dead"
    REVOKED = "revoked"


class Liquidity(StrEnum):
    """What an arriving order meets: the whole quantity at bid and ask, or the quantities that depth displays."""

    TOUCH = "touch"
    DISPLAYED = "displayed"


DEFAULT_LIQUIDITY = {ANALYZE: Liquidity.TOUCH, LIVE: Liquidity.DISPLAYED}


class PositionKey(NamedTuple):
    """What a position is kept under inside one account."""

    symbol: str
    exchange: Exchange
    product: Product


@dataclass(slots=True)
class Position:
    """One position at average cost. Money in paise, all of it exact.

    ``cost`` is the value that the open quantity was bought or sold for, ``notional`` the underlying's value at those
    moments. ``realised`` counts since the account began, ``today`` since midnight of ``day`` (YYYY-MM-DD), the day of
    the last fill or the one that a clock which was set back had reached.
    """

    symbol: str
    exchange: Exchange
    product: Product
    quantity: int = 0
    cost: int = 0
    notional: int = 0
    realised: int = 0
    today: int = 0
    day: str = ""

    @property
    def average(self) -> float:
        """Average price in ₹, 0 when flat."""
        return round(self.cost / abs(self.quantity) / 100, 2) if self.quantity else 0.0

    def apply(self, action: Action, quantity: int, *, price: int, underlying: int, day: str) -> int:
        """Book a fill; returns what it realised in paise. ``price`` and ``underlying`` are paise a unit.

        When the position is flat again, everything it realised is Σ sale value − Σ purchase value.

        >>> position = Position("X", Exchange.NFO, Product.NRML)
        >>> position.apply(Action.BUY, 3, price=1001, underlying=0, day="d")
        0
        >>> position.apply(Action.SELL, 2, price=1000, underlying=0, day="d"), position.cost
        (-2, 1001)
        >>> position.apply(Action.SELL, 1, price=1000, underlying=0, day="d"), position.quantity
        (-1, 0)
        """
        if self.day < day:
            self.day, self.today = day, 0
        sign = action.sign
        closing = min(quantity, abs(self.quantity)) if self.quantity * sign < 0 else 0
        realised = 0
        if closing:
            cost = self.cost * closing // abs(self.quantity)
            notional = self.notional * closing // abs(self.quantity)
            realised = (price * closing - cost) if self.quantity > 0 else (cost - price * closing)
            self.cost -= cost
            self.notional -= notional
            self.quantity += sign * closing
        opening = quantity - closing
        if opening:
            self.quantity += sign * opening
            self.cost += price * opening
            self.notional += underlying * opening
        self.realised += realised
        self.today += realised
        return realised

    def unrealised(self, price: int) -> int:
        """P of the open quantity at a price in paise."""
        value = price * abs(self.quantity)
        return value - self.cost if self.quantity > 0 else self.cost - value

    def document(self) -> dict[str, Any]:
        """Return the position as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> Position:
        """Return the position that ``document`` wrote."""
        return cls(**{**row, "exchange": Exchange(row["exchange"]), "product": Product(row["product"])})


@dataclass(slots=True)
class Account:
    """One account in one mode: funds it began with (paise), its face, its books in the order of events.

    ``semi_auto`` queues new orders for approval. ``token`` is the broker's session: with ``dead`` the broker refuses,
    with ``revoked`` the API key itself is refused. Switches are changed through ``PaperExchange.change_account``.
    """

    api_key: str
    name: str
    funds: int
    face: str
    created_at: float
    orders: dict[str, PaperOrder] = field(default_factory=dict)
    working: dict[str, PaperOrder] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    positions: dict[PositionKey, Position] = field(default_factory=dict)
    calls: int = 0
    semi_auto: bool = False
    token: Token = Token.GOOD
    liquidity: Liquidity = Liquidity.TOUCH
    holdings: dict[tuple[str, Exchange], Holding] = field(default_factory=dict)
    gtts: dict[str, Gtt] = field(default_factory=dict)
    hidden: dict[str, PaperOrder] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Whether this is the account of live mode."""
        return self.face == LIVE

    @property
    def book(self) -> str:
        """Return what its books are stored under: the modes of one key have books of their own."""
        return f"{self.api_key}\n{self.face}" if self.is_live else self.api_key

    def switches(self) -> dict[str, Any]:
        """Return the switches as JSON, with the time the account was made."""
        return {
            "created_at": self.created_at,
            "semi_auto": self.semi_auto,
            "token": self.token,
            "liquidity": self.liquidity,
        }

    def set_switches(self, row: dict[str, Any]) -> None:
        """Set the switches to those that ``switches`` gave."""
        self.created_at = row["created_at"]
        self.semi_auto = row["semi_auto"]
        self.token = Token(row["token"])
        self.liquidity = Liquidity(row["liquidity"])

    def visible_orders(self, at: float) -> list[PaperOrder]:
        """Orders that books and status show at that time, in the order of events."""
        return [order for order in self.orders.values() if not order.is_hidden(at)]

    def visible_trades(self, at: float) -> list[Trade]:
        """Trades that the trade book shows at that time, in the order of events."""
        return [trade for trade in self.trades if trade.visible_at <= at]

    @property
    def realised(self) -> int:
        """Realised P since the account began, in paise."""
        return sum(position.realised for position in self.positions.values())

    @property
    def reserved(self) -> int:
        """Paise blocked for working orders and active GTT orders."""
        return sum(order.blocked for order in self.working.values()) + sum(gtt.blocked for gtt in self.gtts.values())

    @property
    def delivered_cost(self) -> int:
        """Paise that the holdings were bought for."""
        return sum(holding.cost for holding in self.holdings.values())

    def sellable(self, symbol: str, exchange: Exchange) -> int:
        """Shares that can be sold with CNC: holding and position, less what working orders already sell."""
        holding = self.holdings.get((symbol, exchange))
        position = self.position(PositionKey(symbol, exchange, Product.CNC))
        selling = sum(
            order.pending
            for order in self.working.values()
            if (order.symbol, order.exchange, order.product) == (symbol, exchange, Product.CNC)
            and order.action is Action.SELL
        )
        return (holding.quantity if holding is not None else 0) + position.quantity - selling

    def remember(self, order: PaperOrder) -> None:
        """Keep an order, among the working ones if it is one."""
        self.orders[order.order_id] = order
        if order.status in WORKING:
            self.working[order.order_id] = order
        else:
            self.working.pop(order.order_id, None)
        if order.visible_at:
            self.hidden[order.order_id] = order
        else:
            self.hidden.pop(order.order_id, None)

    def position(self, key: PositionKey) -> Position:
        """Return the position under a key, flat if there was none."""
        return self.positions.get(key) or Position(*key)

    def margin(self, contract_of: Callable[[str, Exchange], Contract], *, instead: Position | None = None) -> Margin:
        """Return what all positions block together; ``instead`` stands for the position of its key."""
        positions = dict(self.positions)
        if instead is not None:
            positions[PositionKey(instead.symbol, instead.exchange, instead.product)] = instead
        return margin_of(
            Exposure(
                contract_of(position.symbol, position.exchange),
                position.product,
                position.quantity,
                position.cost,
                position.notional,
            )
            for position in positions.values()
            if position.quantity
        )
