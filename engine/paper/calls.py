"""One REST call and what every handler of it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from engine.paper.accounts import Account, Token
from engine.paper.exchange import PaperExchange
from engine.paper.faces import FACES, Face
from engine.paper.orders import NORMAL, Treatment
from engine.paper.schemas import Schema
from engine.paper.wire import BAD_KEY, ErrorShape, Refusal

BROKER = "paper"


@dataclass(frozen=True, slots=True)
class Call:
    """A validated request: ``values`` are read by the endpoint's schema, ``treatment`` is what a fault does to it."""

    exchange: PaperExchange
    values: dict[str, Any]
    treatment: Treatment = NORMAL

    @property
    def account(self) -> Account:
        """The account of the key. Raises Refusal (403) if there is none, and if its session is revoked."""
        account = self.exchange.accounts.get(self.values["apikey"])
        if account is None or account.token is Token.REVOKED:
            raise Refusal(403, BAD_KEY)
        return account

    @property
    def face(self) -> Face:
        """The face of the account."""
        return FACES[self.account.face]


Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below /api/v1/: fields, form of its validation errors, handler.

    ``is_order`` marks calls that may change orders: they are logged for the test oracle. ``tagged`` ones put the mode
    beside a refusal. A ``method`` of GET takes its fields from the query: texts, null for a required one that is
    missing, nothing for names that the schema does not know.
    """

    name: str
    schema: Schema
    handler: Handler
    shape: ErrorShape = ErrorShape.OBJECT
    is_order: bool = False
    tagged: bool = False
    method: str = "POST"


def order_endpoint(
    name: str, schema: Schema, handler: Handler, shape: ErrorShape = ErrorShape.TEXT_WITH_MODE
) -> Endpoint:
    """Return the endpoint of a call that changes orders: it is logged, and its refusals name the mode."""
    return Endpoint(name, schema, handler, shape, is_order=True, tagged=True)
