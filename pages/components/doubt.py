"""Orders in doubt, in words: what was sent, what the books say, how old that is, and what it waits for (RULES 5)."""

from __future__ import annotations

from datetime import datetime

from engine.services.views import UnknownOrderView
from pages.components import formats
from pages.components.words import PURPOSES, word


def order_words(order: UnknownOrderView) -> str:
    """Return an order in one line, as Markdown."""
    return (
        f"{order.action} {formats.grouped(order.quantity)} {formats.plain(order.symbol)} on "
        f"{formats.plain(order.account)} · {word(PURPOSES, order.purpose)} of run {order.run_id}"
    )


def evidence(order: UnknownOrderView, now: datetime, *, behind: float) -> list[str]:
    """Return what is known of an order in doubt, line by line as Markdown; the view is ``behind`` seconds old."""
    named = order.orderid is not None
    words = order.words or ("answered" if named else "no answer")
    lines = [f"**Sent** {formats.since(order.sent_at, now)} · {formats.plain(words)}"]
    if named:
        lines.append(f"**Named** {formats.plain(order.orderid or '')} by its server, but no order book lists it")
    elif order.state == "queued":
        lines.append("**Queued** at its server, which holds it for a person to approve or to reject")
    elif order.quiet_until is None:
        lines.append("**Quiet** its connection is still open: that the books lack it proves nothing yet")
    elif now < order.quiet_until:
        left = formats.age((order.quiet_until - now).total_seconds()).removesuffix(" ago")
        when = formats.clock(order.quiet_until, now=now)
        lines.append(f"**Quiet** until {when} (in {left}): that the books lack it proves nothing before")
    else:
        lines.append(f"**Quiet** time is over since {formats.clock(order.quiet_until, now=now)}")
    read = order.books_age_seconds
    tell = read is not None and (order.age_seconds is None or read < order.age_seconds)
    if order.candidates:
        lines.append(f"**May be it** at the broker: {formats.plain(', '.join(order.candidates))}")
    elif tell and not named:
        lines.append("**May be it** no order at the broker")
    if tell and order.moved is not None:
        moved = (
            f"the net moved by {formats.quantity(order.moved)} that nothing else explains"
            if order.moved
            else "the net has not moved"
        )
        lines.append(f"**Position** {moved}")
    if order.absent_since is not None:
        lines.append(f"**Missing** from valid books since {formats.clock(order.absent_since, now=now)}")
    if read is None:
        lines.append("**Books** none that count have been read")
    else:
        before = "" if tell else ", before it was sent: they say nothing of it"
        lines.append(f"**Books** read {formats.age(read + behind)}{before}")
    if order.waits_for:
        lines.append(f"**Waits for** {formats.plain(order.waits_for)}")
    return lines
