"""Commands about orders and who answers for them: orders, declare, take-over."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from engine.cli.door import DONE, NOT_TAKEN, account_ids, desk_of, show, taken
from engine.services.amounts import UNKNOWN, grouped
from engine.services.order_commands import DECLARED
from engine.services.views import AccountTruthView, OrderView, TruthRowView, UnknownOrderView

IST = timezone(timedelta(hours=5, minutes=30), "IST")


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Add the three commands to the parser."""
    orders = commands.add_parser(
        "orders", parents=[shared], help="orders in doubt, working ones, ledger against broker"
    )
    orders.add_argument("--ended", action="store_true", help="and those that ended today")
    orders.set_defaults(do=list_orders)

    said = commands.add_parser(
        "declare",
        parents=[shared],
        help="say what became of an order in doubt",
        description="Say what became of an order in doubt, after a look into the broker's own books. An exit goes on "
        "with what is then left: a wrong word may double an order.",
    )
    said.add_argument("order", type=_number, metavar="ORDER", help="its number, as `orders` shows it")
    said.add_argument("state", choices=DECLARED, metavar="STATE", help=", ".join(DECLARED))
    said.add_argument("--quantity", type=int, help="units that filled (cancelled)")
    said.add_argument("--price", type=float, help="average price of what filled, in rupees")
    said.add_argument("--orderid", help="the broker's order id")
    said.set_defaults(do=declare)

    take = commands.add_parser(
        "take-over",
        parents=[shared],
        help="send nothing more for a run on one account",
        description="The engine sends nothing more for this account of the run, and cancels what still works there, "
        "until `exit` or `halt`. You go on at the broker.",
    )
    take.add_argument("run", type=_number, metavar="RUN", help="its number, as `status` shows it")
    take.add_argument("account", metavar="ACCOUNT", help="its name")
    take.set_defaults(do=take_over)


def list_orders(options: argparse.Namespace) -> int:
    """Show orders in doubt with their evidence, working ones, and the ledger beside the books."""
    desk = desk_of(options)
    live, now = desk.live(), desk.now
    document = {
        "as_of": live.as_of.isoformat(),
        "problem": live.problem,
        "unknown": [one.model_dump(mode="json") for one in live.unknown],
        "working": [one.model_dump(mode="json") for one in live.working],
        "truth": [one.model_dump(mode="json") for one in live.truth],
    }
    behind = max(0.0, (now - live.as_of).total_seconds())
    lines = [f"{live.problem} As read {behind:.0f} s ago:"] if live.problem else []
    for one in live.unknown:
        lines += _doubt_lines(one, now, behind)
    lines += [_order_line(one, now) for one in live.working]
    if not live.unknown and not live.working:
        lines.append("no order is in doubt or working")
    for account in live.truth:
        lines += _truth_lines(account, behind)
    if options.ended:
        ended = desk.orders()
        document["ended"] = [one.model_dump(mode="json") for one in ended.rows]
        lines += [_order_line(one, now) for one in ended.rows] or ["no order has ended today"]
    show(options, document, lines)
    return NOT_TAKEN if live.problem else DONE


def declare(options: argparse.Namespace) -> int:
    """Say what became of an order in doubt."""
    desk = desk_of(options)
    asked = desk.declare_order(
        options.order,
        options.state,
        uuid4().hex,
        quantity=options.quantity,
        price=options.price,
        orderid=options.orderid,
    )
    command = taken(desk, asked)
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def take_over(options: argparse.Namespace) -> int:
    """Have the engine send nothing more for a run on one account."""
    desk = desk_of(options)
    (account_id, *_) = account_ids(desk, options.account)
    command = taken(desk, desk.take_over(options.run, account_id, uuid4().hex))
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def _doubt_lines(one: UnknownOrderView, now: datetime, behind: float) -> list[str]:
    sent = "not sent" if one.sent_at is None else f"sent {(now - one.sent_at).total_seconds():.0f} s ago"
    head = (
        f"IN DOUBT order {one.order_id}: {one.action} {grouped(one.quantity)} {one.symbol} on {one.account}, "
        f"{one.purpose} of run {one.run_id}, {one.state}, {sent}: {one.words or 'no answer'}"
    )
    read = one.books_age_seconds
    tell = read is not None and (one.age_seconds is None or read < one.age_seconds)
    known = []
    if one.candidates or tell:
        known.append(f"may be it: {', '.join(one.candidates) or 'no order at the broker'}")
    if tell and one.moved is not None:
        known.append(
            f"the net moved by {_signed(one.moved)} that nothing explains" if one.moved else "the net did not move"
        )
    if one.quiet_until is not None:
        known.append(f"quiet until {one.quiet_until.astimezone(IST):%H:%M:%S} IST")
    if read is None:
        known.append("no valid books")
    else:
        known.append(f"books read {read + behind:.0f} s ago{'' if tell else ', before it was sent'}")
    lines = [head, f"  {'; '.join(known)}"]
    if one.waits_for:
        lines.append(f"  waits for {one.waits_for}")
    return lines


def _order_line(one: OrderView, now: datetime) -> str:
    price = f" at limit {one.price:,.2f}" if one.price else ""
    sent = "not sent yet" if one.sent_at is None else f"sent {(now - one.sent_at).total_seconds():.0f} s ago"
    filled = f"{grouped(one.filled_quantity)} filled" + (
        f" at {one.average_price:,.2f}{' (estimated)' if one.estimated else ''}" if one.average_price else ""
    )
    parts = [
        f"order {one.order_id}: {one.action} {grouped(one.quantity)} {one.symbol}{price} on {one.account}",
        f"{one.purpose} of run {one.run_id}",
        one.state,
        filled,
        *([f"re-priced {one.reprices} times"] if one.reprices else []),
        sent,
        *([f"broker id {one.orderid}"] if one.orderid else []),
        *([one.words] if one.words else []),
        *([f"declared by {one.declared_by}"] if one.declared_by else []),
    ]
    return ", ".join(parts)


def _truth_lines(account: AccountTruthView, behind: float) -> list[str]:
    age = account.books_age_seconds
    read = "no valid books" if age is None else f"books read {age + behind:.0f} s ago"
    word = {True: "agrees", False: "DIFFERS", None: "not known"}[account.agrees]
    problem = f" ({account.problem})" if account.problem else ""
    return [f"{account.account}: ledger against broker {word}, {read}{problem}", *map(_truth_line, account.rows)]


def _truth_line(row: TruthRowView) -> str:
    net = UNKNOWN if row.net is None else _signed(row.net)
    parts = [f"ours {_signed(row.owned)}", f"broker {net}"]
    if row.in_doubt:
        parts.append("an order is in doubt")
    if row.owned != row.entitled:
        parts.append(f"{_signed(row.owned - row.entitled)} closed outside")
    if row.outside:
        parts.append(f"outside {_signed(row.outside)}")
    return f"  {row.symbol} {row.product}: {', '.join(parts)}"


def _signed(units: int) -> str:
    return f"+{grouped(units)}" if units > 0 else grouped(units)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)
