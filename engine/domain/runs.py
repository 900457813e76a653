"""Runs, their accounts, exit plans and charges: the engine's own memory of what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

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
    """One execution of a strategy version in one venue; money in paise, times in UTC (RULES 4, 7)."""

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
    """An exit driven until flat; empty ``account_ids`` means every account of the run."""

    id: int
    execution_id: int
    account_ids: tuple[int, ...]
    reason: str
    state: PlanState
    requested_by: int | None
    created_at: datetime
    done_at: datetime | None = None

    def covers(self, account_id: int) -> bool:
        """Whether the plan takes this account out."""
        return not self.account_ids or account_id in self.account_ids


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
