"""How much of an account's funds can be used: brokers mean different things by ``availablecash`` (RULES 2)."""

from __future__ import annotations

import re
from enum import StrEnum

from engine.broker.models import Funds
from engine.domain.errors import SizingError


class FundsModel(StrEnum):
    """What a broker's ``availablecash`` contains."""

    NET = "net"
    """Already less what is used; collateral apart."""
    NET_WITH_COLLATERAL = "net_with_collateral"
    """Already less what is used, collateral inside."""
    GROSS = "gross"
    """Before subtracting ``utiliseddebits``; collateral apart."""


_NET = frozenset(
    {
        "paper", "sandbox", "analyzer", "shoonya", "flattrade", "zebu", "firstock", "tradesmart",
        "fivepaisa", "5paisa", "samco", "tradejini", "dhan", "dhansandbox", "pocketful",
    },
)  # fmt: skip
_NET_WITH_COLLATERAL = frozenset(
    {"compositedge", "iifl", "jainamxts", "fivepaisaxts", "5paisaxts", "wisdom", "rmoney", "ibulls",
     "indiabulls"},
)  # fmt: skip


def model_for_broker(name: str) -> FundsModel:
    """Return the funds model of a broker by OpenAlgo's name of it; whoever is not listed is ``gross``.

    OpenAlgo calls IndiaBulls ``ibulls`` and 5paisa ``fivepaisa``; its XTS brokers are compositedge, fivepaisaxts,
    ibulls, iifl, jainamxts, rmoney and wisdom, and any name that ends in ``xts``.

    >>> [str(model_for_broker(name)) for name in ("Shoonya", "jainamxts", "zerodha", "someone new")]
    ['net', 'net_with_collateral', 'gross', 'gross']
    """
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    if plain in _NET_WITH_COLLATERAL or plain.endswith("xts"):
        return FundsModel.NET_WITH_COLLATERAL
    return FundsModel.NET if plain in _NET else FundsModel.GROSS


def available_paise(funds: Funds, model: FundsModel, haircut: float = 0.0) -> int:
    """Paise that may be used for margin; never negative.

    ``haircut`` is the share of the collateral that counts where it is not inside: 0 (default) counts none, 1 all of it.
    Raises SizingError for a share outside 0 to 1.
    """
    if not 0.0 <= haircut <= 1.0:
        raise SizingError("haircut", f"{haircut!r} is not a share between 0 and 1")
    counted = int(funds.collateral * haircut)
    match model:
        case FundsModel.NET:
            amount = funds.availablecash + counted
        case FundsModel.NET_WITH_COLLATERAL:
            amount = funds.availablecash
        case FundsModel.GROSS:
            amount = funds.availablecash - abs(funds.utiliseddebits) + counted
    return max(0, amount)
