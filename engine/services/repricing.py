"""Exit orders whose remainder rests are re-priced on the same id, further each time (RULES 7, "Exit means")."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.messages import ModifyAnswered
from engine.services.world import World


def on_modify_answered(changes: Pass, world: World, message: ModifyAnswered) -> None:
    """Take the answer to a modification: it proves nothing by itself, the books say what the order became."""
    order = changes.order(message.order_id)
    if order is not None and (account := world.accounts.get(order.account_id)) is not None:
        account.books_wanted = True
