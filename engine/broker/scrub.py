"""Keeping the api key out of everything that comes back: servers and proxies echo requests."""

from __future__ import annotations

import json
from typing import Any

MASK = "[api key]"


def scrub(text: str, secret: str) -> str:
    """Return the text with the secret masked.

    >>> scrub("bad key k-123!", "k-123")
    'bad key [api key]!'
    """
    return text.replace(secret, MASK) if secret else text


def decode_json(body: bytes, *, secret: str = "") -> Any:
    r"""Return the body's JSON with the secret masked in every text of it; raises ValueError if it is not JSON.

    Escapes (``\u0061``, ``\/``) can hide a key from a search of the raw bytes, so a body with a backslash is always
    searched after decoding. Nesting beyond the interpreter's depth counts as not JSON.

    >>> decode_json(b'{"message": "key k-123 is bad"}', secret="k-123")
    {'message': 'key [api key] is bad'}
    """
    try:
        value = json.loads(body)
        if secret and (secret.encode() in body or b"\\" in body or body[:2].count(0) or not body.isascii()):
            value = masked(value, secret)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("not JSON") from None
    return value


def masked(value: Any, secret: str) -> Any:
    """Return decoded JSON with the secret masked in every text of it."""
    match value:
        case str():
            return scrub(value, secret)
        case list():
            return [masked(item, secret) for item in value]
        case dict():
            return {scrub(key, secret): masked(item, secret) for key, item in value.items()}
        case _:
            return value
