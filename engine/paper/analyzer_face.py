"""OpenAlgo in analyzer mode: numbers as floats, ``mode`` analyze, fills, reasons and strategies in the books."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.domain.instruments import PriceType
from engine.paper import shown
from engine.paper.accounts import ANALYZE, Account, Position, PositionKey, Token
from engine.paper.clock import ist_text
from engine.paper.exchange import PaperExchange
from engine.paper.gtt import Gtt
from engine.paper.orders import OrderRequest, PaperOrder, Push, Status, Trade, Treatment
from engine.paper.wire import Refusal

NO_PRICE = (
    "Cannot place MARKET order for {} - unable to fetch current price. "
    "Please try again later or use LIMIT order with a specific price."
)
CANCELLED_BY_ALL = frozenset({Status.OPEN})
"""Cancelling all leaves orders that wait for their trigger alone, and still says success."""


class AnalyzerFace:
    """The sandbox: its own books, no broker behind them except for prices."""

    name = ANALYZE
    analyze_mode = True
    stream_broker = "sandbox"
    cancelled_by_all = CANCELLED_BY_ALL
    smart_orders_at_market = True

    def tag(self) -> dict[str, Any]:
        """Return the top-level field that marks answers of order and account calls."""
        return {"mode": self.name}

    def remark(self, text: str, **fields: Any) -> dict[str, Any]:
        """Return the fields that only the sandbox puts beside a result."""
        return {"message": text, **fields, **self.tag()}

    def basket_leg(self, *, last: bool) -> dict[str, Any]:
        """Return what a placed leg of a basket says about its basket."""
        return {"batch_order": True, "is_last_order": last}

    def basket_results(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the legs in the order in which they were placed."""
        return results

    def is_cut_off(self, account: Account) -> bool:  # noqa: ARG002 - live accounts may be
        """Whether the broker refuses this account's session: the sandbox's books need no broker."""
        return False

    def require_broker(self, account: Account, path: str) -> None:
        """Raise Refusal (500) if the broker refuses: never here."""

    def place(
        self, exchange: PaperExchange, account: Account, request: OrderRequest, treatment: Treatment
    ) -> PaperOrder:
        """Place an order. Raises Refusal in the sandbox's words; a MARKET order needs a price of the broker."""
        if account.token is Token.DEAD and request.price_type is PriceType.MARKET:
            raise Refusal(400, NO_PRICE.format(request.symbol))
        return exchange.place(account, request, treatment)

    def modify(self, exchange: PaperExchange, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
        """Change a working order. Raises Refusal (404 unknown, 400 finished)."""
        return exchange.modify(account, order_id, request)

    def cancel(self, exchange: PaperExchange, account: Account, order_id: str) -> PaperOrder:
        """Cancel a working order. Raises Refusal (404 unknown, 400 finished)."""
        return exchange.cancel(account, order_id)

    def require_session(self, account: Account) -> None:
        """Raise Refusal (403) if the broker refuses the session: the sandbox does not ask it."""

    def gtt_refusal(self, refusal: Refusal) -> Refusal:
        """Return a refusal of a GTT call in this mode's words: the exchange's are the sandbox's."""
        return refusal

    def gtt_row(self, exchange: PaperExchange, gtt: Gtt) -> dict[str, Any]:
        """Return a row of the GTT book: times in UTC."""
        return {
            **shown.gtt(exchange, gtt),
            "strategy": gtt.request.strategy,
            "margin_blocked": gtt.blocked / 100,
            "created_at": f"{_utc(gtt.created_at):%Y-%m-%dT%H:%M:%S}",
            "updated_at": f"{_utc(gtt.updated_at):%Y-%m-%dT%H:%M:%S}",
            "expires_at": f"{_utc(gtt.expires_at):%Y-%m-%dT%H:%M:%S.%f}",
        }

    def funds(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Rupees as floats. ``availablecash`` is already less what positions and working orders block."""
        at = exchange.clock()
        used = exchange.used(account) + account.reserved
        open_profit = sum(shown.unrealised(exchange, position, at) for position in account.positions.values())
        realised_today = sum(shown.realised_today(position, at) for position in account.positions.values())
        return {
            "availablecash": exchange.available(account) / 100,
            "collateral": 0.0,
            "utiliseddebits": used / 100,
            "grossexposure": used / 100,
            "m2munrealized": open_profit / 100,
            "m2mrealized": realised_today / 100,
            "today_realized_pnl": realised_today / 100,
            "total_realized_pnl": account.realised / 100,
            "totalpnl": (open_profit + account.realised) / 100,
            "last_reset": ist_text(account.created_at),
            "reset_count": 0,
        }

    def order_book(self, account: Account, at: float) -> dict[str, Any]:
        """Today's orders, newest first, and their counts."""
        orders = shown.orders_of_the_day(account, at)
        return {
            "orders": [self._book_row(order, at) for order in reversed(orders)],
            "statistics": {
                **shown.counts(orders),
                "total_trigger_pending_orders": sum(order.status is Status.TRIGGER_PENDING for order in orders),
            },
        }

    def order_status(self, account: Account, order_id: str, at: float) -> dict[str, Any]:
        """Return one order: here the price type is called ``price_type``. Raises Refusal (404)."""
        order = account.orders.get(order_id)
        if order is None or order.is_hidden(at):
            raise Refusal(404, f"Order {order_id} not found")
        return {"price_type": order.shown_price_type, **self._order(order, at)}

    def trade_book(self, account: Account, at: float) -> list[dict[str, Any]]:
        """Today's trades, newest first."""
        return [self._trade(trade) for trade in reversed(shown.trades_of_the_day(account, at))]

    def position_book(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Open positions and those that were closed today, with totals at top level."""
        at = exchange.clock()
        positions = shown.positions_of_the_day(account, at)
        rows = [self._position(exchange, position, at) for position in positions]
        return {"data": rows, **shown.totals(exchange, positions, at)}

    def profit_by_symbol(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Return the P of the day of every position, with totals at top level."""
        return shown.profit_by_symbol(exchange, account)

    def open_quantity(self, account: Account, key: PositionKey) -> int:
        """Signed quantity of one position."""
        return account.position(key).quantity

    def holdings(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Delivered shares and their statistics."""
        return shown.holdings(exchange, account)

    def push(self, account: Account, push: Push) -> dict[str, Any]:
        """Return a frame of type ``order_update``; like the sandbox it never says what is pending."""
        order = push.order
        return {
            **shown.push_head(account, order),
            "mode": self.name,
            "broker": self.stream_broker,
            "price": push.price / 100,
            "pending_quantity": 0,
        }

    def _book_row(self, order: PaperOrder, at: float) -> dict[str, Any]:
        return {
            "pricetype": order.shown_price_type,
            "rejection_reason": order.reason,
            **self._order(order, at),
        }

    def _order(self, order: PaperOrder, at: float) -> dict[str, Any]:
        return {
            "orderid": order.order_id,
            "symbol": order.symbol,
            "exchange": order.exchange,
            "action": order.action,
            "quantity": order.quantity,
            "price": order.shown_price / 100,
            "trigger_price": order.trigger_price / 100,
            "product": order.product,
            "order_status": order.status,
            "average_price": order.average,
            "filled_quantity": order.filled,
            "pending_quantity": 0 if order.status is Status.REJECTED else order.pending,
            "strategy": order.strategy,
            "timestamp": shown.timestamp(order, at),
        }

    def _trade(self, trade: Trade) -> dict[str, Any]:
        return {
            "tradeid": trade.trade_id,
            "orderid": trade.order_id,
            "symbol": trade.symbol,
            "exchange": trade.exchange,
            "product": trade.product,
            "action": trade.action,
            "quantity": trade.quantity,
            "price": trade.price / 100,
            "average_price": trade.price / 100,
            "trade_value": trade.value / 100,
            "strategy": trade.strategy,
            "timestamp": ist_text(trade.at),
        }

    def _position(self, exchange: PaperExchange, position: Position, at: float) -> dict[str, Any]:
        """Return a row of the position book; ``lot_size`` is a multiplier, not the lot."""
        last = exchange.quotes.last(exchange.listing.contract(position.symbol, position.exchange), at)
        floating = shown.unrealised(exchange, position, at)
        return {
            **shown.profit(exchange, position, at),
            "average_price": position.average,
            "ltp": last / 100,
            "pnlpercent": floating / position.cost * 100 if position.cost else 0.0,
            "lot_size": 1.0,
        }


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)
