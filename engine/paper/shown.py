"""What of an account's books a caller sees at an instant, in the figures that both faces share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.domain.instruments import Action, PriceType, Product
from engine.paper.accounts import Account, Position
from engine.paper.clock import day_start, ist_text, trading_day
from engine.paper.exchange import PaperExchange
from engine.paper.gtt import Gtt
from engine.paper.orders import PaperOrder, Status, Trade


def orders_of_the_day(account: Account, at: float) -> list[PaperOrder]:
    """Today's visible orders, oldest first."""
    midnight = day_start(trading_day(at))
    return [order for order in account.visible_orders(at) if order.placed_at >= midnight]


def trades_of_the_day(account: Account, at: float) -> list[Trade]:
    """Today's visible trades, oldest first."""
    midnight = day_start(trading_day(at))
    return [trade for trade in account.visible_trades(at) if trade.at >= midnight]


def positions_of_the_day(account: Account, at: float) -> list[Position]:
    """Open positions and those that were closed today."""
    today = trading_day(at).isoformat()
    return [position for position in account.positions.values() if position.quantity or position.day >= today]


def counts(orders: Sequence[PaperOrder]) -> dict[str, int]:
    """Return the statistics of an order book that both faces give."""
    bought = sum(order.action is Action.BUY for order in orders)
    return {
        "total_buy_orders": bought,
        "total_sell_orders": len(orders) - bought,
        "total_completed_orders": sum(order.status is Status.COMPLETE for order in orders),
        "total_open_orders": sum(order.status is Status.OPEN for order in orders),
        "total_rejected_orders": sum(order.status is Status.REJECTED for order in orders),
    }


def timestamp(order: PaperOrder, at: float) -> str:
    """Return the time that the order book shows, in IST."""
    return ist_text(order.shown_time(at))


def realised_today(position: Position, at: float) -> int:
    """P in paise that was realised since midnight."""
    return position.today if position.day >= trading_day(at).isoformat() else 0


def unrealised(exchange: PaperExchange, position: Position, at: float) -> int:
    """P in paise of the open quantity at the last price."""
    if not position.quantity:
        return 0
    contract = exchange.listing.contract(position.symbol, position.exchange)
    return position.unrealised(exchange.quotes.last(contract, at))


def profit_by_symbol(exchange: PaperExchange, account: Account) -> dict[str, Any]:
    """Return the P of the day of every position in ₹, with totals; a flat row repeats what it realised."""
    at = exchange.clock()
    positions = positions_of_the_day(account, at)
    return {"data": [profit(exchange, position, at) for position in positions], **totals(exchange, positions, at)}


def profit(exchange: PaperExchange, position: Position, at: float) -> dict[str, Any]:
    """Return one position's P of the day in ₹; a flat one repeats the realised amount as unrealised."""
    realised, floating = realised_today(position, at), unrealised(exchange, position, at)
    return {
        "symbol": position.symbol,
        "exchange": position.exchange,
        "product": position.product,
        "quantity": position.quantity,
        "pnl": (floating + realised) / 100,
        "unrealized_pnl": (floating if position.quantity else realised) / 100,
        "today_realized_pnl": realised / 100,
        "total_pnl_today": (floating + realised) / 100,
    }


def totals(exchange: PaperExchange, positions: Iterable[Position], at: float) -> dict[str, float]:
    """Return the totals of several positions in ₹."""
    floating = realised = 0
    for position in positions:
        floating += unrealised(exchange, position, at)
        realised += realised_today(position, at)
    return {
        "total_pnl": (floating + realised) / 100,
        "total_pnl_today": (floating + realised) / 100,
        "total_unrealized_pnl": floating / 100,
        "total_today_realized_pnl": realised / 100,
    }


def holdings(exchange: PaperExchange, account: Account) -> dict[str, Any]:
    """Return delivered shares and what they are worth, in ₹."""
    at = exchange.clock()
    rows, value, cost = [], 0, 0
    for holding in exchange.holdings(account):
        last = exchange.quotes.last(exchange.listing.contract(holding.symbol, holding.exchange), at)
        value, cost = value + last * holding.quantity, cost + holding.cost
        rows.append(
            {
                "symbol": holding.symbol,
                "exchange": holding.exchange,
                "product": Product.CNC,
                "quantity": holding.quantity,
                "average_price": holding.average,
                "pnl": holding.unrealised(last) / 100,
                "pnlpercent": _percent(holding.unrealised(last), holding.cost),
            }
        )
    statistics = {
        "totalholdingvalue": value / 100,
        "totalinvvalue": cost / 100,
        "totalprofitandloss": (value - cost) / 100,
        "totalpnlpercentage": _percent(value - cost, cost),
    }
    return {"holdings": rows, "statistics": statistics}


def gtt(exchange: PaperExchange, order: Gtt) -> dict[str, Any]:
    """Return the fields of a GTT row that both faces give in the same form."""
    request = order.request
    last = exchange.quotes.last(exchange.listing.contract(request.symbol, request.exchange), exchange.clock())
    return {
        "trigger_id": order.trigger_id,
        "trigger_type": order.trigger_type,
        "status": order.status,
        "symbol": request.symbol,
        "exchange": request.exchange,
        "trigger_prices": [leg.trigger_price / 100 for leg in request.legs],
        "last_price": last / 100,
        "legs": [
            {
                "action": request.action,
                "quantity": request.quantity,
                "price": leg.price / 100,
                "pricetype": PriceType.LIMIT,
                "product": request.product,
            }
            for leg in request.legs
        ],
    }


def push_head(account: Account, order: PaperOrder) -> dict[str, Any]:
    """Return the fields of an order push that both faces give in the same form."""
    return {
        "type": "order_update",
        "user_id": account.name,
        "orderid": order.order_id,
        "symbol": order.symbol,
        "exchange": order.exchange,
        "action": order.action,
        "quantity": order.quantity,
        "trigger_price": order.trigger_price / 100,
        "pricetype": order.shown_price_type,
        "product": order.product,
        "order_status": order.status,
        "filled_quantity": order.filled,
        "average_price": order.average,
        "rejection_reason": order.reason,
    }


def _percent(part: int, whole: int) -> float:
    return round(part / whole * 100, 2) if whole else 0.0
