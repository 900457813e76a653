"""Which keys of a run an exit plan decides about, and what stays under them (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.errors import DomainError
from engine.domain.exit_scopes import HeldKey, Scope, absorbing, keep_of_share, side_of, staying, takes_as_much
from engine.domain.instruments import Key
from engine.domain.runs import AccountState, ExitPlan, PlanState, Run
from engine.services.ledger import Pass

ENTERING = frozenset({AccountState.SIZING, AccountState.BUYING, AccountState.SELLING, AccountState.FAILING})
"""States of accounts that have not ended their entry."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an exit shall take: its scope, and the accounts that it means."""

    scope: Scope
    accounts: frozenset[int]


_legs: dict[int, tuple[object, dict[str, frozenset[int]]]] = {}
"""By run, with the contracts they were made of: asked for every run and key many times a second."""


def legs_of(run: Run) -> dict[str, frozenset[int]]:
    """Return the legs that each contract of a run belongs to.

    That is the leg which has it now (the last row of a leg counts); a contract that no leg has any more still belongs
    to those that had it.
    """
    known = _legs.get(run.id)
    if known is not None and known[0] is run.resolved:
        return known[1]
    rows = run.resolved.get("legs", [])
    now = {int(leg["leg_index"]): str(leg["symbol"]) for leg in rows}
    found: dict[str, set[int]] = {}
    for leg in rows:
        found.setdefault(str(leg["symbol"]), set()).add(int(leg["leg_index"]))
    having = {symbol: {index for index, mine in now.items() if mine == symbol} for symbol in found}
    legs = {symbol: frozenset(having[symbol] or all_of) for symbol, all_of in found.items()}
    _legs[run.id] = (run.resolved, legs)
    return legs


def held_keys(changes: Pass, run: Run) -> list[HeldKey]:
    """Return every key of a run in which it owns something, or an order of it may still fill."""
    legs = {str(leg["symbol"]): leg for leg in run.resolved.get("legs", [])}
    indexes = legs_of(run)
    holdings = changes.holdings(run.id)
    alive = [order.key for order in changes.orders_of(run.id) if not order.terminal]
    return [
        HeldKey(
            key=key,
            leg_indexes=indexes.get(key.symbol, frozenset()),
            quantity=holdings[key].quantity if key in holdings else 0,
            lot_size=max(1, int(legs.get(key.symbol, {}).get("lot_size", 1))),
            side=side_of(str(legs.get(key.symbol, {}).get("instrument_type", ""))),
        )
        for key in dict.fromkeys([*(key for key, held in holdings.items() if held.quantity), *alive])
    ]


def wanted_of(
    changes: Pass,
    run: Run,
    *,
    accounts: set[int],
    account_ids: tuple[int, ...],
    legs: tuple[int, ...],
    share: float | None,
) -> Wanted:
    """Return what an exit of ``accounts`` shall take; of 100 percent or no share, all that is there.

    Raises DomainError for a share that is none.
    """
    if share is not None and not 0 < share <= 100:
        raise DomainError("share", f"{share} is not above 0 and at most 100 percent")
    scope = Scope(frozenset(account_ids), frozenset(legs))
    if share is not None and share < 100:
        scope = Scope(scope.account_ids, scope.leg_indexes, keep_of_share(scope, share, held_keys(changes, run)))
    return Wanted(scope, frozenset(accounts))


def scope_of(plan: ExitPlan, held: list[HeldKey]) -> Scope:
    """Return the scope of a plan, with what it keeps under the keys that are held now."""
    keep = {one.key: units for one in held if (units := plan.kept(one.key))}
    return Scope(frozenset(plan.account_ids), frozenset(plan.leg_indexes), keep)


def covering(active: list[ExitPlan], wanted: Wanted, held: list[HeldKey]) -> ExitPlan | None:
    """Return the active plan that takes all that is wanted already, None if there is none."""
    scope = Scope(wanted.accounts, wanted.scope.leg_indexes, wanted.scope.keep)
    return next((plan for plan in active if takes_as_much(scope_of(plan, held), scope, held)), None)


def with_narrower(
    active: list[ExitPlan], wanted: Wanted, held: list[HeldKey]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, str, str, str, int], ...], list[ExitPlan]]:
    """Return accounts, legs and what is kept of a new plan, and the plans it absorbs: those it would meet in a key."""
    scope, taken = absorbing(wanted.scope, [scope_of(plan, held) for plan in active], held)
    keep = tuple(
        (key.account_id, key.symbol, str(key.exchange), str(key.product), units) for key, units in scope.keep.items()
    )
    return tuple(sorted(scope.account_ids)), tuple(sorted(scope.leg_indexes)), keep, [active[n] for n in taken]


def covers_key(run: Run, plan: ExitPlan, key: Key) -> bool:
    """Whether a plan decides about a key of its run; one of no known leg belongs to plans of all legs alone."""
    if not plan.covers(key.account_id):
        return False
    return not plan.leg_indexes or bool(legs_of(run).get(key.symbol, frozenset()) & set(plan.leg_indexes))


def plan_over(changes: Pass, run: Run, key: Key) -> ExitPlan | None:
    """Return the active plan that decides about a key of a run; there is at most one (law 3)."""
    for plan in changes.plans_of(run.id):
        if plan.state is PlanState.ACTIVE and covers_key(run, plan, key):
            return plan
    return None


def kept_now(changes: Pass, run: Run, key: Key, owned: int) -> int:
    """Return how many of the units owned under a key (signed) its active plan keeps; 0 where no plan decides."""
    plan = plan_over(changes, run, key)
    return 0 if plan is None else staying(owned, plan.kept(key))
