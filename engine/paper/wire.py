"""OpenAlgo's wire: answer shapes and the three different forms of a validation error."""

from __future__ import annotations

from enum import Enum

from starlette.responses import JSONResponse, Response

BAD_KEY = "Invalid openalgo apikey"
UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."


class ErrorShape(Enum):
    """How an endpoint words a validation error (openalgo-contract, "Error shapes")."""

    OBJECT = "object"
    TEXT = "text"
    TEXT_WITH_MODE = "text with mode"
    CHAIN = "chain"


class Refusal(Exception):  # noqa: N818 - the exchange's word for it
    """A request that the exchange declines: HTTP status, OpenAlgo's message, further top-level fields."""

    def __init__(self, status_code: int, message: object, **fields: object) -> None:
        super().__init__(str(message))
        self.status_code = status_code
        self.message = message
        self.fields = fields


class Unreadable(Exception):  # noqa: N818 - a kind of body, not a fault of ours
    """A body that is not JSON."""


def success(**fields: object) -> JSONResponse:
    """200 with ``status`` success and the given top-level fields."""
    return JSONResponse({**fields, "status": "success"})


def error(status_code: int, message: object, **fields: object) -> JSONResponse:
    """Return an error in OpenAlgo's JSON."""
    return JSONResponse({**fields, "message": message, "status": "error"}, status_code=status_code)


def not_found(path: str) -> Response:
    """Unknown path or wrong method: always 404, never 405."""
    return error(404, "Not found", path=path)


def unreadable() -> Response:
    """Return the answer to a body that is not JSON: no ``status`` field."""
    return JSONResponse({"message": UNREADABLE}, status_code=400)


def unexpected(*, order_call: bool) -> Response:
    """Return the answer to a wrong content type."""
    where = " in the API endpoint" if order_call else ""
    return error(500, f"An unexpected error occurred{where}")


def too_many(limit: str) -> Response:
    """429: no ``status`` field, no header that says when to come back."""
    return JSONResponse({"message": limit}, status_code=429)


def invalid(errors: object, shape: ErrorShape, *, mode: str | None) -> Response:
    """Return a validation error in the endpoint's own form."""
    match shape:
        case ErrorShape.OBJECT:
            return error(400, errors)
        case ErrorShape.TEXT:
            return error(400, str(errors))
        case ErrorShape.TEXT_WITH_MODE:
            tag = {} if mode is None else {"mode": mode}
            return error(400, str(errors), **tag)
        case ErrorShape.CHAIN:
            return error(400, "Validation error", errors=errors)
