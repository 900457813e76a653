"""Strategies in versions: a change makes a new one, runs keep theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from engine.services.activity import log_activity
from engine.services.commands import enqueue_reload, open_run_ids
from engine.services.drafts import LegDraft, LimitsDraft, ScheduleDraft, StrategyDraft
from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.exit_warnings import Warned, exit_warnings
from engine.services.identity import Caller, require
from engine.services.schedule_book import ARCHIVED
from engine.services.strategy_checks import checked
from engine.services.templates import template
from engine.services.views import StrategyView
from engine.store.database import Database
from engine.store.tables import Role, Strategy, StrategyLeg, StrategyVersion, TradingAccount

ENTRY_POLICY = ("hedge_failure", "sold_leg_failure", "hedge_seconds", "limit_seconds", "limit_timeout")
"""Fields of a draft that are kept as the entry policy; an earlier release knew the first two."""


def save_strategy(
    database: Database,
    caller: Caller,
    draft: StrategyDraft,
    *,
    now: datetime,
    strategy_id: int | None = None,
    expected_version: int | None = None,
) -> StrategyView:
    """Store a new strategy (``strategy_id`` None) or a new version of one; an unchanged draft makes no version.

    ``expected_version``: the version the page showed; Refused when another tab has saved since. Raises InvalidInput
    naming leg and field; nothing is stored then.
    """
    require(caller, Role.TRADER)
    draft = checked(draft, always_open=_always_open(database, caller, draft.account_ids))
    with database.write() as session:
        _check_accounts(session, caller, draft.account_ids)
        _refuse_taken_name(session, caller, draft.name, except_id=strategy_id)
        if strategy_id is None:
            strategy = Strategy(owner_id=caller.user_id, name=draft.name, version=1, created_at=now)
            session.add(strategy)
            session.flush()
            _add_version(session, strategy, draft, now=now)
            _tell_engine(session, caller, draft.schedule, now=now)
            log_activity(session, caller, action="strategy.create", target=draft.name, now=now)
            return _view(session, caller, strategy)
        strategy = _own(session, caller, strategy_id)
        if expected_version is not None and strategy.version != expected_version:
            raise Refused(
                f"{strategy.name} was saved elsewhere as version {strategy.version} while you edited version "
                f"{expected_version}. Open it again to see the change."
            )
        stored = _view(session, caller, strategy).draft
        if draft == stored:
            return _view(session, caller, strategy)
        if draft.model_copy(update={"name": stored.name}) != stored:
            strategy.version += 1
            _add_version(session, strategy, draft, now=now)
        strategy.name = draft.name
        session.add(strategy)
        session.flush()
        _tell_engine(session, caller, stored.schedule, draft.schedule, now=now)
        log_activity(
            session, caller, action="strategy.save", target=draft.name, now=now, detail={"version": strategy.version}
        )
        return _view(session, caller, strategy)


def check_strategy(database: Database, caller: Caller, draft: StrategyDraft) -> list[Warned]:
    """Return what of a draft should be looked at twice; raises InvalidInput, as saving it would. Stores nothing."""
    return exit_warnings(checked(draft, always_open=_always_open(database, caller, draft.account_ids)))


def create_from_template(
    database: Database, caller: Caller, *, key: str, name: str | None, account_ids: list[int], now: datetime
) -> StrategyView:
    """Store a new strategy from a template; without a name the template's own, numbered when it is taken."""
    require(caller, Role.TRADER)
    found = template(key)
    if found is None:
        raise NotFound(f"There is no template {key!r}.")
    chosen = name.strip() if name is not None and name.strip() else _free_name(database, caller, found.draft.name)
    draft = found.draft.model_copy(update={"name": chosen, "account_ids": account_ids})
    return save_strategy(database, caller, draft, now=now)


def list_strategies(database: Database, caller: Caller) -> list[StrategyView]:
    """Return the caller's strategies that are not archived, newest first."""
    with database.read() as session:
        rows = session.exec(
            select(Strategy)
            .where(Strategy.owner_id == caller.user_id, col(Strategy.archived).is_(False))
            .order_by(col(Strategy.id).desc())
        ).all()
        return [_view(session, caller, row) for row in rows]


def load_strategy(database: Database, caller: Caller, *, strategy_id: int) -> StrategyView:
    """Return one strategy of the caller in its present version; raises NotFound."""
    with database.read() as session:
        return _view(session, caller, _own(session, caller, strategy_id))


def archive_strategy(database: Database, caller: Caller, *, strategy_id: int, now: datetime) -> None:
    """Take a strategy out of the list; refused while a run of it is open. Its runs and versions stay."""
    require(caller, Role.TRADER)
    with database.write() as session:
        strategy = _own(session, caller, strategy_id)
        runs = open_run_ids(session, caller, strategy_id)
        if runs:
            raise Refused(f"{strategy.name} has an open run ({', '.join(map(str, runs))}). Close it first.")
        _tell_engine(session, caller, _view(session, caller, strategy).draft.schedule, now=now)
        strategy.archived = True
        strategy.name = f"{strategy.name[:60]} (archived {strategy.id})"
        session.add(strategy)
        log_activity(
            session, caller, action=ARCHIVED, target=strategy.name, now=now, detail={"strategy_id": strategy_id}
        )


def draft_of(name: str, version: StrategyVersion, legs: list[StrategyLeg]) -> StrategyDraft:
    """Return a stored version as the draft that made it."""
    return StrategyDraft(
        name=name,
        description=version.description,
        product=version.product,
        market_condition=version.market_condition,
        account_ids=version.account_ids,
        sizing_percentage=version.sizing.get("percentage"),
        fixed_lots=version.sizing.get("fixed_lots"),
        **{name: version.entry_policy[name] for name in ENTRY_POLICY if name in version.entry_policy},
        legs=[LegDraft.model_validate(leg.model_dump(include=set(LegDraft.model_fields))) for leg in legs],
        limits=LimitsDraft.model_validate(version.limits),
        schedule=ScheduleDraft.model_validate(version.schedule),
    )


def _tell_engine(session: Session, caller: Caller, *schedules: ScheduleDraft, now: datetime) -> None:
    """Have the engine read schedules anew, in the transaction that changes one that is or was on."""
    if any(schedule.enabled for schedule in schedules):
        enqueue_reload(session, caller, now=now)


def _add_version(session: Session, strategy: Strategy, draft: StrategyDraft, *, now: datetime) -> None:
    assert strategy.id is not None
    sizing: dict[str, Any] = {"percentage": draft.sizing_percentage, "fixed_lots": draft.fixed_lots}
    version = StrategyVersion(
        strategy_id=strategy.id,
        number=strategy.version,
        description=draft.description,
        market_condition=draft.market_condition,
        product=draft.product,
        account_ids=draft.account_ids,
        sizing=sizing,
        limits=draft.limits.model_dump(),
        entry_policy=draft.model_dump(include=set(ENTRY_POLICY)),
        schedule=draft.schedule.model_dump(),
        created_at=now,
    )
    session.add(version)
    session.flush()
    assert version.id is not None
    for index, leg in enumerate(draft.legs, start=1):
        session.add(StrategyLeg(version_id=version.id, leg_index=index, **leg.model_dump()))
    session.flush()


def _view(session: Session, caller: Caller, strategy: Strategy) -> StrategyView:
    assert strategy.id is not None
    version = session.exec(
        select(StrategyVersion).where(
            StrategyVersion.strategy_id == strategy.id, StrategyVersion.number == strategy.version
        )
    ).one()
    assert version.id is not None
    legs = session.exec(
        select(StrategyLeg).where(StrategyLeg.version_id == version.id).order_by(col(StrategyLeg.leg_index))
    ).all()
    return StrategyView(
        id=strategy.id,
        name=strategy.name,
        version=strategy.version,
        version_id=version.id,
        description=version.description,
        product=version.product,
        market_condition=version.market_condition,
        account_ids=version.account_ids,
        draft=draft_of(strategy.name, version, list(legs)),
        open_run_ids=open_run_ids(session, caller, strategy.id),
    )


def _own(session: Session, caller: Caller, strategy_id: int) -> Strategy:
    strategy = session.get(Strategy, strategy_id)
    if strategy is None or strategy.owner_id != caller.user_id or strategy.archived:
        raise NotFound(f"There is no strategy {strategy_id}.")
    return strategy


def _always_open(database: Database, caller: Caller, account_ids: list[int]) -> bool:
    """Whether all accounts are at a paper exchange, which never closes; without accounts that is not known."""
    with database.read() as session:
        venues = session.exec(
            select(TradingAccount.venue).where(
                TradingAccount.owner_id == caller.user_id, col(TradingAccount.id).in_(account_ids)
            )
        ).all()
    return len(venues) == len(set(account_ids)) > 0 and all(venue.startswith("paper:") for venue in venues)


def _check_accounts(session: Session, caller: Caller, account_ids: list[int]) -> None:
    venues: dict[str, str] = {}
    for account_id in account_ids:
        account = session.get(TradingAccount, account_id)
        if account is None or account.owner_id != caller.user_id:
            raise InvalidInput("accounts", f"there is no account {account_id}")
        if not account.active:
            raise InvalidInput("accounts", f"{account.name} is not active")
        venues.setdefault(account.venue, account.name)
    if len(venues) > 1:
        names = " and ".join(venues.values())
        raise InvalidInput("accounts", f"{names} trade at different venues; a run stays at one")


def _refuse_taken_name(session: Session, caller: Caller, name: str, *, except_id: int | None) -> None:
    taken = session.exec(select(Strategy).where(Strategy.owner_id == caller.user_id, Strategy.name == name)).first()
    if taken is not None and taken.id != except_id:
        raise InvalidInput("name", f"you already have a strategy {name!r}")


def _free_name(database: Database, caller: Caller, wanted: str) -> str:
    with database.read() as session:
        taken = set(session.exec(select(Strategy.name).where(Strategy.owner_id == caller.user_id)))
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted} {number}", number + 1
    return name
