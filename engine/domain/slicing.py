"""Cutting an order into child quantities that the exchange accepts (RULES 1 and 3)."""

from __future__ import annotations

from engine.domain.errors import ContractError

UNKNOWN_FREEZE_LOTS = 20
"""With an unknown freeze quantity an order of more lots than this is denied (RULES 1)."""

UNKNOWN_AT_SERVER = 1
"""What OpenAlgo's ``freeze_qty`` says when the server does not know it (all of BFO)."""


def known_freeze(freeze_quantity: int | None) -> int | None:
    """Return the freeze quantity in units, None when nobody knows it: OpenAlgo says 1 for unknown (RULES 1).

    >>> known_freeze(1800), known_freeze(1), known_freeze(None)
    (1800, None, None)
    """
    if freeze_quantity is None or freeze_quantity <= UNKNOWN_AT_SERVER:
        return None
    return freeze_quantity


def slice_quantity(quantity: int, *, lot_size: int, freeze_quantity: int | None) -> list[int]:
    """Cut an order into child quantities that the exchange accepts (RULES 3).

    Every child is a multiple of ``lot_size`` and at most ``freeze_quantity``; the sum is ``quantity``. All three count
    units. A freeze of None or 1 is unknown: then up to 20 lots go as one order and more are denied (RULES 1).
    Raises ContractError if ``quantity`` is not a positive multiple of ``lot_size``, if not even one lot fits under the
    freeze quantity, or if the freeze quantity is unknown and ``quantity`` is above 20 lots.

    >>> slice_quantity(2600, lot_size=65, freeze_quantity=1800)
    [1755, 845]
    >>> slice_quantity(1755, lot_size=65, freeze_quantity=1800)
    [1755]
    """
    if lot_size <= 0:
        raise ContractError("lot_size", f"{lot_size} is not a lot size: it must be at least 1")
    if quantity <= 0 or quantity % lot_size:
        raise ContractError("quantity", f"{quantity} is not a positive multiple of the lot size {lot_size}")
    freeze = known_freeze(freeze_quantity)
    if freeze is None:
        if quantity > UNKNOWN_FREEZE_LOTS * lot_size:
            lots = quantity // lot_size
            raise ContractError(
                "freeze_quantity",
                f"unknown, so at most {UNKNOWN_FREEZE_LOTS} lots go in one order, not {lots}; enter it in the settings",
            )
        return [quantity]
    largest = freeze // lot_size * lot_size
    if largest == 0:
        raise ContractError("freeze_quantity", f"{freeze} is less than one lot of {lot_size}")
    full, rest = divmod(quantity, largest)
    return [largest] * full + ([rest] if rest else [])
