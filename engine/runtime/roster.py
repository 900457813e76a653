"""The engine's accounts: read from the database with their keys decrypted, each given hands of its own (law 13)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlmodel import Session, col, select

from engine.broker.client import OpenAlgoClient
from engine.broker.funds import FundsModel
from engine.broker.transport import shared_ssl_context
from engine.domain.errors import DomainError
from engine.domain.sizing import Grade
from engine.runtime.clock import steady_now
from engine.runtime.hands import AccountHands
from engine.runtime.inbox import Inbox
from engine.services.price_board import market_of
from engine.services.smart_exits import may_send_smart
from engine.services.world import Account, AccountFacts, Hands, World
from engine.store import tables
from engine.store.database import Database
from engine.store.vault import Vault, VaultError

_log = logging.getLogger(__name__)
PLACEMENT_CONNECT_SECONDS = 1.0
"""Shorter than the 3 s after which an order is called unknown: a connection that does not stand is proof enough."""


@dataclass(frozen=True, slots=True)
class _Secret:
    """What hands are made from; two equal ones mean that nothing has to be rebuilt."""

    host: str
    ws_url: str
    token: str
    funds_model: str
    haircut: float
    venue: str


class Roster:
    """Keeps the world's accounts equal to the active rows of the database; runs in the core thread."""

    def __init__(
        self, database: Database, vault: Vault, inbox: Inbox, *, hands: Callable[..., Hands] = AccountHands
    ) -> None:
        self._database = database
        self._vault = vault
        self._inbox = inbox
        self._hands = hands
        self._secrets: dict[int, _Secret] = {}

    def refresh(self, world: World) -> None:
        """Add new accounts, rebuild changed ones, and let go of those that are no longer active."""
        with self._database.read() as session:
            rows = session.exec(select(tables.TradingAccount).where(col(tables.TradingAccount.active).is_(True))).all()
            found = {row.id: (facts_of(session, row), _secret(row)) for row in rows if row.id is not None}
        for account_id in [one for one in world.accounts if one not in found]:
            _let_go(world.accounts.pop(account_id).hands)
            world.watched.pop(account_id, None)
            self._secrets.pop(account_id, None)
        for account_id, (facts, secret) in found.items():
            known = world.accounts.get(account_id)
            if known is not None and self._secrets.get(account_id) == secret:
                # broker and mode are what its server said, not what it was when it was added
                if known.connected:
                    facts = replace(facts, broker=known.facts.broker, mode=known.facts.mode)  # noqa: PLW2901
                known.facts = facts
                continue
            try:
                hands = self._make(facts, secret)
            except (VaultError, ValueError, DomainError) as error:
                _log.error("account %s (%s) cannot be used: %s", account_id, facts.name, error)
                continue
            if known is not None:
                _let_go(known.hands)
                world.watched.pop(account_id, None)
            fresh = Account(facts, hands)
            if known is not None:
                # orders on their way and the send limit outlive a change of the connection
                fresh.sending, fresh.bucket, fresh.last_change = known.sending, known.bucket, known.last_change
            world.accounts[account_id] = fresh
            self._secrets[account_id] = secret

    def close(self, world: World) -> None:
        """End all hands."""
        for account in world.accounts.values():
            account.hands.close()

    def _make(self, facts: AccountFacts, secret: _Secret) -> Hands:
        key = self._vault.decrypt(secret.token).get_secret_value()
        context = shared_ssl_context() if facts.host.startswith("https") else None
        client = OpenAlgoClient(
            facts.host,
            key,
            label=facts.name,
            ssl_context=context,
            connect_timeout=PLACEMENT_CONNECT_SECONDS,
            clock=steady_now,
        )
        return self._hands(
            account_id=facts.id,
            market=market_of(facts.owner_id, facts.venue),
            client=client,
            ws_url=facts.ws_url,
            api_key=key,
            label=facts.name,
            funds_model=FundsModel(facts.funds_model),
            haircut=facts.haircut,
            inbox=self._inbox,
        )


def facts_of(session: Session, row: tables.TradingAccount) -> AccountFacts:
    """Return an account's settings; its percentage is that of its grade, by the owner's own figure if there is one."""
    own = session.exec(
        select(tables.TradeQuality.percentage).where(
            tables.TradeQuality.owner_id == row.owner_id, tables.TradeQuality.grade == row.grade
        )
    ).one_or_none()
    group = session.get(tables.AccountGroup, row.group_id) if row.group_id is not None else None
    assert row.id is not None
    return AccountFacts(
        id=row.id,
        owner_id=row.owner_id,
        name=row.name,
        venue=row.venue,
        broker=row.broker,
        mode=row.mode,
        is_primary=row.is_primary,
        priority=row.priority,
        grade=row.grade,
        max_lots=row.max_lots,
        multiplier=row.multiplier,
        funds_model=row.funds_model,
        haircut=row.collateral_haircut,
        percentage=own if own is not None else Grade(row.grade).percentage,
        host=row.host,
        ws_url=row.ws_url,
        relation=row.relation,
        group=group.name if group else "",
        smart_exit=may_send_smart(row.capabilities),
    )


def _let_go(hands: Hands) -> None:
    """End hands in a thread of their own: a stream that hangs must not hold up the core."""
    threading.Thread(target=hands.close, name="closing hands", daemon=True).start()


def _secret(row: tables.TradingAccount) -> _Secret:
    return _Secret(row.host, row.ws_url, row.api_key_encrypted, row.funds_model, row.collateral_haircut, row.venue)
