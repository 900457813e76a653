"""Routes: OpenAlgo's REST below /api/v1/, the websocket at / and /ws, control below /control/."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from engine.paper import (
    account_calls,
    approval_calls,
    bodies,
    broker_prices,
    bulk_calls,
    calendar_calls,
    data_calls,
    gtt_calls,
    option_order_calls,
    order_calls,
    schemas,
    smart_calls,
    wire,
)
from engine.paper.accounts import Token
from engine.paper.call_log import CallLog
from engine.paper.calls import Call, Endpoint
from engine.paper.exchange import PaperExchange
from engine.paper.faces import DEFAULT_FACE, FACES
from engine.paper.fault_script import ANY, Fault, FaultBook, InHand, Suffered
from engine.paper.faults import KINDS
from engine.paper.history import BOOKS, History
from engine.paper.limits import RateLimits
from engine.paper.orders import NORMAL, Treatment
from engine.paper.stream import Stream

PREFIX = "/api/v1/"
MODULES = (
    account_calls,
    order_calls,
    bulk_calls,
    smart_calls,
    option_order_calls,
    gtt_calls,
    data_calls,
    calendar_calls,
)
ENDPOINTS: dict[str, Endpoint] = {endpoint.name: endpoint for module in MODULES for endpoint in module.ENDPOINTS}


@dataclass(slots=True)
class Rest:
    """OpenAlgo's REST over one exchange, with its limits, faults and the log of order calls.

    ``monotonic`` is the clock of the limits, in seconds.
    """

    exchange: PaperExchange
    limits: RateLimits = field(default_factory=RateLimits)
    faults: FaultBook = field(default_factory=FaultBook)
    history: History = field(default_factory=History)
    log: CallLog = field(default_factory=CallLog)
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Let the exchange carry out what is approved."""
        approval_calls.register(self.exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of any method: a route for functions would know a few only."""
        response = await self.serve(Request(scope, receive))
        await response(scope, receive, send)

    def script(self, fault: Fault) -> None:
        """Let a fault wait for its calls. Raises Invalid for an endpoint that is not served."""
        if fault.endpoint != ANY and fault.endpoint not in ENDPOINTS:
            raise schemas.Invalid({"endpoint": [f"Must be {ANY} or one of: {', '.join(ENDPOINTS)}."]})
        self.faults.add(fault)

    async def serve(self, request: Request) -> Response:
        """Answer one request."""
        path = request.scope["path"]
        endpoint = _endpoint(path)
        if endpoint is None or request.method != endpoint.method:
            return wire.not_found(path)
        problem: Response | None = None
        body: object = None
        try:
            body = _query(request, endpoint) if endpoint.method == "GET" else await bodies.read_json(request)
        except wire.Unreadable:
            problem = wire.unreadable()
        except bodies.TooLarge:
            problem = bodies.too_large()
        except ClientDisconnect:
            return wire.unreadable()  # gone before the body came: nothing was asked
        row = body if isinstance(body, dict) else {}
        api_key = row.get("apikey", "")
        api_key = api_key if isinstance(api_key, str) else ""
        address = request.client.host if request.client is not None else ""
        known = api_key if api_key in self.exchange.accounts else ""
        is_logged = endpoint.is_order and known
        logged = self.log.add(self.exchange.clock(), endpoint.name, known, row) if is_logged else None
        limit = self.limits.refused(address, endpoint.name, known, self.monotonic())
        if limit is not None:
            response = wire.too_many(limit)
        elif endpoint.method != "GET" and not _is_json(request):
            response = wire.unexpected(order_call=endpoint.is_order)
        elif problem is not None:
            response = problem
        else:
            response = await self._answer(request, endpoint, api_key, body)
        if logged is not None:
            logged.status_code = response.status_code
        return response

    async def _answer(self, request: Request, endpoint: Endpoint, api_key: str, body: object) -> Response:
        fault = self.faults.take(endpoint.name, api_key, body if isinstance(body, dict) else {})
        if fault is None:
            return self._carry_out(endpoint, api_key, body, NORMAL)
        account = self.exchange.accounts.get(api_key)
        self.faults.suffered.append(Suffered(self.exchange.clock(), fault.kind, endpoint.name, api_key))
        call = InHand(
            request,
            endpoint,
            _read(endpoint, body),
            None if account is None or account.token is Token.REVOKED else account,
            self.exchange,
            self.history,
            lambda treatment: self._carry_out(endpoint, api_key, body, treatment),
        )
        return await KINDS[fault.kind](call, fault)

    def _carry_out(self, endpoint: Endpoint, api_key: str, body: object, treatment: Treatment) -> Response:
        account = self.exchange.accounts.get(api_key)
        tag = FACES[account.face if account is not None else DEFAULT_FACE].tag()
        if account is not None:
            account.calls += 1
        try:
            values = schemas.check(endpoint.schema, body)
        except schemas.Invalid as problem:
            return wire.invalid(problem.errors, endpoint.shape, mode=tag.get("mode"))
        try:
            broker_prices.require(account, endpoint.name, values)
            response = endpoint.handler(Call(self.exchange, values, treatment))
        except wire.Refusal as refusal:
            marked = tag if endpoint.tagged and refusal.message != wire.BAD_KEY else {}
            return wire.error(refusal.status_code, refusal.message, **marked, **refusal.fields)
        if account is not None and endpoint.name in BOOKS:
            self.history.keep(account.book, endpoint.name, bytes(response.body), self.exchange.clock())
        return response


def _read(endpoint: Endpoint, body: object) -> dict[str, Any] | None:
    """Return the values of a body, None if it does not fit the endpoint's schema."""
    try:
        return schemas.check(endpoint.schema, body)
    except schemas.Invalid:
        return None


def _endpoint(path: str) -> Endpoint | None:
    return ENDPOINTS.get(path.removeprefix(PREFIX).rstrip("/")) if path.startswith(PREFIX) else None


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _query(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """Return the fields of a GET: the first text of each known name, null where a required one is missing."""
    given = dict(reversed(request.query_params.multi_items()))
    return {name: given.get(name) for name, wanted in endpoint.schema.items() if wanted.required or name in given}


async def _unexpected(request: Request, _: Exception) -> Response:
    """Answer 500 in OpenAlgo's JSON; the server logs what happened."""
    endpoint = _endpoint(request.scope["path"])
    return wire.unexpected(order_call=endpoint is not None and endpoint.is_order)


def build(rest: Rest, stream: Stream, control: list[BaseRoute]) -> Starlette:
    """Return the ASGI application. ``control`` are the routes of the control surface, none if it is off."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with stream.running():
            yield

    return Starlette(
        routes=[
            *control,
            WebSocketRoute("/", stream.serve),
            WebSocketRoute("/ws", stream.serve),
            Route("/{path:path}", rest),
        ],
        exception_handlers={Exception: _unexpected},
        lifespan=lifespan,
    )
