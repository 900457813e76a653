"""Fault scripts: what can go wrong between a client and its broker, on request, call by call.

One registry: a kind is a coroutine that gets the call in hand and answers in its own way. Kinds that concern the
websocket are carried out by the stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from engine.paper.orders import NORMAL, Treatment
from engine.paper.wire import error, too_many

TRANSPORT = "paper.transport"
"""Where the server puts a connection's transport into the scope."""
STREAM_KINDS = frozenset({"stream_silence", "stream_cut"})
ANY = "*"
OK = 200


@dataclass(slots=True)
class Fault:
    """A fault for the next ``count`` calls of an endpoint (``*``: any), of one account or of all.

    ``seconds`` is how long a delay, a late arrival or a silence takes; ``fraction`` is what a clipped order fills;
    ``message`` is the reason of a rejection.
    """

    kind: str
    endpoint: str
    api_key: str | None
    count: int
    seconds: float
    fraction: float
    message: str


@dataclass(slots=True)
class InHand:
    """A call that a fault decides about. ``answer`` carries it out and gives the regular response."""

    request: Request
    endpoint: str
    answer: Callable[[Treatment], Response]


class Cut(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the transport and let the server notice."""
        scope[TRANSPORT].abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


Kind = Callable[[InHand, Fault], Awaitable[Response]]


async def drop_before(_: InHand, __: Fault) -> Response:
    """Nothing happens and the connection is cut."""
    return Cut()


async def drop_after(call: InHand, _: Fault) -> Response:
    """Everything happens and the connection is cut."""
    call.answer(NORMAL)
    return Cut()


async def delay(call: InHand, fault: Fault) -> Response:
    """Carry the call out ``seconds`` later."""
    await asyncio.sleep(fault.seconds)
    return call.answer(NORMAL)


async def late(call: InHand, fault: Fault) -> Response:
    """Carry the call out ``seconds`` after the client left; one that stays so long gets its answer."""
    try:
        await asyncio.wait_for(call.request.receive(), fault.seconds)
    except TimeoutError:
        return call.answer(NORMAL)
    await asyncio.sleep(fault.seconds)
    return call.answer(NORMAL)


async def reject(call: InHand, fault: Fault) -> Response:
    """Record the order as rejected: 400 with an order id."""
    return call.answer(Treatment(reject=fault.message or "Order rejected by the exchange"))


async def clip(call: InHand, fault: Fault) -> Response:
    """Only whole lots within ``fraction`` fill, never all; the rest waits until it is modified or cancelled."""
    return call.answer(Treatment(clip=fault.fraction))


async def error_500(_: InHand, fault: Fault) -> Response:
    """Nothing happens: 500 in OpenAlgo's JSON, which does not say so."""
    return error(500, fault.message or "Failed to place order: the broker did not answer")


async def bad_gateway(call: InHand, _: Fault) -> Response:
    """Everything happens and a proxy answers 502 with its page."""
    call.answer(NORMAL)
    return HTMLResponse("<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>", 502)


async def null_orderid(call: InHand, _: Fault) -> Response:
    """Everything happens and the answer names no order."""
    response = call.answer(NORMAL)
    if response.status_code != OK:
        return response
    return JSONResponse({**json.loads(bytes(response.body)), "orderid": None})


async def empty_book(call: InHand, _: Fault) -> Response:
    """Show a book with nothing in it: 200, as plugins answer when the broker refused."""
    response = call.answer(NORMAL)
    if response.status_code != OK:
        return response
    return JSONResponse(_emptied(json.loads(bytes(response.body))))


async def garbage(call: InHand, _: Fault) -> Response:
    """Everything happens and the body cannot be read."""
    call.answer(NORMAL)
    return Response('{"status": "succ', media_type="application/json")


async def rate_limit_429(_: InHand, __: Fault) -> Response:
    """Nothing happens: too many calls."""
    return too_many("10 per 1 second")


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        drop_before,
        drop_after,
        delay,
        late,
        reject,
        clip,
        error_500,
        bad_gateway,
        null_orderid,
        empty_book,
        garbage,
        rate_limit_429,
    )
}


@dataclass(slots=True)
class FaultBook:
    """Faults that wait for their calls, first come first served."""

    waiting: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Let a fault wait."""
        self.waiting.append(fault)

    def clear(self) -> None:
        """Forget all."""
        self.waiting.clear()

    def take(self, endpoint: str, api_key: str) -> Fault | None:
        """Return the fault for this call, counted down, or None."""
        for fault in self.waiting:
            if fault.endpoint in (ANY, endpoint) and fault.api_key in (None, api_key):
                fault.count -= 1
                if fault.count <= 0:
                    self.waiting.remove(fault)
                return fault
        return None


def _emptied(body: dict[str, Any]) -> dict[str, Any]:
    data = body.get("data")
    match data:
        case list():
            body["data"] = []
        case {"orders": _, "statistics": statistics}:
            body["data"] = {"orders": [], "statistics": dict.fromkeys(statistics, 0)}
        case dict():
            body["data"] = {}
    for name in body:
        if name.startswith("total_"):
            body[name] = 0.0
    return body
