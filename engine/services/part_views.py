"""What would leave and with how many orders, reckoned from the figures people are shown; the engine reckons anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from engine.domain.exit_scopes import HeldKey, Scope, keep_of_share, side_of
from engine.domain.exits import exit_slices
from engine.domain.instruments import Exchange, InstrumentType, Key, Product
from engine.domain.netting import Owner, cross_opposites
from engine.services.views import PositionView, RunView


class ExitOrders(NamedTuple):
    """How many orders would take positions off. ``exact`` False: lot sizes are not known, there may be more.

    ``crossed``: units that runs hold against each other and that need no order.
    """

    number: int
    exact: bool
    crossed: int = 0


def exit_orders(positions: Iterable[PositionView], *, together: bool = False) -> ExitOrders:
    """Return how many orders take whole positions off, sliced as the engine slices them (RULES 3).

    ``together``: as the kill switch does it, opposite quantities of runs in one key crossed inside first (RULES 6).
    """
    owners: dict[Key, dict[int, PositionView]] = {}
    for row in positions:
        if row.exit_quantity:
            owners.setdefault(_key(row), {})[row.run_id] = row
    orders, crossed, exact = 0, 0, True
    for runs in owners.values():
        left = {run_id: row.quantity for run_id, row in runs.items()}
        if together:
            before = sum(map(abs, left.values()))
            left = dict(cross_opposites([Owner(run_id, quantity) for run_id, quantity in left.items()]).remaining)
            crossed += (before - sum(map(abs, left.values()))) // 2
        for run_id, quantity in left.items():
            row = runs[run_id]
            if quantity and row.lot_size:
                orders += len(
                    exit_slices(abs(quantity), lot_size=row.lot_size, freeze_quantity=row.freeze_quantity or None)
                )
            elif quantity:
                orders, exact = orders + 1, False
    return ExitOrders(orders, exact, crossed)


def leaving(
    run: RunView, *, account_ids: Collection[int] = (), legs: Collection[int] = (), share: float | None = None
) -> list[PositionView]:
    """Return the positions an exit takes something of, each with the signed units that would leave.

    Empty accounts and legs mean all. Of a share (percent) whole lots leave, half a lot counts as one, at least one
    does; what covers a sold leg that stays is not among them.
    """
    scope = Scope(frozenset(account_ids), frozenset(legs))
    rows = {_key(row): row for row in run.positions if row.exit_quantity}
    held = {
        key: HeldKey(
            key=key,
            leg_indexes=frozenset({row.leg_index} if row.leg_index else ()),
            quantity=row.quantity,
            lot_size=max(1, row.lot_size),
            side=side_of(InstrumentType.PE if row.symbol.endswith(InstrumentType.PE) else ""),
        )
        for key, row in rows.items()
    }
    keep = keep_of_share(scope, share, list(held.values())) if share is not None and share < 100 else {}
    return [
        row.model_copy(update={"quantity": row.quantity - keep.get(key, 0)})
        for key, row in rows.items()
        if scope.covers(held[key]) and row.quantity != keep.get(key, 0)
    ]


def _key(row: PositionView) -> Key:
    return Key(row.account_id, row.symbol, Exchange(row.exchange), Product(row.product))
