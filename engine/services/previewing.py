"""What Execute would send, shown before it is sent: same resolution, same sizing, same slices (RULES 2 to 4)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from engine.domain.errors import SizingError
from engine.domain.instruments import Action
from engine.domain.sizing import AccountSizing
from engine.services.amounts import regrouped
from engine.services.entry_sizing import reserved_paise, size
from engine.services.ledger import Pass
from engine.services.resolution import Resolution
from engine.services.views import PreviewAccount, PreviewOrder, PreviewView
from engine.services.world import Account, Preview, World

FUNDS_MAY_BE = timedelta(seconds=60)
"""A preview may use funds this old; an entry reads them fresh (RULES 2)."""


def ask_for_funds(changes: Pass, accounts: list[Account]) -> None:
    """Read the funds of accounts whose last read is too old for a preview."""
    for account in accounts:
        if account.connected and not _fresh(account, changes):
            account.funds_due = changes.now


def progress(changes: Pass, world: World) -> None:
    """Answer every preview whose contracts and funds are there, or whose time is over."""
    for preview in list(world.previews.values()):
        late = changes.now > preview.deadline
        if preview.problem:
            changes.answer_command(preview.command_id, "refused", {"message": preview.problem})
        elif preview.resolution is not None and (
            late or all(_ready(changes, world, one) for one in preview.account_ids)
        ):
            view = _view(changes, world, preview, preview.resolution)
            changes.answer_command(preview.command_id, "done", {"preview": view.model_dump(mode="json")})
        elif late:
            changes.answer_command(preview.command_id, "refused", {"message": "No contracts were read in time."})
        else:
            continue
        changes.after_commit.append(partial(world.previews.pop, preview.command_id, None))


def _fresh(account: Account, changes: Pass) -> bool:
    return account.funds_begun is not None and changes.now - account.funds_begun <= FUNDS_MAY_BE


def _ready(changes: Pass, world: World, account_id: int) -> bool:
    account = world.accounts.get(account_id)
    return account is None or not account.connected or _fresh(account, changes)


def _view(changes: Pass, world: World, preview: Preview, resolution: Resolution) -> PreviewView:
    return PreviewView(
        strategy_id=preview.terms.strategy_id,
        version=preview.terms.number,
        underlying=resolution.underlying,
        spot=resolution.spot,
        as_of=resolution.as_of,
        expiry_day=resolution.expiry_day,
        legs=resolution.preview_legs(),
        accounts=[
            _account(changes, preview, resolution, world.accounts[one])
            for one in sorted(preview.account_ids, key=world.shown)
            if one in world.accounts
        ],
    )


def _account(changes: Pass, preview: Preview, resolution: Resolution, account: Account) -> PreviewAccount:
    terms = preview.terms
    percentage = terms.percentage if terms.percentage is not None else account.facts.percentage
    age = (changes.now - account.funds_begun).total_seconds() if account.funds_begun else None
    problem = "" if account.armed else f"the account waits for {account.waits_for}"
    problem = problem or resolution.limit_problem
    if account.funds_problem:
        problem = problem or f"funds: {account.funds_problem}"
    sizing: AccountSizing | None = None
    if not problem:
        try:
            sizing = size(account, terms, resolution, reserved_paise(changes, account.id))
        except SizingError as error:
            problem = str(error)
    return PreviewAccount(
        account_id=account.id,
        account=account.facts.name,
        available_paise=sizing.available_paise if sizing else account.available_paise,
        funds_age_seconds=age,
        grade=account.facts.grade if terms.percentage is None else "",
        percentage=percentage,
        usable_paise=sizing.usable_paise if sizing else None,
        structure_margin_paise=sizing.structure_margin_paise if sizing else None,
        lots=sizing.structures if sizing else 0,
        bound_by=str(sizing.limit) if sizing else "",
        reason=regrouped(problem or (sizing.reason or "" if sizing else "")),
        orders=_orders(resolution, account, sizing) if sizing and not sizing.skipped else [],
    )


def _orders(resolution: Resolution, account: Account, sizing: AccountSizing) -> list[PreviewOrder]:
    orders = []
    for stage, action in (("bought legs first", Action.BUY), ("then sold legs", Action.SELL)):
        for contract, leg_size in zip(resolution.contracts, sizing.legs, strict=True):
            leg = contract.resolved
            if leg.leg.action is not action:
                continue
            orders += [
                PreviewOrder(
                    account_id=account.id,
                    leg_index=leg.leg.index,
                    slice_index=index,
                    stage=stage,
                    action=action,
                    symbol=leg.contract.symbol,
                    quantity=quantity,
                    price=contract.limit[0],
                )
                for index, quantity in enumerate(leg_size.slices)
            ]
    return orders
