"""What a person says or decides of orders and positions: declared, taken over by hand, adopted (RULES 5 to 7).

Each is one command with an idempotency key and never expires. Ownership and every field are checked here, with an
error that names the field; whether the present state allows it, the engine judges once more when it takes the command.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from sqlmodel import Session, select

from engine.domain.instruments import Exchange, Product
from engine.domain.orders import TERMINAL, OrderState
from engine.domain.runs import RUN_ENDED, AccountState
from engine.services.commands import command_of, enqueue
from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.identity import Caller, require
from engine.services.views import CommandView
from engine.store.database import Database
from engine.store.tables import ExecutionAccount, Order, Role, StrategyExecution, TradingAccount

DECLARED = ("filled", "working", "cancelled", "rejected", "not_received")
"""What a person may say became of an order."""

LARGEST_QUANTITY = 10_000_000
LARGEST_PRICE = 10_000_000.0
LONGEST_ID = 64

_OUT = frozenset({AccountState.SKIPPED, AccountState.FLAT})


def declare_order(
    database: Database,
    caller: Caller,
    *,
    order_id: int,
    state: str,
    quantity: int | None,
    price: float | None,
    orderid: str | None,
    key: str,
    now: datetime,
) -> CommandView:
    """Say what became of an order in doubt, by name (RULES 5).

    ``filled``: all of it, at ``price`` (average, ₹). ``cancelled``: ended by the broker after ``quantity`` (0 if None)
    units filled at ``price``. ``working``: the broker holds it as ``orderid``; all but ``not_received`` may name it.
    Raises InvalidInput naming the field, NotFound for another's order, Refused when its fate is known.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        if (known := command_of(session, caller, "declare_order", key, now)) is not None:
            return known
        order = session.get(Order, order_id)
        run = None if order is None else session.get(StrategyExecution, order.execution_id)
        if order is None or run is None or run.owner_id != caller.user_id:
            raise NotFound(f"There is no order {order_id}.")
        payload = {"order_id": order_id, **_declaration(order, state, quantity, price, orderid)}
        if order.state in TERMINAL or order.state == OrderState.PLANNED:
            word = str(order.state).replace("_", " ")
            raise Refused(f"Order {order_id} is {word}: what became of it is known, there is nothing to declare.")
        return _enqueued(session, caller, "declare_order", payload, key=key, now=now)


def take_over(
    database: Database, caller: Caller, *, run_id: int, account_id: int, key: str, now: datetime
) -> CommandView:
    """Take a run's positions on one account into one's own hands: the engine sends nothing more for them there.

    Raises NotFound for another's run or an account that is not part of it, Refused when it has ended there.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        if (known := command_of(session, caller, "take_over", key, now)) is not None:
            return known
        run = _open_run(session, caller, run_id)
        row = session.exec(
            select(ExecutionAccount).where(
                ExecutionAccount.execution_id == run.id, ExecutionAccount.account_id == account_id
            )
        ).one_or_none()
        if row is None:
            raise NotFound(f"Run {run_id} has no account {account_id}.")
        if row.state is AccountState.TAKEN_OVER:
            raise Refused(f"Run {run_id} is taken over by hand on this account already.")
        if row.state in _OUT:
            raise Refused(f"Run {run_id} has ended on this account: there is nothing to take over.")
        return _enqueued(session, caller, "take_over", {"run_id": run_id, "account_id": account_id}, key=key, now=now)


def adopt(
    database: Database,
    caller: Caller,
    *,
    run_id: int,
    account_id: int,
    symbol: str,
    exchange: str,
    product: str,
    quantity: int,
    price: float,
    key: str,
    now: datetime,
) -> CommandView:
    """Take a quantity that nobody here owns into an open run, at a price (₹) that its P is counted from (RULES 6).

    ``quantity`` is signed. Raises InvalidInput naming the field, NotFound for another's run or account.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        if (known := command_of(session, caller, "adopt", key, now)) is not None:
            return known
        run = _open_run(session, caller, run_id)
        account = session.get(TradingAccount, account_id)
        if account is None or account.owner_id != caller.user_id:
            raise NotFound(f"There is no account {account_id}.")
        if account.venue != run.venue:
            raise InvalidInput("account", f"{account.name} is at another exchange than run {run_id}")
        units = _units("quantity", quantity, least=-LARGEST_QUANTITY, most=LARGEST_QUANTITY)
        if not units:
            raise InvalidInput("quantity", "it must not be 0: above 0 for what is owned, below 0 for what is owed")
        payload = {
            "run_id": run_id,
            "account_id": account_id,
            "symbol": _text("symbol", symbol),
            "exchange": _one_of("exchange", exchange, Exchange),
            "product": _one_of("product", product, Product),
            "quantity": units,
            "price": _price("price", price),
        }
        return _enqueued(session, caller, "adopt", payload, key=key, now=now)


def _declaration(
    order: Order, state: str, quantity: int | None, price: float | None, orderid: str | None
) -> dict[str, Any]:
    """Return the checked fields of a declaration; what the state does not take must not be given."""
    if state not in DECLARED:
        raise InvalidInput("state", f"it must be one of {', '.join(DECLARED)}")
    given: dict[str, Any] = {"state": state, "quantity": None, "price": None, "orderid": None}
    match state:
        case "filled":
            whole = order.quantity if quantity is None else quantity
            given["quantity"] = _units("quantity", whole, least=1, most=order.quantity)
            if given["quantity"] < order.quantity:
                raise InvalidInput(
                    "quantity",
                    f"the order was for {order.quantity}: one that filled in part still works or was cancelled",
                )
            given["price"] = _price("price", price)
            given["orderid"] = None if orderid is None else _text("orderid", orderid)
        case "working":
            given["orderid"] = _text("orderid", orderid)
            _empty(state, quantity=quantity, price=price)
        case "cancelled":
            units = _units("quantity", quantity or 0, least=order.filled_quantity, most=order.quantity - 1)
            given["quantity"] = units
            if units > order.filled_quantity:
                given["price"] = _price("price", price)
            else:
                _empty("cancelled with nothing more filled", price=price)
            given["orderid"] = None if orderid is None else _text("orderid", orderid)
        case "rejected":
            _none_filled(order)
            _empty(state, quantity=quantity, price=price)
            given["orderid"] = None if orderid is None else _text("orderid", orderid)
        case _:
            _none_filled(order)
            _empty(state, quantity=quantity, price=price, orderid=orderid)
    return given


def _none_filled(order: Order) -> None:
    if order.filled_quantity:
        raise InvalidInput("state", f"{order.filled_quantity} of it filled: it was received, and not rejected whole")


def _empty(state: str, **fields: object) -> None:
    for name, value in fields.items():
        if value is not None:
            raise InvalidInput(name, f"an order that is {state.replace('_', ' ')} has none")


def _units(field: str, value: object, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(field, "it must be a whole number of units")
    if not least <= value <= most:
        raise InvalidInput(field, f"it must be from {least} to {most}")
    return value


def _price(field: str, value: object) -> float:
    if value is None:
        raise InvalidInput(field, "say at which average price it filled (₹)")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(field, "it must be a number (₹)")
    if not math.isfinite(value):
        raise InvalidInput(field, "it must be a finite number (₹)")
    if not 0 < value <= LARGEST_PRICE:
        raise InvalidInput(field, f"it must be above 0 and at most {LARGEST_PRICE:,.0f} (₹)")
    return float(value)


def _text(field: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= LONGEST_ID or not text.isprintable():
        raise InvalidInput(field, f"it must have 1 to {LONGEST_ID} characters")
    return text


def _one_of(field: str, value: object, kind: type[Exchange | Product]) -> str:
    known = [str(one) for one in kind]
    if value not in known:
        raise InvalidInput(field, f"it must be one of {', '.join(known)}")
    return str(value)


def _open_run(session: Session, caller: Caller, run_id: int) -> StrategyExecution:
    run = session.get(StrategyExecution, run_id)
    if run is None or run.owner_id != caller.user_id:
        raise NotFound(f"There is no run {run_id}.")
    if run.state in RUN_ENDED:
        raise Refused(f"Run {run_id} is not open.")
    return run


def _enqueued(
    session: Session, caller: Caller, kind: str, payload: dict[str, Any], *, key: str, now: datetime
) -> CommandView:
    enqueue(session, caller, kind=kind, payload=payload, key=key, valid_for=None, now=now)
    written = command_of(session, caller, kind, key, now)
    assert written is not None  # it was written in this transaction
    return written
