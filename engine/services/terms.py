"""What a run was started with: its strategy version as the domain needs it, read once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, select

from engine.domain.entries import EntryTerms, LimitTimeout
from engine.domain.legs import Leg
from engine.domain.margin import DEFAULT_MARGIN_ROWS, DayMargin, MarginRow
from engine.services.drafts import LegDraft, LimitsDraft, ScheduleDraft
from engine.services.resolution import leg_of
from engine.store import tables


@dataclass(frozen=True, slots=True)
class StrategyTerms:
    """One strategy version. ``percentage`` None: each account's own grade; ``margin_rows`` are the owner's.

    ``leg_drafts``: the legs as built, leg n at n − 1, with their stops, targets and re-entries. ``owner_may_trade``:
    whether the owner was an active user and no viewer when this was read.
    """

    strategy_id: int
    version_id: int
    owner_id: int
    name: str
    number: int
    current_number: int
    archived: bool
    market_condition: str
    account_ids: tuple[int, ...]
    percentage: float | None
    fixed_lots: int | None
    entry: EntryTerms
    legs: tuple[Leg, ...]
    limits: LimitsDraft
    leg_drafts: tuple[LegDraft, ...]
    schedule: ScheduleDraft
    margin_rows: Mapping[str, MarginRow]
    owner_may_trade: bool = True


def read_terms(session: Session, version_id: int) -> StrategyTerms | None:
    """Return a version's terms, None if there is no such version; raises DomainError for legs that make no sense."""
    version = session.get(tables.StrategyVersion, version_id)
    if version is None:
        return None
    strategy = session.get_one(tables.Strategy, version.strategy_id)
    owner = session.get(tables.User, strategy.owner_id)
    rows = session.exec(
        select(tables.StrategyLeg)
        .where(tables.StrategyLeg.version_id == version_id)
        .order_by(tables.StrategyLeg.leg_index)  # type: ignore[arg-type]
    ).all()
    drafts = tuple(LegDraft(**row.model_dump(exclude={"id", "version_id", "leg_index"})) for row in rows)
    legs = tuple(leg_of(draft, place, version.product) for place, draft in enumerate(drafts, start=1))
    return StrategyTerms(
        strategy_id=version.strategy_id,
        version_id=version_id,
        owner_id=strategy.owner_id,
        name=strategy.name,
        number=version.number,
        current_number=strategy.version,
        archived=strategy.archived,
        market_condition=version.market_condition,
        account_ids=tuple(version.account_ids),
        percentage=version.sizing.get("percentage"),
        fixed_lots=version.sizing.get("fixed_lots"),
        entry=entry_terms(version.entry_policy),
        legs=legs,
        limits=LimitsDraft.model_validate(version.limits),
        leg_drafts=drafts,
        schedule=ScheduleDraft.model_validate(version.schedule),
        margin_rows=_margin_rows(session, strategy.owner_id),
        owner_may_trade=_may_trade(owner),
    )


def owner_may_trade(session: Session, owner_id: int) -> bool:
    """Return whether anything may be entered for a user now: he is active and no viewer."""
    return _may_trade(session.get(tables.User, owner_id))


def _may_trade(owner: tables.User | None) -> bool:
    return owner is not None and owner.active and tables.Role(owner.role) is not tables.Role.VIEWER


def entry_terms(policy: Mapping[str, Any]) -> EntryTerms:
    """Return how a version enters; what an earlier release did not store is as it was then."""
    usual = EntryTerms()
    return EntryTerms(
        hedge_failure=str(policy.get("hedge_failure", usual.hedge_failure)),
        sold_leg_failure=str(policy.get("sold_leg_failure", usual.sold_leg_failure)),
        hedge_seconds=float(policy.get("hedge_seconds", usual.hedge_seconds)),
        limit_seconds=float(policy.get("limit_seconds", usual.limit_seconds)),
        limit_timeout=LimitTimeout(policy.get("limit_timeout", usual.limit_timeout)),
    )


def version_id_of(session: Session, strategy_id: int, number: int) -> int | None:
    """Return the id of a strategy's version by number."""
    return session.exec(
        select(tables.StrategyVersion.id).where(
            tables.StrategyVersion.strategy_id == strategy_id, tables.StrategyVersion.number == number
        )
    ).one_or_none()


def _margin_rows(session: Session, owner_id: int) -> Mapping[str, MarginRow]:
    rows = dict(DEFAULT_MARGIN_ROWS)
    own = session.exec(select(tables.MarginRequirement).where(tables.MarginRequirement.owner_id == owner_id))
    for row in own:
        rows[row.underlying] = MarginRow(
            row.underlying,
            DayMargin(row.one_side_expiry, row.one_side_other),
            DayMargin(row.both_sides_expiry, row.both_sides_other),
            DayMargin(row.futures_expiry, row.futures_other),
        )
    return rows
