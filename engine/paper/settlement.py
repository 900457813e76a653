"""Expiry: a contract that is past its last day pays its intrinsic value."""

from __future__ import annotations

from engine.domain.instruments import Action, Contract, InstrumentType
from engine.paper.accounts import Position
from engine.paper.orders import Trade, new_trade_id

STRATEGY = "EXPIRY"


def settle(api_key: str, position: Position, contract: Contract, *, spot: int, at: float) -> Trade:
    """Return the trade that closes an expired position; ``spot`` is the index in paise at the last close (RULES 6)."""
    return Trade(
        trade_id=new_trade_id(at),
        order_id=f"{STRATEGY}-{contract.symbol}-{position.product}",
        api_key=api_key,
        strategy=STRATEGY,
        symbol=position.symbol,
        exchange=position.exchange,
        product=position.product,
        action=Action.SELL if position.quantity > 0 else Action.BUY,
        quantity=abs(position.quantity),
        price=settlement_price(contract, spot),
        at=at,
    )


def settlement_price(contract: Contract, spot: int) -> int:
    """Return what an expired contract pays a unit: intrinsic value of an option, the index itself for a future."""
    strike = round(contract.strike * 100)
    match contract.instrument_type:
        case InstrumentType.CE:
            return max(spot - strike, 0)
        case InstrumentType.PE:
            return max(strike - spot, 0)
        case _:
            return spot
