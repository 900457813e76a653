"""A position moved from one product to another without a trade: what explains it, and what moves along (RULES 5, 6)."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.errors import DomainError
from engine.domain.instruments import Product
from engine.domain.pnl import Holding


def converted_to(lost: int, gained: Mapping[Product, int]) -> Product | None:
    """Return the product that a quantity was converted to, None if no conversion explains the whole of it.

    ``lost``: signed units that runs own under a product and that no trade took away; ``gained``: signed units that
    appeared without a trade under the other products of the same symbol. Two products that fit explain nothing.

    >>> converted_to(-65, {Product.MIS: -65, Product.CNC: 10}), converted_to(-65, {Product.MIS: -130})
    (<Product.MIS: 'MIS'>, None)
    """
    fitting = [product for product, quantity in gained.items() if lost and quantity == lost]
    return fitting[0] if len(fitting) == 1 else None


def moved_value(held: Holding, quantity: int) -> int:
    """Return what ``quantity`` units of a holding cost at its own average (paise), so that moving them changes no P.

    It is the share of the open value that closing them frees, rounded as ``apply_fill`` rounds it. Raises DomainError
    for a quantity that is not above 0 or more than is open.

    >>> moved_value(Holding(quantity=-130, open_value_paise=-1_950_001), 65)
    975000
    """
    if not 0 < quantity <= abs(held.quantity):
        raise DomainError("quantity", f"{quantity} of {held.quantity} units cannot be moved")
    return abs(held.open_value_paise) * quantity // abs(held.quantity)
