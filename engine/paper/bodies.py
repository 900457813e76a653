"""JSON from outside, read so that nothing in it can hurt: its size, its depth, its characters."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.paper.wire import Unreadable

LARGEST_BODY = 1_048_576
LARGEST_DRAINED = 64 * LARGEST_BODY
DEEPEST = 32
READ_SECONDS = 30.0
"""A body that takes longer is not waited for."""


class TooLarge(Exception):  # noqa: N818 - a kind of body, not a fault of ours
    """A body of more bytes than anything that this exchange is asked needs."""


def too_large() -> Response:
    """Return the answer to a body beyond ``LARGEST_BODY``."""
    return JSONResponse({"message": f"The body is larger than {LARGEST_BODY} bytes."}, status_code=413)


def parse(raw: bytes | str) -> Any:
    """Return a JSON text's value. NaN and infinite numbers are taken: fields say what they think of them.

    Raises Unreadable for what is no JSON in UTF-8, for values nested deeper than 32, for half characters (a lone
    surrogate can neither be stored nor sent back) and for whole numbers of thousands of digits.

    >>> parse(b'{"quantity": 1}')
    {'quantity': 1}
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Unreadable from problem
    if text.count("[") + text.count("{") > DEEPEST or "\\u" in text:
        _look_through(value)
    return value


async def read_json(request: Request) -> Any:
    """Return the body's JSON. Raises Unreadable, TooLarge (what comes is taken in first), ClientDisconnect."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= LARGEST_BODY:
                    parts.append(part)
                elif size > LARGEST_DRAINED:
                    break
    except TimeoutError as problem:
        raise Unreadable from problem
    if size > LARGEST_BODY:
        raise TooLarge
    return parse(b"".join(parts))


def _look_through(value: Any) -> None:
    """Raise Unreadable if a text has half characters or the nesting is too deep; no recursion, whatever the depth."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_characters(item)
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise Unreadable


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise Unreadable from problem
