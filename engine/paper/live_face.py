"""OpenAlgo in live mode with its Zerodha plugin: the books as that plugin shows them, with its mistakes.

Recorded in ``tests/contract/recorded`` (names with ``live``). No ``mode``, no strategies, no fills in the order book;
averages and funds as text. An order in a state that the plugin does not know takes over the status of the row before.
"""

from __future__ import annotations

from typing import Any

from engine.domain.instruments import PriceType
from engine.paper import live_orders, shown
from engine.paper.accounts import LIVE, Account, Position, PositionKey, Token
from engine.paper.clock import ist, ist_text
from engine.paper.exchange import PaperExchange
from engine.paper.gtt import Gtt
from engine.paper.live_orders import client_error
from engine.paper.orders import WORKING, OrderRequest, PaperOrder, Push, Status, Trade, Treatment
from engine.paper.wire import Refusal

UNKNOWN_STATE = "cannot access local variable 'order_status' where it is not associated with a value"


class LiveFace:
    """A broker's account through OpenAlgo."""

    name = LIVE
    analyze_mode = False
    stream_broker = "paper"
    cancelled_by_all = WORKING
    smart_orders_at_market = False

    def tag(self) -> dict[str, Any]:
        """Live answers are not marked."""
        return {}

    def remark(self, text: str, **fields: Any) -> dict[str, Any]:  # noqa: ARG002 - the sandbox's business
        """Live results say nothing beside what was asked."""
        return {}

    def basket_leg(self, *, last: bool) -> dict[str, Any]:  # noqa: ARG002 - the sandbox's business
        """Live legs say nothing about their basket."""
        return {}

    def basket_results(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the legs in the order of their completion: refused ones last, as recorded."""
        return sorted(results, key=lambda row: row["status"] != "success")

    def is_cut_off(self, account: Account) -> bool:
        """Whether the broker refuses this account's session."""
        return account.token is Token.DEAD

    def require_broker(self, account: Account, path: str) -> None:
        """Raise Refusal (500) in the HTTP client's words if the broker refuses the session."""
        if self.is_cut_off(account):
            raise client_error(403, path)

    def place(
        self, exchange: PaperExchange, account: Account, request: OrderRequest, treatment: Treatment
    ) -> PaperOrder:
        """Place an order; one that the exchange refuses later is given back as rejected. Raises Refusal."""
        return live_orders.place(exchange, account, request, treatment)

    def modify(self, exchange: PaperExchange, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
        """Change a working order. Raises Refusal (400)."""
        return live_orders.modify(exchange, account, order_id, request)

    def cancel(self, exchange: PaperExchange, account: Account, order_id: str) -> PaperOrder:
        """Cancel a working order. Raises Refusal (500, without the reason)."""
        return live_orders.cancel(exchange, account, order_id)

    def require_session(self, account: Account) -> None:
        """Raise Refusal (403) if the broker refuses the session."""
        live_orders.require_token(account)

    def gtt_refusal(self, refusal: Refusal) -> Refusal:
        """Return a refusal of a GTT call in this mode's words."""
        return Refusal(404, "Trigger not found") if refusal.status_code == 404 else refusal

    def gtt_row(self, exchange: PaperExchange, gtt: Gtt) -> dict[str, Any]:
        """Return a row of the GTT book: times in IST, the end at midnight, no strategy and no margin."""
        return {
            **shown.gtt(exchange, gtt),
            "created_at": ist_text(gtt.created_at),
            "updated_at": ist_text(gtt.updated_at),
            "expires_at": f"{ist(gtt.expires_at):%Y-%m-%d} 00:00:00",
        }

    def funds(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Rupees as text with two decimals; nothing at all, and success, when the broker refuses."""
        if self.is_cut_off(account):
            return {}
        at = exchange.clock()
        positions = account.positions.values()
        figures = {
            "availablecash": exchange.available(account),
            "collateral": 0,
            "m2mrealized": sum(shown.realised_today(position, at) for position in positions),
            "m2munrealized": sum(shown.unrealised(exchange, position, at) for position in positions),
            "utiliseddebits": exchange.used(account) + account.reserved,
        }
        return {name: f"{value / 100:.2f}" for name, value in figures.items()}

    def order_book(self, account: Account, at: float) -> dict[str, Any]:
        """Today's orders, oldest first, and their counts. Raises Refusal (500)."""
        self.require_broker(account, "orders")
        orders = shown.orders_of_the_day(account, at)
        known = [order for order in orders if not order.repeats_previous_status(at)]
        still_open = shown.counts(known)["total_open_orders"]
        statistics = {**shown.counts(orders), "total_open_orders": still_open}
        return {"orders": self._rows(orders, at), "statistics": statistics}

    def order_status(self, account: Account, order_id: str, at: float) -> dict[str, Any]:
        """Return a row of the order book with the average of its trades. Raises Refusal (404, 500)."""
        self.require_broker(account, "orders")
        rows = self._rows(shown.orders_of_the_day(account, at), at)
        row = next((row for row in rows if row["orderid"] == order_id), None)
        if row is None:
            raise Refusal(404, f"Order {order_id} not found")
        return {**row, "average_price": account.orders[order_id].average}

    def trade_book(self, account: Account, at: float) -> list[dict[str, Any]]:
        """Today's trades, oldest first. Raises Refusal (500)."""
        self.require_broker(account, "trades")
        return [_trade(trade) for trade in shown.trades_of_the_day(account, at)]

    def position_book(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Open positions and those that were closed today, without totals. Raises Refusal (500)."""
        self.require_broker(account, "portfolio/positions")
        at = exchange.clock()
        return {"data": [_position(exchange, position, at) for position in shown.positions_of_the_day(account, at)]}

    def profit_by_symbol(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Return the P of the day of every position, with totals at top level. Raises Refusal (500).

        Only recorded in analyzer mode: the fields are that mode's.
        """
        self.require_broker(account, "portfolio/positions")
        return shown.profit_by_symbol(exchange, account)

    def open_quantity(self, account: Account, key: PositionKey) -> int:
        """Signed quantity of one position. Raises Refusal (500)."""
        self.require_broker(account, "portfolio/positions")
        return account.position(key).quantity

    def holdings(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Delivered shares and their statistics. Raises Refusal (500)."""
        self.require_broker(account, "portfolio/holdings")
        return shown.holdings(exchange, account)

    def push(self, account: Account, push: Push) -> dict[str, Any]:
        """Return a frame of type ``order_update``; here with what is pending."""
        order = push.order
        return {
            **shown.push_head(account, order),
            "mode": self.name,
            "broker": self.stream_broker,
            "price": _price(order),
            "pending_quantity": order.pending,
            "rejection_reason": _reason(order),
        }

    def _rows(self, orders: list[PaperOrder], at: float) -> list[dict[str, Any]]:
        """Return rows of the order book. Raises Refusal (500) if the first order's state is unknown to the plugin."""
        rows: list[dict[str, Any]] = []
        status: Status | None = None
        for order in orders:
            status = status if order.repeats_previous_status(at) else order.status
            if status is None:
                raise Refusal(500, UNKNOWN_STATE)
            rows.append(_order(order, status, at))
        return rows


def _reason(order: PaperOrder) -> str:
    """Brokers say less about missing funds than the exchange knows."""
    return live_orders.NO_FUNDS if order.reason.startswith(live_orders.NO_FUNDS_IN_DETAIL) else order.reason


def _price(order: PaperOrder) -> float:
    """MARKET orders have no price here, unless the broker turned them into a limit."""
    return 0.0 if order.shown_price_type is PriceType.MARKET else order.shown_price / 100


def _order(order: PaperOrder, status: Status, at: float) -> dict[str, Any]:
    return {
        "orderid": order.order_id,
        "symbol": order.symbol,
        "exchange": order.exchange,
        "action": order.action,
        "quantity": order.quantity,
        "price": _price(order),
        "trigger_price": order.trigger_price / 100,
        "pricetype": order.shown_price_type,
        "product": order.product,
        "order_status": status,
        "timestamp": shown.timestamp(order, at),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    """Return a row of the trade book; its timestamp is the time of day only."""
    return {
        "orderid": trade.order_id,
        "symbol": trade.symbol,
        "exchange": trade.exchange,
        "product": trade.product,
        "action": trade.action,
        "quantity": trade.quantity,
        "average_price": trade.price / 100,
        "trade_value": trade.value / 100,
        "timestamp": f"{ist(trade.at):%H:%M:%S}",
    }


def _position(exchange: PaperExchange, position: Position, at: float) -> dict[str, Any]:
    last = exchange.quotes.last(exchange.listing.contract(position.symbol, position.exchange), at)
    profit = shown.unrealised(exchange, position, at) + shown.realised_today(position, at)
    return {
        "symbol": position.symbol,
        "exchange": position.exchange,
        "product": position.product,
        "quantity": position.quantity,
        "average_price": f"{position.average:.2f}",
        "ltp": last / 100,
        "pnl": profit / 100,
    }
