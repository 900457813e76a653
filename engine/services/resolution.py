"""Legs become contracts: from one spot reading and one chain per expiry, read from one account's server (RULES 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from engine.broker.client import OpenAlgoClient
from engine.broker.models import ChainSide, OptionChain, SymbolRow
from engine.domain.calendar import INDIA, ist_day
from engine.domain.contracts import derivatives_exchange, fallback_contract_terms, index_exchange
from engine.domain.entries import limit_price
from engine.domain.errors import ContractError, DomainError
from engine.domain.expiries import ExpiryChoice, choose_expiry, is_expiry_day
from engine.domain.instruments import Action, Contract, InstrumentType, PriceType, Product
from engine.domain.legs import Leg, ResolvedLeg
from engine.domain.strikes import ChainPrice, ChainStrike, StrikeKind, StrikeRule, choose_strike
from engine.services.drafts import LegDraft
from engine.services.views import PreviewLeg


@dataclass(frozen=True, slots=True)
class ResolvedContract:
    """One leg, its contract and what it was quoted at (₹) in the one reading."""

    resolved: ResolvedLeg
    ltp: float | None
    bid: float | None
    ask: float | None

    @property
    def limit(self) -> tuple[float | None, str]:
        """The limit that the leg asks for (RULES 4), and why there is none; neither for a leg at market."""
        leg, contract = self.resolved.leg, self.resolved.contract
        if leg.price_type is not PriceType.LIMIT:
            return None, ""
        try:
            price = limit_price(leg.action, self.bid, self.ask, offset=leg.limit_offset, tick=contract.tick_size)
        except DomainError as error:
            return None, f"leg {leg.index} {contract.symbol}: {error}"
        return price, ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """All legs of a run at one moment. ``expiry_day``: a listed expiry of the underlying is today (RULES 1)."""

    underlying: str
    spot: float
    as_of: datetime
    expiry_day: bool
    contracts: tuple[ResolvedContract, ...]

    @property
    def legs(self) -> list[ResolvedLeg]:
        """The resolved legs, in the order of the strategy."""
        return [contract.resolved for contract in self.contracts]

    def as_json(self) -> dict[str, Any]:
        """Return what a run keeps of it."""
        return {
            "underlying": self.underlying,
            "spot": self.spot,
            "as_of": self.as_of.isoformat(),
            "expiry_day": self.expiry_day,
            "legs": [
                leg.model_dump(mode="json") | {"tick_size": one.resolved.contract.tick_size}
                for leg, one in zip(self.preview_legs(), self.contracts, strict=True)
            ],
        }

    @property
    def limit_problem(self) -> str:
        """Why a limit leg has no price in this reading; empty where all have one."""
        return next((why for one in self.contracts if (why := one.limit[1])), "")

    def preview_legs(self) -> list[PreviewLeg]:
        """Return the legs as a person is shown them."""
        return [
            PreviewLeg(
                leg_index=one.resolved.leg.index,
                action=one.resolved.leg.action,
                ratio=one.resolved.leg.lots_ratio,
                symbol=one.resolved.contract.symbol,
                exchange=one.resolved.contract.exchange,
                expiry=one.resolved.contract.expiry or ist_day(self.as_of),
                strike=one.resolved.contract.strike,
                instrument_type=one.resolved.contract.instrument_type,
                ltp=one.ltp,
                bid=one.bid,
                ask=one.ask,
                lot_size=one.resolved.contract.lot_size,
                freeze_quantity=one.resolved.contract.freeze_quantity,
                source=one.resolved.contract.source,
                price_type=one.resolved.leg.price_type,
                limit_price=one.limit[0],
                limit_problem=one.limit[1],
            )
            for one in self.contracts
        ]


def leg_of(draft: LegDraft, index: int, product: str) -> Leg:
    """Return the domain's leg of a draft; raises DomainError naming leg and field."""
    try:
        kind = StrikeKind(draft.strike_kind)
        is_option = draft.instrument_type in {"CE", "PE"}
        strike = (
            StrikeRule(
                kind,
                offset=int(draft.strike_value) if kind in {StrikeKind.OTM, StrikeKind.ITM} else 0,
                strike=draft.strike_value if kind is StrikeKind.EXACT else None,
                premium=draft.strike_value if kind is StrikeKind.PREMIUM_NEAR else None,
            )
            if is_option
            else None
        )
        return Leg(
            index=index,
            underlying=draft.underlying.strip().upper(),
            action=Action(draft.action),
            instrument_type=InstrumentType(draft.instrument_type),
            expiry_choice=ExpiryChoice(draft.expiry_choice),
            strike=strike,
            lots_ratio=draft.ratio,
            product=Product(product),
            price_type=PriceType(draft.price_type),
            limit_offset=draft.limit_offset,
        )
    except DomainError as error:
        field = error.field if error.field.startswith("leg ") else f"leg {index} {error.field}"
        raise DomainError(field, error.reason) from error
    except ValueError as error:
        raise DomainError(f"leg {index}", str(error)) from error


def resolve(client: OpenAlgoClient, legs: Sequence[Leg], now: datetime) -> Resolution:
    """Return the contracts the legs mean now.

    Raises ContractError for what is not listed or not yet supported, BrokerError when a read fails.
    """
    if not legs:
        raise ContractError("legs", "the strategy has none")
    underlyings = {leg.underlying for leg in legs}
    if len(underlyings) > 1:
        raise ContractError("legs", f"one underlying per strategy so far, not {', '.join(sorted(underlyings))}")
    if not all(leg.is_option for leg in legs):
        raise ContractError("legs", "only options can be sent so far")
    underlying = underlyings.pop()
    exchange = derivatives_exchange(underlying)
    listed = client.expiry(underlying, exchange)
    chains: dict[date, OptionChain] = {}
    found: list[ResolvedContract] = []
    spot: float | None = None
    for leg in legs:
        if leg.expiry_choice is None:
            raise ContractError(f"leg {leg.index} expiry_choice", "is missing")
        expiry = choose_expiry(leg.expiry_choice, listed, now, lambda day: INDIA.last_close(exchange, day))
        if expiry not in chains:
            chains[expiry] = client.option_chain(underlying, index_exchange(underlying), expiry)
        chain = chains[expiry]
        if spot is None:
            spot = chain.underlying_ltp
        found.append(_contract(client, leg, chain, spot, now))
    first = next(iter(chains.values()))
    today = ist_day(now)
    return Resolution(underlying, spot or 0.0, first.ended_at, is_expiry_day(listed, today), tuple(found))


def _contract(client: OpenAlgoClient, leg: Leg, chain: OptionChain, spot: float, now: datetime) -> ResolvedContract:
    exchange, expiry = derivatives_exchange(leg.underlying), chain.expiry
    rows = [ChainStrike(row.strike, _price(row.ce), _price(row.pe)) for row in chain.rows]
    if leg.strike is None:
        raise ContractError(f"leg {leg.index} strike", "an option needs a strike rule")
    row = choose_strike(leg.strike, leg.instrument_type, spot, rows)
    side = row.side(leg.instrument_type)
    if side is None:
        raise ContractError(f"leg {leg.index} strike", f"{row.strike} has no {leg.instrument_type}")
    master = client.symbol(side.symbol, exchange)
    contract = Contract(
        symbol=side.symbol,
        exchange=exchange,
        underlying=leg.underlying,
        instrument_type=leg.instrument_type,
        expiry=expiry,
        strike=row.strike,
        lot_size=master.lot_size,
        tick_size=master.tick_size,
        freeze_quantity=_freeze(master, leg.underlying, expiry, now),
    )
    if contract.lot_size < 1:
        raise ContractError(f"leg {leg.index} symbol", f"{side.symbol} has no lot size at the broker")
    return ResolvedContract(ResolvedLeg(leg, contract, side.premium), side.ltp, side.bid, side.ask)


def _freeze(master: SymbolRow, underlying: str, expiry: date, now: datetime) -> int | None:
    if master.freeze_quantity is not None:
        return master.freeze_quantity
    try:
        return fallback_contract_terms(underlying, expiry, ist_day(now)).freeze_quantity
    except ContractError:
        return None


def _price(side: ChainSide | None) -> ChainPrice | None:
    return None if side is None else ChainPrice(side.symbol, side.ltp, side.bid, side.ask)
