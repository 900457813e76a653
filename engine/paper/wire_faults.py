"""Faults between the client and the exchange: connections, gateways and bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.paper.connections import TRANSPORT
from engine.paper.fault_script import Fault, InHand
from engine.paper.orders import NORMAL
from engine.paper.wire import too_many

STEPS = 200
"""A slow body of more bytes than this comes in so many pieces."""
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>OpenAlgo</title></head><body>Please log in.</body></html>"


class Cut(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the transport and let the server notice."""
        await _abort(scope)


class HalfBody(Response):
    """An answer that ends in the middle of its body: the headers promise the whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the headers and the first half, then abort the transport."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _abort(scope)


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


async def bad_gateway(call: InHand, _: Fault) -> Response:
    """Everything happens and a proxy answers 502 with its page."""
    call.answer(NORMAL)
    return HTMLResponse("<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>", 502)


async def garbage(call: InHand, _: Fault) -> Response:
    """Everything happens and the body cannot be read."""
    call.answer(NORMAL)
    return Response('{"status": "succ', media_type="application/json")


async def wrong_content_type(call: InHand, _: Fault) -> Response:
    """Everything happens and a page of a login comes with 200."""
    call.answer(NORMAL)
    return HTMLResponse(LOGIN_PAGE)


async def slow_body(call: InHand, fault: Fault) -> Response:
    """Everything happens; the headers come at once, the body piece by piece over ``seconds``."""
    answer = call.answer(NORMAL)
    headers = {"content-type": answer.headers["content-type"], "content-length": str(len(answer.body))}
    return StreamingResponse(_pieces(bytes(answer.body), fault.seconds), answer.status_code, headers)


async def half_body(call: InHand, _: Fault) -> Response:
    """Everything happens and the connection is cut in the middle of the body."""
    answer = call.answer(NORMAL)
    return HalfBody(bytes(answer.body), answer.status_code, headers={"content-type": answer.headers["content-type"]})


async def rate_limit_429(_: InHand, __: Fault) -> Response:
    """Nothing happens: too many calls, in the words of OpenAlgo's own limit."""
    return too_many("10 per 1 second")


KINDS = (
    drop_before,
    drop_after,
    delay,
    late,
    bad_gateway,
    garbage,
    wrong_content_type,
    slow_body,
    half_body,
    rate_limit_429,
)


async def _pieces(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    size = max(-(-len(body) // STEPS), 1)
    pause = seconds * size / max(len(body), 1)
    for start in range(0, len(body), size):
        await asyncio.sleep(pause)
        yield body[start : start + size]


async def _abort(scope: Scope) -> None:
    scope[TRANSPORT].abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
