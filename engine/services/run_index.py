"""Which runs are open, which are busy, and whose orders live: kept as passes are committed, so that nobody scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.domain.evidence import Instrument
from engine.domain.instruments import Key
from engine.domain.orders import OrderState
from engine.domain.runs import RUN_ENDED, AccountState, PlanState, Run, RunState

if TYPE_CHECKING:
    from engine.services.ledger import Ledger

FEW_RUNS = 50
"""Up to so many open runs, everything is looked at in every pass."""
_MOVING = frozenset({RunState.RESOLVING, RunState.ENTERING, RunState.EXITING})
_AT_REST = frozenset({AccountState.ENTERED, AccountState.SKIPPED, AccountState.FLAT})


@dataclass(slots=True)
class RunIndex:
    """What a ledger's rows say, by what the core asks for.

    ``open``: runs that are not ended, oldest first. ``busy``: those of them that wait for something (contracts, fills,
    books, a retry) and are looked at often. ``on``: open runs by account. ``orders``: every order in memory by account;
    ``alive``: those that are not terminal; ``planned``: those to be sent; each with its run. ``owners``: open quantity
    by key and run; ``totals``: of all runs together by account and instrument, where it is not zero.
    """

    known: int = 0
    open: dict[int, None] = field(default_factory=dict)
    busy: dict[int, None] = field(default_factory=dict)
    on: dict[int, dict[int, None]] = field(default_factory=dict)
    orders: dict[int, dict[int, int]] = field(default_factory=dict)
    alive: dict[int, dict[int, int]] = field(default_factory=dict)
    planned: dict[int, int] = field(default_factory=dict)
    owners: dict[Key, dict[int, int]] = field(default_factory=dict)
    totals: dict[int, dict[Instrument, int]] = field(default_factory=dict)
    _held: dict[int, tuple[Key, ...]] = field(default_factory=dict)

    @property
    def few(self) -> bool:
        """Whether so few runs are open that nothing has to be saved."""
        return len(self.open) <= FEW_RUNS

    @classmethod
    def of(cls, ledger: Ledger) -> RunIndex:
        """Return the index of a ledger, read from all its rows."""
        index = cls()
        for run_id in sorted(ledger.runs):
            index.take_orders(ledger, dict.fromkeys(ledger.orders.get(run_id, {}), run_id))
            index.take_holdings(ledger, run_id)
            index.take_run(ledger, run_id)
        index.known = len(ledger.runs)
        return index

    def take_orders(self, ledger: Ledger, changed: Mapping[int, int]) -> None:
        """Note orders that came or changed, each with its run."""
        for order_id, run_id in changed.items():
            order = ledger.orders[run_id][order_id]
            self.orders.setdefault(order.account_id, {})[order_id] = run_id
            alive = self.alive.setdefault(order.account_id, {})
            if order.terminal:
                alive.pop(order_id, None)
            else:
                alive[order_id] = run_id
            if order.state is OrderState.PLANNED:
                self.planned[order_id] = run_id
            else:
                self.planned.pop(order_id, None)

    def take_holdings(self, ledger: Ledger, run_id: int) -> None:
        """Note what a run owns."""
        for key in self._held.pop(run_id, ()):
            owners = self.owners[key]
            self._add(key, -owners.pop(run_id, 0))
            if not owners:
                del self.owners[key]
        held = {key: one.quantity for key, one in ledger.holdings.get(run_id, {}).items() if one.quantity}
        for key, quantity in held.items():
            self.owners.setdefault(key, {})[run_id] = quantity
            self._add(key, quantity)
        if held:
            self._held[run_id] = tuple(held)

    def _add(self, key: Key, quantity: int) -> None:
        totals, instrument = self.totals.setdefault(key.account_id, {}), Instrument(*key[1:])
        total = totals.get(instrument, 0) + quantity
        if total:
            totals[instrument] = total
        else:
            totals.pop(instrument, None)

    def take_run(self, ledger: Ledger, run_id: int) -> None:
        """Note a run, its accounts and plans; its orders come first."""
        run = ledger.runs.get(run_id)
        rows = ledger.accounts.get(run_id, {})
        if run is None or run.state in RUN_ENDED:
            self.open.pop(run_id, None)
            self.busy.pop(run_id, None)
            for account_id in rows:
                self.on.get(account_id, {}).pop(run_id, None)
            return
        if run_id not in self.open:
            reopened = next(reversed(self.open), run_id) > run_id
            self.open[run_id] = None
            if reopened:
                self.open = dict.fromkeys(sorted(self.open))
        for account_id in rows:
            self.on.setdefault(account_id, {})[run_id] = None
        if _busy(ledger, run_id):
            self.busy[run_id] = None
        else:
            self.busy.pop(run_id, None)


def _busy(ledger: Ledger, run_id: int) -> bool:
    if ledger.runs[run_id].state in _MOVING:
        return True
    if _reenters(ledger.runs[run_id]):
        return True
    if any(row.state not in _AT_REST for row in ledger.accounts.get(run_id, {}).values()):
        return True
    if any(plan.state is PlanState.ACTIVE for plan in ledger.plans.get(run_id, {}).values()):
        return True
    return any(not order.terminal for order in ledger.orders.get(run_id, {}).values())


def _reenters(run: Run) -> bool:
    legs = run.watch.get("legs") or {}
    return any("reentry" in state or "closed_by" in state for state in legs.values() if isinstance(state, dict))
