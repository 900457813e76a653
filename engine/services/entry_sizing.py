"""How many lots each account of a run takes, from funds read after the run began (RULES 2, 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.domain.errors import SizingError
from engine.domain.margin import structure_leg, structure_margin
from engine.domain.runs import AccountState, Run, RunAccount
from engine.domain.sizing import AccountSizing, LegTerms, SizingRequest, size_account
from engine.services.amounts import regrouped
from engine.services.ledger import Pass
from engine.services.resolution import Resolution
from engine.services.terms import StrategyTerms
from engine.services.world import Account, World

HALTED = "entries are halted"


def size(account: Account, terms: StrategyTerms, resolution: Resolution, reserved_paise: int) -> AccountSizing:
    """Return what one account would trade of these legs with the funds last read (RULES 2).

    Raises SizingError where no figure can be derived; it never guesses.
    """
    margin = structure_margin(
        [structure_leg(leg) for leg in resolution.legs], terms.margin_rows, expiry_day=resolution.expiry_day
    )
    request = SizingRequest(
        available=None if account.available_paise is None else account.available_paise / 100,
        percentage=terms.percentage if terms.percentage is not None else account.facts.percentage,
        structure_margin_paise=margin.total_paise,
        legs=tuple(
            LegTerms(leg.leg.lots_ratio, leg.contract.lot_size, leg.contract.freeze_quantity) for leg in resolution.legs
        ),
        reserved=reserved_paise / 100,
        fixed_lots=None if terms.fixed_lots is None else terms.fixed_lots * account.facts.multiplier,
        cap_lots=account.facts.max_lots,
    )
    return size_account(request)


def sizing_json(sizing: AccountSizing) -> dict[str, Any]:
    """Return the waterfall as a run keeps it."""
    return {
        "available_paise": sizing.available_paise,
        "percentage": sizing.percentage,
        "usable_paise": sizing.usable_paise,
        "structure_margin_paise": sizing.structure_margin_paise,
        "lots": sizing.structures,
        "bound_by": str(sizing.limit),
        "legs": [{"lots": leg.lots, "quantity": leg.quantity, "slices": list(leg.slices)} for leg in sizing.legs],
    }


def reserved_paise(changes: Pass, account_id: int, *, besides: int | None = None) -> int:
    """Return the margin of runs on an account that its funds do not show yet (RULES 2)."""
    return sum(
        row.reserved_paise
        for run in changes.open_runs()
        if run.id != besides
        for row in changes.accounts_of(run.id)
        if row.account_id == account_id
    )


def sized_accounts(
    changes: Pass, world: World, run: Run, terms: StrategyTerms, resolution: Resolution
) -> list[RunAccount]:
    """Size every account of the run whose funds were read after the run began; return those that take part."""
    sized = []
    for row in changes.accounts_of(run.id):
        if row.state is not AccountState.SIZING:
            continue
        account = world.accounts.get(row.account_id)
        problem = _cannot_enter(changes, run, account)
        if account is None or problem:
            changes.put_account(replace(row, state=AccountState.SKIPPED, reason=problem))
            continue
        if account.funds_begun is None or account.funds_begun <= run.created_at:
            continue
        if account.funds_problem:
            changes.put_account(replace(row, state=AccountState.SKIPPED, reason=f"funds: {account.funds_problem}"))
            continue
        done = _sized(changes, run, terms, row, account, resolution=resolution)
        if done.state is AccountState.SIZING:
            sized.append(done)
    return sized


def halted(changes: Pass, owner_id: int, account_id: int | None = None) -> bool:
    """Whether entries of a user, or on one account of his, are halted as this pass sees it."""
    return bool(changes.halted(owner_id, account_id))


def _cannot_enter(changes: Pass, run: Run, account: Account | None) -> str:
    if account is None:
        return "the account is not active"
    if not account.armed:
        return f"the account waits for {account.waits_for}"
    why = changes.halted(run.owner_id, account.id)
    return f"{HALTED}: {why}" if why else ""


def _sized(
    changes: Pass, run: Run, terms: StrategyTerms, row: RunAccount, account: Account, *, resolution: Resolution
) -> RunAccount:
    """Return the row with its sizing, still to be planned, or skipped with the reason."""
    try:
        sizing = size(account, terms, resolution, reserved_paise(changes, account.id, besides=run.id))
    except SizingError as error:
        return changes.put_account(replace(row, state=AccountState.SKIPPED, reason=regrouped(str(error))))
    row = replace(row, sizing=sizing_json(sizing), lots=sizing.structures)
    if sizing.skipped:
        why = regrouped(sizing.reason or str(sizing.limit))
        return changes.put_account(replace(row, state=AccountState.SKIPPED, reason=why))
    return changes.put_account(replace(row, reserved_paise=sizing.margin_used_paise))
