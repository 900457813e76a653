"""How a run begins, by a person's hand or by the clock: the accounts it goes to, its rows, and the read of its legs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from engine.domain.runs import AccountState, Run, RunAccount, RunState
from engine.services.connection import venue_name
from engine.services.errors import Refused
from engine.services.ledger import Pass
from engine.services.terms import StrategyTerms
from engine.services.world import Account, World, chosen


def begin_run(
    changes: Pass,
    world: World,
    terms: StrategyTerms,
    accounts: Sequence[Account],
    *,
    command_id: int | None,
    previewed: Sequence[str] = (),
) -> Run:
    """Begin a run of a version on accounts of one venue: its legs are read after the commit.

    ``command_id`` None: nobody pressed anything. ``previewed``: the contracts that a page showed, leg by leg.
    """
    run = changes.put_run(
        Run(
            id=next(changes.ledger.counters.run),
            owner_id=terms.owner_id,
            strategy_id=terms.strategy_id,
            version_id=terms.version_id,
            command_id=command_id,
            venue=accounts[0].facts.venue,
            state=RunState.RESOLVING,
            reason="",
            created_at=changes.now,
        )
    )
    for account in accounts:
        changes.put_account(
            RunAccount(
                id=next(changes.ledger.counters.run_account),
                execution_id=run.id,
                account_id=account.id,
                state=AccountState.SIZING,
            )
        )
    if previewed:
        world.previewed[run.id] = tuple(str(symbol) for symbol in previewed)
    reader = reader_of(world, accounts[0])
    changes.after_commit.append(partial(reader.hands.resolve, terms.legs, run_id=run.id, command_id=None))
    return run


def accounts_for(world: World, owner_id: int, wanted: Sequence[int]) -> list[Account]:
    """Return the user's accounts with these ids; raises Refused if some are not active, or if their venues differ."""
    accounts = [a for a in chosen(world.accounts.values(), wanted) if a.facts.owner_id == owner_id]
    if not accounts or len(accounts) < len(wanted):
        raise Refused("Some of the chosen accounts are not active or not yours.")
    venues = {account.facts.venue for account in accounts}
    if len(venues) > 1:
        places = ", ".join(sorted(venue_name(venue) for venue in venues))
        raise Refused(
            f"These accounts are at {len(venues)} exchanges ({places}). The prices of one must not decide about orders "
            "at another: choose accounts of one of them, and start the strategy once for each."
        )
    return accounts


def reader_of(world: World, account: Account) -> Account:
    """Return the account whose server answers for the venue's market data."""
    return world.reader_of(account.facts.owner_id, account.facts.venue) or account
