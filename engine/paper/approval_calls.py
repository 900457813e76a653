"""Semi-auto accounts: new orders wait for a person; live ones refuse what would change orders or positions.

A queued order is kept as the endpoint it came to and the values it came with. Approving carries it out once, as if it
had just been sent by an account that does not ask.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from engine.paper.accounts import Account, Token
from engine.paper.approvals import Queued
from engine.paper.calls import Call, Handler
from engine.paper.exchange import PaperExchange
from engine.paper.wire import Refusal, success

QUEUED = "Order queued for approval in Action Center"
HANDLERS: dict[str, Handler] = {}
"""What carries out an approved order, by the endpoint that it came to."""


@dataclass(frozen=True, slots=True)
class Approved(Call):
    """A queued call when it is carried out, for the account in the mode in which it came."""

    granted: Account | None = None

    @property
    def account(self) -> Account:
        """The account that was granted the order."""
        assert self.granted is not None
        return self.granted


def new_order(kind: str, handler: Handler) -> Handler:
    """Return a handler that queues the order of a semi-auto account and carries out any other."""
    HANDLERS[kind] = handler

    def handle(call: Call) -> Response:
        account = call.exchange.accounts.get(call.values["apikey"])
        if account is None or account.token is Token.REVOKED or not account.semi_auto:
            return handler(call)
        number = call.exchange.queue(account, kind, call.values)
        return success(message=QUEUED, mode="semi_auto", pending_order_id=number)

    return handle


def register(exchange: PaperExchange) -> None:
    """Tell the exchange how approved orders are carried out, also those that were queued before it was started."""
    for kind, handler in HANDLERS.items():
        exchange.approvals.register(kind, partial(_carry_out, exchange, handler))


def _carry_out(exchange: PaperExchange, handler: Handler, queued: Queued) -> str:
    """Return the ids that an approved order led to, separated by spaces. Raises Refusal."""
    account = exchange.account_of(queued.api_key, queued.face)
    response = handler(Approved(exchange, queued.payload, granted=account))
    body = json.loads(bytes(response.body))
    rows = [body, *body.get("results", [])]
    rows += [piece for row in body.get("results", []) for piece in row.get("results", [])]
    return " ".join(str(row[name]) for row in rows for name in ("orderid", "trigger_id") if name in row)


def blocked_when_queued(operation: str, purpose: str, handler: Handler) -> Handler:
    """Return a handler that refuses (403) in a live semi-auto account; the sandbox lets it through."""

    def handle(call: Call) -> Response:
        if call.account.semi_auto and not call.face.analyze_mode:
            raise Refusal(
                403,
                f"{operation} operation is not allowed in Semi-Auto mode. Please switch to Auto mode to {purpose}.",
            )
        return handler(call)

    return handle
