"""How much of a run would leave, reckoned from the figures that people are shown; the engine reckons anew (RULES 7)."""

from __future__ import annotations

from collections.abc import Collection

from engine.domain.exit_scopes import HeldKey, Scope, keep_of_share, side_of
from engine.domain.instruments import Exchange, InstrumentType, Key, Product
from engine.services.views import PositionView, RunView


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
