"""What nobody here owns: told when it stands against an entry, adopted into a run when a person says so (RULES 6)."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import partial
from typing import Any

from engine.domain.errors import DomainError
from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.money import value_paise
from engine.domain.runs import AccountState, Charge, Run, RunState
from engine.services.errors import Refused
from engine.services.exiting import lot_and_freeze
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.settling import is_over
from engine.services.world import Account, World

BOOKS_AGE = timedelta(seconds=15)
"""How old the books may be in which a person sees what he adopts."""


def adopt(changes: Pass, world: World, command: CommandArrived) -> None:
    """Give an outside quantity to an open run, at a price that a person names; the run's exit takes it out.

    Payload: ``run_id``, ``account_id``, ``symbol``, ``exchange``, ``product``, ``quantity`` (signed units), ``price``
    (₹, above 0). Raises Refused with the reason.
    """
    payload = command.payload
    run, account = _into(changes, world, command)
    instrument = Instrument(
        str(payload["symbol"]), _one_of(Exchange, payload["exchange"]), _one_of(Product, payload["product"])
    )
    key = Key(account.id, *instrument)
    quantity, price = payload["quantity"], payload["price"]
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        raise TypeError(f"quantity: {quantity!r} is not a whole number of units")
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise TypeError(f"price: {price!r} is no amount in ₹")
    price = float(price)
    if quantity == 0:
        raise Refused("The quantity is 0: there is nothing to adopt.")
    if not math.isfinite(price) or price <= 0:
        raise Refused(f"The price must be above ₹ 0, not {payload['price']}.")
    try:
        lot_and_freeze(run, key.symbol)
    except DomainError as error:
        raise Refused(f"{key.symbol} is no contract of run {run.id}: its lot size is not known there.") from error
    if is_over(world, run.venue, key, changes.now):
        raise Refused(f"{key.symbol} has expired.")
    owned = changes.holdings(run.id)[key].quantity if key in changes.holdings(run.id) else 0
    if owned * quantity < 0:
        raise Refused(f"Run {run.id} owns {owned:+} {key.symbol} there: a quantity of the other sign would close it.")
    outside = _outside(changes, account, key)
    if outside * quantity <= 0 or abs(quantity) > abs(outside):
        there = f"{outside:+}" if outside else "nothing"
        where = f"{account.facts.name} holds {there} of {key.symbol} {key.product} outside"
        raise Refused(f"{where}, so {quantity:+} cannot be adopted.")
    _book(changes, run, key, quantity, price, command=command)
    changes.after_commit.append(partial(account.last_change.__setitem__, key, changes.now))
    words = f"Run {run.id} owns {quantity:+} {key.symbol} on {account.facts.name} from now on."
    changes.answer_command(command.id, "done", {"run_id": run.id, "account_id": account.id, "message": words})


def tell_outside(changes: Pass, run: Run, account: Account) -> None:
    """Warn at the entry of every quantity outside that stands against a leg: what fills there counts as closed by it.

    RULES 6 knows only the net: a run that buys 65 where somebody is short 65 by hand owns nothing that could be sold.
    """
    if account.books is None:
        return
    for leg in run.resolved.get("legs", []):
        instrument = Instrument(leg["symbol"], Exchange(leg["exchange"]), Product(run.resolved["product"]))
        outside = changes.drift(Key(account.id, *instrument), account.books.owned(instrument)).outside
        if outside * Action(leg["action"]).sign >= 0:
            continue
        changes.event(
            owner_id=run.owner_id,
            kind="drift",
            action="alert_only",
            message=f"{account.facts.name} holds {outside:+} {instrument.symbol} outside this desk, against a leg of "
            f"run {run.id}: up to {abs(outside)} units of what the run gets there count as closed outside",
            knew={"outside": outside, "product": str(instrument.product), "leg": leg["leg_index"]},
            run_id=run.id,
            account_id=account.id,
        )


def _into(changes: Pass, world: World, command: CommandArrived) -> tuple[Run, Account]:
    """Return the run and the account that shall adopt, or refuse."""
    run_id, account_id = int(command.payload["run_id"]), int(command.payload["account_id"])
    run = next((one for one in changes.open_runs() if one.id == run_id), None)
    if run is None or run.owner_id != command.user_id:
        raise Refused(f"Run {run_id} is not open.")
    row = next((one for one in changes.accounts_of(run_id) if one.account_id == account_id), None)
    account = world.accounts.get(account_id)
    if row is None or account is None:
        raise Refused(f"Run {run_id} has no active account {account_id}.")
    if run.state is RunState.EXITING or changes.active_plan(run_id, account_id) is not None:
        raise Refused(f"Run {run_id} is leaving: it adopts nothing.")
    if run.state is not RunState.OPEN or row.state is not AccountState.ENTERED:
        state = run.state if run.state is not RunState.OPEN else row.state
        raise Refused(f"Run {run_id} is {state} on {account.facts.name}: only an open one adopts.")
    return run, account


def _outside(changes: Pass, account: Account, key: Key) -> int:
    """Return what nobody owns under a key, as books show it that a person can have seen; refuse without such books."""
    books = account.books_since(account.last_change.get(key))
    if books is None or account.books_problem or changes.now - books.begun_at > BOOKS_AGE:
        raise Refused(f"There are no valid books of {account.facts.name} to see it in; try again in a moment.")
    if changes.in_doubt(key):
        raise Refused(f"An order in {key.symbol} is in doubt: nobody knows what is outside until that is cleared.")
    charges = changes.drift(key, books.owned(Instrument(key.symbol, key.exchange, key.product)))
    if charges.by_run:
        raise Refused(f"Something in {key.symbol} was closed outside and is being charged; try again in a moment.")
    return charges.outside


def _book(changes: Pass, run: Run, key: Key, quantity: int, price: float, *, command: CommandArrived) -> None:
    changes.put_charge(
        Charge(
            id=next(changes.ledger.counters.fill),
            execution_id=run.id,
            key=key,
            action=Action.BUY if quantity > 0 else Action.SELL,
            quantity=abs(quantity),
            value_paise=value_paise(price, abs(quantity)),
            estimated=False,
            at=changes.now,
            source="adopted",
        )
    )
    changes.event(
        owner_id=run.owner_id,
        kind="adopted",
        action="alert_only",
        message=f"{command.by} gave {quantity:+} {key.symbol} from outside to run {run.id} at {price:,.2f}",
        knew={"user_id": command.user_id, "quantity": quantity, "price": price, "product": str(key.product)},
        run_id=run.id,
        account_id=key.account_id,
    )


def _one_of(kind: type[Any], word: object) -> Any:
    try:
        return kind(str(word))
    except ValueError as error:
        raise Refused(f"{word} is no {kind.__name__.lower()} of this desk.") from error
