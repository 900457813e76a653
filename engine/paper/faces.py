"""How an account looks on the wire: OpenAlgo's analyzer answers.

A face turns the exchange's books into OpenAlgo's rows. Accounts name theirs, so that another one (a live broker's) is
a class of its own beside this one and nothing else changes.
"""

from __future__ import annotations

from typing import Any

from engine.domain.instruments import Action
from engine.paper.accounts import Account, Position
from engine.paper.clock import ist_text, trading_day
from engine.paper.exchange import PaperExchange
from engine.paper.orders import PaperOrder, Push, Status, Trade


class AnalyzerFace:
    """OpenAlgo in analyzer mode: numbers as floats, ``mode`` analyze, fills and reasons in the order book."""

    name = "analyze"
    analyze_mode = True
    stream_broker = "sandbox"

    def tag(self) -> dict[str, str]:
        """Return the top-level field that marks answers of order and account calls."""
        return {"mode": self.name}

    def funds(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Rupees as floats. ``availablecash`` is already less what positions and working orders block."""
        at = exchange.clock()
        today = trading_day(at).isoformat()
        used = exchange.used(account) + account.reserved
        open_profit = sum(self._unrealised(exchange, position, at) for position in account.positions.values())
        realised_today = sum(p.today for p in account.positions.values() if p.day == today)
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

    def order_row(self, order: PaperOrder) -> dict[str, Any]:
        """Return a row of the order book."""
        return {"pricetype": order.price_type, "rejection_reason": order.reason, **self._order(order)}

    def status_row(self, order: PaperOrder) -> dict[str, Any]:
        """Return the answer of ``orderstatus``: here the price type is called ``price_type``."""
        return {"price_type": order.price_type, **self._order(order)}

    def order_book(self, account: Account, at: float) -> dict[str, Any]:
        """Today's orders, newest first, and their counts."""
        today = trading_day(at)
        orders = [order for order in account.orders.values() if trading_day(order.placed_at) == today]
        counts = dict.fromkeys(Status, 0)
        for order in orders:
            counts[order.status] += 1
        bought = sum(order.action is Action.BUY for order in orders)
        return {
            "orders": [self.order_row(order) for order in reversed(orders)],
            "statistics": {
                "total_buy_orders": bought,
                "total_sell_orders": len(orders) - bought,
                "total_completed_orders": counts[Status.COMPLETE],
                "total_open_orders": counts[Status.OPEN],
                "total_rejected_orders": counts[Status.REJECTED],
                "total_trigger_pending_orders": counts[Status.TRIGGER_PENDING],
            },
        }

    def trade_book(self, account: Account, at: float) -> list[dict[str, Any]]:
        """Today's trades, newest first."""
        today = trading_day(at)
        return [self._trade(trade) for trade in reversed(account.trades) if trading_day(trade.at) == today]

    def position_book(self, exchange: PaperExchange, account: Account) -> dict[str, Any]:
        """Open positions and those that were closed today, with totals at top level."""
        at = exchange.clock()
        today = trading_day(at).isoformat()
        rows = [
            self._position(exchange, position, at, today)
            for position in account.positions.values()
            if position.quantity or position.day == today
        ]
        open_profit = sum(self._unrealised(exchange, position, at) for position in account.positions.values())
        realised = sum(p.today for p in account.positions.values() if p.day == today)
        return {
            "data": rows,
            "total_pnl": (open_profit + realised) / 100,
            "total_pnl_today": (open_profit + realised) / 100,
            "total_unrealized_pnl": open_profit / 100,
            "total_today_realized_pnl": realised / 100,
        }

    def push(self, account: Account, push: Push) -> dict[str, Any]:
        """Return a frame of type ``order_update``; like the sandbox it never says what is pending."""
        order = push.order
        return {
            "type": "order_update",
            "user_id": account.name,
            "mode": self.name,
            "broker": self.stream_broker,
            "orderid": order.order_id,
            "symbol": order.symbol,
            "exchange": order.exchange,
            "action": order.action,
            "quantity": order.quantity,
            "price": push.price / 100,
            "trigger_price": order.trigger_price / 100,
            "pricetype": order.price_type,
            "product": order.product,
            "order_status": order.status,
            "filled_quantity": order.filled,
            "pending_quantity": 0,
            "average_price": order.average,
            "rejection_reason": order.reason,
        }

    def _order(self, order: PaperOrder) -> dict[str, Any]:
        return {
            "orderid": order.order_id,
            "symbol": order.symbol,
            "exchange": order.exchange,
            "action": order.action,
            "quantity": order.quantity,
            "price": order.price / 100,
            "trigger_price": order.trigger_price / 100,
            "product": order.product,
            "order_status": order.status,
            "average_price": order.average,
            "filled_quantity": order.filled,
            "pending_quantity": 0 if order.status is Status.REJECTED else order.pending,
            "strategy": order.strategy,
            "timestamp": ist_text(order.placed_at),
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

    def _position(self, exchange: PaperExchange, position: Position, at: float, today: str) -> dict[str, Any]:
        """Return a row of the position book; a flat one repeats the realised amount as unrealised."""
        last = exchange.quotes.last(exchange.listing.contract(position.symbol, position.exchange), at)
        realised = position.today if position.day == today else 0
        unrealised = self._unrealised(exchange, position, at)
        return {
            "symbol": position.symbol,
            "exchange": position.exchange,
            "product": position.product,
            "quantity": position.quantity,
            "average_price": position.average,
            "ltp": last / 100,
            "pnl": (unrealised + realised) / 100,
            "pnlpercent": unrealised / position.cost * 100 if position.cost else 0.0,
            "unrealized_pnl": (unrealised if position.quantity else realised) / 100,
            "today_realized_pnl": realised / 100,
            "total_pnl_today": (unrealised + realised) / 100,
            "lot_size": 1.0,
        }

    def _unrealised(self, exchange: PaperExchange, position: Position, at: float) -> int:
        if not position.quantity:
            return 0
        contract = exchange.listing.contract(position.symbol, position.exchange)
        return position.unrealised(exchange.quotes.last(contract, at))


Face = AnalyzerFace
FACES: dict[str, Face] = {AnalyzerFace.name: AnalyzerFace()}
DEFAULT_FACE = AnalyzerFace.name
