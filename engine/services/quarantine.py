"""Accounts to which nothing is sent: their server changed, or it queues orders for a person's approval (RULES 5)."""

from __future__ import annotations

from engine.domain.orders import Order, OrderState
from engine.services.ledger import Pass
from engine.services.world import Account

SEMI_AUTO = "an order waits for approval: the account is in semi-auto mode"
"""Why an account with a queued order is quarantined, also after a restart, until a person says what became of it."""
APPROVAL = "queued for approval at the server"
"""How the words of such an order begin: an unknown order whose late answer says so stays unknown, and is one too."""


def waits_for_approval(order: Order) -> bool:
    """Whether an order waits at its server for a person: no book lists it, and no time ends that."""
    return order.state is OrderState.QUEUED or (order.state is OrderState.UNKNOWN and order.words.startswith(APPROVAL))


def judge(changes: Pass, account: Account) -> None:
    """Put an account into quarantine, or let it out, by what is known of its server and its orders now."""
    queued = any(waits_for_approval(order) for order in changes.doubtful_orders(account.id))
    if account.standing.server_changed:
        account.quarantine = account.standing.server_changed
    elif queued or (account.semi_auto and account.facts.mode == "live"):
        account.quarantine = SEMI_AUTO
    else:
        account.quarantine = ""
    if account.quarantine:
        account.disarm(account.quarantine)
