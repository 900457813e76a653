"""Views in the words of the command line: one line a thing, amounts as people read them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.services.amounts import UNKNOWN, count, grouped, profit, rupees
from engine.services.connection import venue_name
from engine.services.views import PreviewView, RunView

Place = tuple[int, str, str]
"""Of a position in a run: account, contract, product."""


def preview_lines(preview: PreviewView) -> list[str]:
    """Return what a strategy would send, line by line."""
    day = "expiry day" if preview.expiry_day else "other day"
    lines = [f"{preview.underlying} at {_price(preview.spot)}; nothing was sent"]
    lines += [
        f"leg {leg.leg_index}: {leg.action} {leg.symbol} at {_price(leg.ltp)}; lot {leg.lot_size}, "
        f"freeze {'not known' if leg.freeze_quantity is None else grouped(leg.freeze_quantity)}"
        for leg in preview.legs
    ]
    for account in preview.accounts:
        why = account.reason or f"bound by {account.bound_by}"
        lines.append(f"{account.account}: {count(account.lots, 'lot')} ({why})")
        if account.structure_margin_paise is not None:
            one = rupees(account.structure_margin_paise)
            lines.append(f"  margin of one structure {one}, from the margin table ({day})")
        lines += [
            f"  {account.stage_of(order)}: {order.action} {grouped(order.quantity)} {order.symbol} at "
            f"{'market' if order.price is None else _price(order.price)}"
            for order in account.orders
        ]
    return lines


def run_line(run: RunView) -> str:
    """Return a run in one line."""
    result = "P not known" if run.profit_paise is None else f"P {profit(run.profit_paise)}"
    return f"run {run.id} of {run.strategy}: {run.state}, {result}{f' ({run.reason})' if run.reason else ''}"


def account_lines(run: RunView) -> list[str]:
    """Return the accounts of a run, a line each."""
    return [
        f"  {a.account}: {a.state}, {count(a.lots, 'lot')}{f' ({a.reason})' if a.reason else ''}" for a in run.accounts
    ]


def part_lines(run: RunView, units: Mapping[Place, int], verb: str) -> list[str]:
    """Return how many units of each position, as the run had it, ``units`` says; a line each, flat ones left out."""
    return [
        f"  {row.account}: {grouped(abs(gone))} of {grouped(row.exit_quantity)} {row.symbol} {verb}"
        for row in run.positions
        if row.exit_quantity and (gone := units.get((row.account_id, row.symbol, row.product), 0))
    ]


def where(broker: str, venue: str) -> str:
    """Return whose account it is: a paper exchange is named by its address, a broker by its name."""
    return venue_name(venue).removeprefix("the ") if venue.startswith("paper:") else broker


def _price(value: float | None) -> str:
    return UNKNOWN if value is None else rupees(round(value * 100)).removeprefix("₹")


def open_runs(ids: list[int]) -> str:
    """Return the open runs of a strategy in words."""
    return f"open: {', '.join(f'run {one}' for one in ids)}" if ids else "no open run"
