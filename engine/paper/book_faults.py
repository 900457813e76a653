"""Faults of what books show: nothing, too little, too old."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.paper.fault_script import Fault, InHand
from engine.paper.orders import NORMAL

OK = 200


async def empty_book(call: InHand, _: Fault) -> Response:
    """Show a book with nothing in it: 200, as plugins answer when the broker refused."""
    return _changed(call.answer(NORMAL), _emptied, lambda lines: lines[:1])


async def smaller_book(call: InHand, _: Fault) -> Response:
    """Show a book without its last row: 200."""
    return _changed(call.answer(NORMAL), _shortened, lambda lines: lines[:1] + lines[1:-1])


async def old_book(call: InHand, fault: Fault) -> Response:
    """Show the book as it was ``seconds`` ago, of the answers that were given; as it is if there were none."""
    response = call.answer(NORMAL)
    if response.status_code != OK or call.account is None:
        return response
    before = call.exchange.clock() - fault.seconds
    body = call.history.before(call.account.book, call.endpoint.name, before)
    return response if body is None else Response(body, media_type="application/json")


KINDS = (empty_book, smaller_book, old_book)


def _changed(
    response: Response, change: Callable[[dict[str, Any]], dict[str, Any]], cut: Callable[[list[bytes]], list[bytes]]
) -> Response:
    """Return a success with another body: JSON is changed, of CSV lines are cut, the first of which names columns."""
    if response.status_code != OK:
        return response
    if "json" in response.headers["content-type"]:
        return JSONResponse(change(json.loads(bytes(response.body))))
    lines = bytes(response.body).splitlines(keepends=True)
    return Response(b"".join(cut(lines)), headers={"content-type": response.headers["content-type"]})


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


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body less one row; totals and counts keep saying what they said."""
    match body.get("data"):
        case list() as rows:
            del rows[-1:]
        case {"orders": list() as rows} | {"holdings": list() as rows}:
            del rows[-1:]
    return body
