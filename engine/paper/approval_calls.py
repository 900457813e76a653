"""Semi-auto accounts: new orders wait for a person; live ones refuse what would change orders or positions.

A queued order is kept as the endpoint it came to and the values it came with. Approving carries it out once, as if it
had just been sent by an account that does not ask.
"""

from __future__ import annotations

from starlette.responses import Response

from engine.paper.calls import Call, Handler
from engine.paper.wire import Refusal, success

QUEUED = "Order queued for approval in Action Center"
HANDLERS: dict[str, Handler] = {}
"""What carries out an approved order, by the endpoint that it came to."""


def new_order(kind: str, handler: Handler) -> Handler:
    """Return a handler that queues the order of a semi-auto account and carries out any other."""
    HANDLERS[kind] = handler

    def handle(call: Call) -> Response:
        if call.account.semi_auto:
            return queue(call, kind)
        return handler(call)

    return handle


def queue(call: Call, kind: str) -> Response:
    """Queue an order. The answer says success and names no order."""
    queued = call.exchange.queue(call.account, kind, call.values)
    return success(message=QUEUED, mode="semi_auto", pending_order_id=queued.number)


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
