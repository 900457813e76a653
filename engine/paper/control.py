"""The control surface: accounts and books, prices, faults, limits. Loopback only."""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from engine.domain.errors import DomainError
from engine.domain.instruments import Exchange
from engine.paper import bodies, schemas, wire
from engine.paper.app import Rest
from engine.paper.control_accounts import ACCOUNT, ACCOUNTS, APPROVALS, AccountControl
from engine.paper.faults import FAULTS, STREAM_KINDS, scripted
from engine.paper.limits import SCOPES
from engine.paper.schemas import Field, Schema
from engine.paper.storage import PriceControl
from engine.paper.stream import Stream

Values = dict[str, Any]

NONCE_CHARACTERS = range(16, 129)

PRICE: Schema = {
    "symbol": Field(schemas.sized(1, 50), required=False),
    "exchange": Field(schemas.one_of(schemas.EXCHANGE_ORDER), required=False),
    "shift_percent": Field(schemas.number, required=False),
    "ltp": Field(schemas.price, required=False),
    "clear": Field(schemas.boolean, required=False, default=False),
}
RATE_LIMITS: Schema = {
    "enabled": Field(schemas.boolean, required=False),
    "scope": Field(schemas.one_of(SCOPES), required=False),
}
REPLAY: Schema = {"action": Field(schemas.one_of(("start", "hold", "restart")))}


@dataclass(frozen=True, slots=True)
class Control:
    """Changes the exchange from outside. With a token, every call must carry it in X-Control-Token."""

    rest: Rest
    stream: Stream
    token: str | None

    def routes(self) -> list[BaseRoute]:
        """Return the routes below /control/."""
        accounts = AccountControl(self.rest.exchange)
        return [
            self._route("/control/accounts", accounts.accounts, ACCOUNTS),
            self._route("/control/account", accounts.account, ACCOUNT),
            self._route("/control/approvals", accounts.approvals, APPROVALS),
            self._route("/control/price", self.price, PRICE),
            self._route("/control/faults", self.faults, FAULTS),
            self._route("/control/rate_limits", self.rate_limits, RATE_LIMITS),
            self._route("/control/replay", self.replay, REPLAY),
            self._route("/control/books", accounts.books, None),
            self._route("/control/requests", self.requests, None),
            self._route("/control/suffered", self.suffered, None),
            Route("/control/whoami", self.whoami, methods=["GET"]),
        ]

    async def whoami(self, request: Request) -> Response:
        """Prove that this server knows the token, to who must not show it to a stranger: HMAC-SHA256(token, nonce)."""
        nonce = request.query_params.get("nonce", "")
        if not self._is_local(request) or self.token is None:
            return wire.error(403, "The control surface proves its token to loopback clients only, if it has one")
        if len(nonce) not in NONCE_CHARACTERS or not nonce.isascii():
            return wire.error(400, {"nonce": ["16 to 128 letters, digits and signs."]})
        return PlainTextResponse(proof(self.token, nonce), headers={"Cache-Control": "no-store"})

    async def price(self, values: Values) -> Response:
        """Shift an underlying, pin a price, or clear; resting orders are matched and ticks sent at once."""
        exchange = self.rest.exchange
        symbol, segment = values["symbol"], values["exchange"]
        if values["clear"]:
            exchange.prices.clear(symbol, segment)
        else:
            for name in ("symbol", "exchange"):
                if values[name] is None:
                    raise schemas.Invalid({name: [schemas.MISSING]})
            if (values["shift_percent"] is None) == (values["ltp"] is None):
                raise schemas.Invalid({"shift_percent": ["Give either shift_percent or ltp."]})
            kind, value = ("pin", values["ltp"]) if values["ltp"] is not None else ("shift", values["shift_percent"])
            self._check_price(kind, value, symbol, segment)
            exchange.prices.set(PriceControl(kind, symbol, segment, value, exchange.clock()))
        exchange.sweep()
        await self.stream.publish()
        return JSONResponse({"status": "success"})

    async def faults(self, values: Values) -> Response:
        """Let a fault wait for its calls; stream faults happen at once. ``clear`` forgets those that wait."""
        if values["clear"]:
            self.rest.faults.clear()
        fault = scripted(values)
        if fault.kind in STREAM_KINDS:
            await self.stream.suffer(fault)
        else:
            self.rest.script(fault)
        return JSONResponse({"status": "success", "waiting": len(self.rest.faults.waiting)})

    async def rate_limits(self, values: Values) -> Response:
        """Switch the rate limits, or what they are counted by."""
        limits = self.rest.limits
        limits.enabled = limits.enabled if values["enabled"] is None else values["enabled"]
        limits.scope = values["scope"] or limits.scope
        return JSONResponse({"status": "success", "enabled": limits.enabled, "scope": limits.scope})

    async def replay(self, values: Values) -> Response:
        """Start the replay at bar 0 now (``start``, ``restart``) or hold it there."""
        replay = self.rest.exchange.market.replay
        if replay is None:
            raise schemas.Invalid({"action": ["This exchange does not replay a file."]})
        if values["action"] == "hold":
            replay.hold()
        else:
            replay.start()
        await self.stream.publish()
        return JSONResponse({"status": "success", "held": replay.started_at is None})

    async def requests(self, values: Values) -> Response:
        """Order calls of one account in the order of arrival, refused and dropped ones included."""
        account = AccountControl(self.rest.exchange).known(values)
        return JSONResponse(self.rest.log.of(account.api_key))

    async def suffered(self, values: Values) -> Response:
        """Faults that happened to calls of one account: at, kind, endpoint."""
        account = AccountControl(self.rest.exchange).known(values)
        return JSONResponse(self.rest.faults.of(account.api_key))

    def _check_price(self, kind: str, value: float, symbol: str, segment: str) -> None:
        try:
            contract = self.rest.exchange.listing.contract(symbol, Exchange(segment))
        except DomainError as problem:
            raise schemas.Invalid({"symbol": [problem.reason]}) from problem
        if kind == "pin" and value <= 0:
            raise schemas.Invalid({"ltp": ["Must be greater than 0."]})
        if kind == "shift" and (value <= -100 or contract.symbol != contract.underlying):
            raise schemas.Invalid({"shift_percent": ["Must be above -100 and concern an index or a share."]})
        held = self.rest.exchange.market.pinned(contract.underlying)
        if kind == "shift" and held is not None:
            raise schemas.Invalid({"shift_percent": [f"{symbol} is held at {held}: clear it first, or give ltp."]})

    def _route(self, path: str, handler: Callable[[Values], Awaitable[Response]], schema: Schema | None) -> Route:
        call = functools.partial(self._guarded, handler=handler, schema=schema)
        return Route(path, call, methods=["GET" if schema is None else "POST"])

    async def _guarded(
        self, request: Request, *, handler: Callable[[Values], Awaitable[Response]], schema: Schema | None
    ) -> Response:
        if not self._may(request):
            return wire.error(403, "The control surface answers loopback clients with its token only")
        try:
            if schema is None:
                return await handler(dict(request.query_params))
            body = await bodies.read_json(request)
            if schema is FAULTS and isinstance(body, dict) and set(body) == {"clear"}:
                self.rest.faults.clear()
                return JSONResponse({"status": "success", "waiting": 0})
            return await handler(schemas.check(schema, body))
        except wire.Unreadable:
            return wire.unreadable()
        except bodies.TooLarge:
            return bodies.too_large()
        except schemas.Invalid as problem:
            return wire.error(400, problem.errors)

    def _may(self, request: Request) -> bool:
        given = request.headers.get("x-control-token", "")
        known = self.token is None or secrets.compare_digest(given.encode(), self.token.encode())
        return known and self._is_local(request)

    @staticmethod
    def _is_local(request: Request) -> bool:
        host = request.client.host if request.client is not None else ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def proof(token: str, nonce: str) -> str:
    """Return what only a holder of the token can answer to the nonce."""
    return hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()
