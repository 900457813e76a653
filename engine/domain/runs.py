"""Runs, their accounts, exit plans and charges: the engine's own memory of what it did."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from engine.domain.exit_scopes import staying
from engine.domain.instruments import Action, Key


class RunState(StrEnum):
    """Life of a run."""

    RESOLVING = "resolving"
    ENTERING = "entering"
    OPEN = "open"
    EXITING = "exiting"
    CLOSED = "closed"
    REFUSED = "refused"


RUN_ENDED = frozenset({RunState.CLOSED, RunState.REFUSED})


class AccountState(StrEnum):
    """Life of a run on one account. ``failing``: no more of its entry is sent; what is alive of it is taken back."""

    SIZING = "sizing"
    BUYING = "buying"
    SELLING = "selling"
    FAILING = "failing"
    ENTERED = "entered"
    SKIPPED = "skipped"
    UNWINDING = "unwinding"
    FLAT = "flat"
    TAKEN_OVER = "taken_over"


ENTRY_ENDED = frozenset(
    {
        AccountState.ENTERED,
        AccountState.SKIPPED,
        AccountState.UNWINDING,
        AccountState.FLAT,
        AccountState.TAKEN_OVER,
    }
)


class PlanState(StrEnum):
    """Life of an exit plan."""

    ACTIVE = "active"
    DONE = "done"
    ABSORBED = "absorbed"
    TAKEN_OVER = "taken_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a strategy version in one venue; money in paise, times in UTC (RULES 4, 7).

    ``latches``: rules that acted and were not re-armed, as ``rule``, ``rule@account`` or ``rule@account.leg``.
    ``watch``: what rules remember beyond the trailing stop, one entry a subject: ``legs`` (moved to cost, re-entries),
    ``premium`` (weights and sign of the combined premium), ``supertrend`` (the last bar that was judged),
    ``told_taken_over`` (rules told while a person had every account that they close).
    """

    id: int
    owner_id: int
    strategy_id: int
    version_id: int
    command_id: int | None
    venue: str
    state: RunState
    reason: str
    created_at: datetime
    entered_at: datetime | None = None
    closed_at: datetime | None = None
    resolved: dict[str, Any] = field(default_factory=dict)
    premium_value_paise: int | None = None
    units: int = 0
    lots_filled: int = 0
    trailing_active: bool = False
    peak_paise: int | None = None
    stop_paise: int | None = None
    latches: tuple[str, ...] = ()
    watch: dict[str, Any] = field(default_factory=dict)
    profit_paise: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """A run on one account."""

    id: int
    execution_id: int
    account_id: int
    state: AccountState
    lots: int = 0
    sizing: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    reserved_paise: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """An exit driven until its scope is done; empty ``account_ids`` and ``leg_indexes`` mean all of the run.

    ``keep``: what stays open under a key, as (account, symbol, exchange, product, signed quantity), where only a share
    leaves; keys that it does not name leave whole.
    """

    id: int
    execution_id: int
    account_ids: tuple[int, ...]
    reason: str
    state: PlanState
    requested_by: int | None
    created_at: datetime
    done_at: datetime | None = None
    leg_indexes: tuple[int, ...] = ()
    keep: tuple[tuple[int, str, str, str, int], ...] = ()

    def covers(self, account_id: int) -> bool:
        """Whether the plan takes something of this account out."""
        return not self.account_ids or account_id in self.account_ids

    def kept(self, key: Key) -> int:
        """Return how many units (signed) shall stay under a key that it covers; 0 where all leaves."""
        return next((kept[4] for kept in self.keep if kept[:4] == key), 0) if self.keep else 0

    def converted(self, old: Key, new: Key, quantity: int) -> ExitPlan:
        """Return the plan after ``quantity`` units (signed) moved to another product: as much stays as before.

        What is kept goes along first: what leaves may have its order under the old product already.
        """
        moving = staying(quantity, self.kept(old))
        if not moving:
            return self
        units = {old: self.kept(old) - moving, new: self.kept(new) + moving}
        others = tuple(kept for kept in self.keep if kept[:4] not in (old, new))
        moved = tuple(
            (key.account_id, key.symbol, str(key.exchange), str(key.product), stays)
            for key, stays in units.items()
            if stays
        )
        return replace(self, keep=(*others, *moved))

    def leaves_whole(self, account_id: int) -> bool:
        """Whether the run leaves this account with all it has there; where not, the account goes on entered."""
        return not self.leg_indexes and all(kept[0] != account_id for kept in self.keep)

    @property
    def partial(self) -> bool:
        """Whether the accounts it covers go on with something afterwards: single legs or a share leave."""
        return bool(self.leg_indexes or self.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledEntry:
    """What became of a strategy's scheduled entry on one day: at most one a day (RULES 4, 7).

    ``state``: begun (``run_id``), skipped (``reason``) or refused (``reason``).
    """

    id: int
    strategy_id: int
    day: date
    state: str
    due_at: datetime
    decided_at: datetime
    run_id: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMark:
    """P of a run on one account (paise): at the last mark before ``day``, and as last known on it; None: not known."""

    execution_id: int
    account_id: int
    day: date
    mark_paise: int | None = None
    last_paise: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What changed a run's position without an order of ours, booked as a fill (RULES 6).

    ``source``: charge (an outside trade closed it), crossing (against another run), settlement (at expiry), conversion
    (to another product), adopted (taken over from outside).
    """

    id: int
    execution_id: int
    key: Key
    action: Action
    quantity: int
    value_paise: int
    estimated: bool
    at: datetime
    source: str = "charge"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMemory:
    """What must still be known of an account after a restart (RULES 5, "valid").

    ``broker`` and ``mode`` are those with which it was armed. ``opening``: what ``day`` began with; ``carried``: the
    net in the last valid books of a session; both as (symbol, exchange, product, signed quantity).
    """

    account_id: int
    broker: str
    mode: str
    armed_at: datetime | None = None
    day: date | None = None
    opening: tuple[tuple[str, str, str, int], ...] = ()
    carried: tuple[tuple[str, str, str, int], ...] = ()
    carried_at: datetime | None = None
