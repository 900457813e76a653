"""Tables of orders and of the ledger beside the broker's books; a missing figure is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.services.views import OrderView, TruthRowView
from pages.components import formats
from pages.components.tables import show_table
from pages.components.words import ORDER_STATES, PURPOSES, word

LINE = 80
AGREES, AGREED = "agrees", "agreed"


def working_orders_table(orders: Sequence[OrderView], now: datetime) -> None:
    """Show orders that the broker holds or that are about to be sent, each with its age."""
    rows = [
        {
            "Account": formats.plain(order.account),
            "Side": order.action,
            "Contract": formats.plain(order.symbol),
            "Qty": formats.grouped(order.quantity),
            "Filled": formats.grouped(order.filled_quantity),
            "Limit": formats.price(order.price) if order.price else "market",
            "Re-priced": f"{order.reprices} ×" if order.reprices else formats.UNKNOWN,
            "State": word(ORDER_STATES, order.state),
            "Sent": formats.since(order.sent_at, now) if order.sent_at else "not yet",
            "For": f"{word(PURPOSES, order.purpose)} of run {order.run_id}",
            "Broker id": formats.plain(order.orderid or formats.UNKNOWN),
            "Broker says": _line(order.words or formats.UNKNOWN),
        }
        for order in orders
    ]
    show_table(rows, alt="Working orders", right=("Qty", "Filled", "Limit"))


def ended_orders_table(orders: Sequence[OrderView]) -> None:
    """Show orders that ended today."""
    rows = [
        {
            "Ended": formats.clock(order.updated_at, now=order.updated_at),
            "Account": formats.plain(order.account),
            "Side": order.action,
            "Contract": formats.plain(order.symbol),
            "Qty": formats.grouped(order.quantity),
            "Filled": formats.grouped(order.filled_quantity),
            "Average": f"≈ {formats.price(order.average_price)}"
            if order.estimated
            else formats.price(order.average_price),
            "State": word(ORDER_STATES, order.state),
            "For": f"{word(PURPOSES, order.purpose)} of run {order.run_id}",
            "Re-priced": f"{order.reprices} ×" if order.reprices else formats.UNKNOWN,
            "Broker id": formats.plain(order.orderid or formats.UNKNOWN),
            "Declared by": formats.plain(order.declared_by or formats.UNKNOWN),
            "Broker says": _line(order.words or formats.UNKNOWN),
        }
        for order in orders
    ]
    show_table(rows, alt="Orders that ended today", right=("Qty", "Filled", "Average"))


def truth_table(rows: Sequence[TruthRowView], *, known: bool) -> None:
    """Show what our runs own beside what the broker nets, with the difference in words; not ``known``: as last read."""
    calm = AGREES if known else f"{AGREED} when last read"
    shown = [
        {
            "Contract": formats.plain(row.symbol),
            "Ours": formats.quantity(row.owned),
            "Broker": formats.UNKNOWN if row.net is None else formats.quantity(row.net),
            "In words": calm if (words := difference(row)) == AGREES else _line(words),
            "Outside": formats.UNKNOWN if row.outside is None else formats.quantity(row.outside),
            "Still to fill": formats.grouped(row.pending),
            "Product": row.product,
            "Runs": ", ".join(map(str, row.run_ids)) or formats.UNKNOWN,
        }
        for row in rows
    ]
    show_table(
        shown,
        alt="Ledger against broker",
        right=("Ours", "Broker", "Outside", "Still to fill"),
        marked="In words",
        calm=AGREES if known else "",
    )


def difference(row: TruthRowView) -> str:
    """Return in words how ledger and books of one instrument differ (RULES 6)."""
    if row.in_doubt:
        return "an order is in doubt: not compared"
    if row.net is None or row.outside is None:
        return "the broker's books are not known"
    parts = []
    if closed := row.owned - row.entitled:
        parts.append(f"{formats.grouped(abs(closed))} of ours closed outside")
    if row.outside:
        side = "bought" if row.outside > 0 else "sold"
        parts.append(f"{formats.grouped(abs(row.outside))} {side} outside, of no run")
    if (rest := row.net - row.entitled - row.outside) != 0:
        parts.append(f"{formats.quantity(rest)} unexplained")
    return "; ".join(parts) or AGREES


def _line(text: str) -> str:
    """Keep all but very long words on one line: on a phone the table scrolls sideways instead of growing tall."""
    shown = formats.plain(text)
    return shown.replace(" ", "\u00a0") if len(text) <= LINE else shown
