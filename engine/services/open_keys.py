"""The keys of a run on an account as an exit sees them: what is owned, what is on its way, what stays (RULES 6, 7)."""

from __future__ import annotations

from datetime import datetime

from engine.domain.exit_scopes import side_of
from engine.domain.exits import OpenKey, retry_delay
from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.orders import IN_DOUBT, Order, Purpose
from engine.domain.runs import ExitPlan, Run
from engine.services.exit_alarms import failures
from engine.services.exit_scopes import ENTERING, covers_key
from engine.services.ledger import Pass
from engine.services.owned import owned_now
from engine.services.repricing import may_be_replaced
from engine.services.sightings import named_another
from engine.services.world import Account, World


def open_keys(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account) -> list[OpenKey]:
    """Return every key of a run on an account: also those beside the plan say whether a bought leg may go (RULES 7)."""
    orders = [order for order in changes.orders_of(run.id) if order.account_id == account.id]
    legs = {leg["symbol"]: leg for leg in run.resolved.get("legs", [])}
    underlying = str(run.resolved.get("underlying", ""))
    to_come = _sold_keys_to_come(changes, run, account, orders)
    keys = dict.fromkeys(
        [*(k for k in changes.holdings(run.id) if k.account_id == account.id), *(o.key for o in orders), *to_come]
    )
    found = []
    for key in keys:
        mine = [order for order in orders if order.key == key]
        leg = legs.get(key.symbol, {})
        entered = [order.leg_index for order in mine if order.purpose.enters]
        failed = failures(mine)
        found.append(
            OpenKey(
                key=key,
                leg_index=entered[-1] if entered else leg.get("leg_index", 0),
                underlying=underlying,
                sold_leg=leg.get("action") == Action.SELL,
                owned=owned_now(changes, account, run, key),
                pending_exit=sum(o.pending_quantity for o in mine if o.purpose is Purpose.EXIT),
                in_doubt=any(
                    o.state in IN_DOUBT or named_another(o) or may_be_replaced(account, o, changes.now) for o in mine
                ),
                entry_alive=key in to_come or any(not o.terminal for o in mine if o.purpose.enters),
                retry_at=_retry_at(changes, world, account, key, failed),
                covered=covers_key(run, plan, key),
                kept=plan.kept(key),
                side=side_of(str(leg.get("instrument_type", ""))),
            )
        )
    return found


def _sold_keys_to_come(changes: Pass, run: Run, account: Account, orders: list[Order]) -> set[Key]:
    """Return the keys of sold legs that an account which is still entering has no order for yet."""
    if changes.account_of(run.id, account.id).state not in ENTERING:
        return set()
    product = Product(run.resolved["product"])
    sold = [leg for leg in run.resolved.get("legs", []) if leg["action"] == Action.SELL]
    keys = {Key(account.id, leg["symbol"], Exchange(leg["exchange"]), product) for leg in sold}
    return keys - {order.key for order in orders}


def _retry_at(
    changes: Pass, world: World, account: Account, key: Key, failed: tuple[int, datetime] | None
) -> datetime | None:
    """Return when an exit that failed may be sent again; None: now. A clock set back since holds nothing up."""
    if failed is None:
        return None
    in_session = world.in_session(account.facts.venue, key.exchange, changes.now)
    delay = retry_delay(failed[0], in_session=in_session)
    return None if failed[1] > changes.now else failed[1] + delay
