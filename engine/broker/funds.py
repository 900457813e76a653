"""How much of an account's funds can be used: brokers mean different things by ``availablecash`` (RULES 2)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import assert_never

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


_MODELS = {
    FundsModel.NET: (
        "paper", "sandbox", "analyzer", "shoonya", "flattrade", "zebu", "firstock", "tradesmart", "fivepaisa",
        "5paisa", "samco", "tradejini", "dhan", "dhansandbox", "pocketful",
    ),
    FundsModel.NET_WITH_COLLATERAL: (
        "compositedge", "fivepaisaxts", "5paisaxts", "ibulls", "indiabulls", "iifl", "jainamxts", "rmoney", "wisdom",
    ),
    FundsModel.GROSS: (
        "zerodha", "angel", "fyers", "groww", "definedge", "kotak",
        # Named by OpenAlgo and not by RULES 2, which makes them gross: it never counts more than there is.
        "aliceblue", "arrow", "deltaexchange", "hdfcsecurities", "hdfcsky", "iiflcapital", "indmoney", "motilal",
        "mstock", "nubra", "paytm", "upstox",
    ),
}  # fmt: skip
_MODEL_OF = {name: model for model, names in _MODELS.items() for name in names}


def model_for_broker(name: str) -> FundsModel:
    """Return the funds model of a broker by OpenAlgo's name of it; whoever is not listed is ``gross`` (RULES 2).

    OpenAlgo calls IndiaBulls ``ibulls`` and 5paisa ``fivepaisa``; its XTS brokers are compositedge, fivepaisaxts,
    ibulls, iifl, jainamxts, rmoney and wisdom, and any name that ends in ``xts``.

    >>> [str(model_for_broker(name)) for name in ("Shoonya", "jainamxts", "zerodha", "someone new")]
    ['net', 'net_with_collateral', 'gross', 'gross']
    """
    plain = _plain(name)
    if plain.endswith("xts"):
        return FundsModel.NET_WITH_COLLATERAL
    return _MODEL_OF.get(plain, FundsModel.GROSS)


def is_listed(name: str) -> bool:
    """Whether the broker's model is known rather than assumed."""
    return _plain(name) in _MODEL_OF


def available_paise(funds: Funds, model: FundsModel, haircut: float = 0.0) -> int:
    """Paise that may be used for margin; 0 when more is used than there is.

    ``haircut`` is the share of the collateral that counts where it is not inside: 0 (default) counts none, 1 all of it.
    Raises SizingError for a share outside 0 to 1 and for negative cash or collateral: a figure to look at, not to size
    with.
    """
    if not 0.0 <= haircut <= 1.0:
        raise SizingError("haircut", f"{haircut!r} is not a share between 0 and 1")
    for field in ("availablecash", "collateral"):
        amount = getattr(funds, field)
        if amount < 0:
            raise SizingError(field, f"the broker says ₹ {amount / 100:,.2f}")
    counted = int(funds.collateral * haircut)
    match model:
        case FundsModel.NET:
            usable = funds.availablecash + counted
        case FundsModel.NET_WITH_COLLATERAL:
            usable = funds.availablecash
        case FundsModel.GROSS:
            usable = funds.availablecash - abs(funds.utiliseddebits) + counted
        case _:
            assert_never(model)
    return max(0, usable)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
