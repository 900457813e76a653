"""Keeping the api key out of everything that comes back: servers and proxies echo requests, also encoded."""

from __future__ import annotations

import html.entities
import json
import re
from typing import Any

MASK = "[api key]"
_ENCODING_MARKS = "%\\&"
"""Without one of these no encoded form of a key can be in a text: the plain search is enough."""

_ENTITIES: dict[str, list[str]] = {}
for _name, _code in html.entities.name2codepoint.items():
    _ENTITIES.setdefault(chr(_code), []).append(_name)


class Secret:
    """An api key that no repr, no log line and no traceback shows; ``reveal`` gives it to the wire."""

    __slots__ = ("_echoes", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._echoes = re.compile("".join(_echo(letter) for letter in value), re.IGNORECASE) if value else None

    def __repr__(self) -> str:
        return MASK

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    def scrub(self, text: str) -> str:
        r"""Return the text with the key masked, plain, percent-encoded, JSON- or HTML-escaped.

        >>> Secret("k/12").scrub(r"no k/12, k%2F12, %6b%2f12, k\/12, k\u002f12, k&#47;12")
        'no [api key], [api key], [api key], [api key], [api key], [api key]'
        """
        if self._echoes is None:
            return text
        text = text.replace(self._value, MASK)
        return self._echoes.sub(MASK, text) if any(mark in text for mark in _ENCODING_MARKS) else text

    def may_be_in(self, text: str | bytes) -> bool:
        """Whether a search of the decoded text is due; False is proof that no form of the key is in it."""
        if isinstance(text, str):
            return self._value in text or any(mark in text for mark in _ENCODING_MARKS) or not self._value.isascii()
        marks = any(mark.encode() in text for mark in _ENCODING_MARKS)
        return self._value.encode() in text or marks or text[:2].count(0) > 0 or not text.isascii()


def scrub(text: str, secret: str) -> str:
    """Return the text with the secret masked.

    >>> scrub("bad key k-123!", "k-123")
    'bad key [api key]!'
    """
    return Secret(secret).scrub(text)


def decode_json(body: bytes, *, secret: Secret | None = None) -> Any:
    r"""Return the body's JSON with the secret masked in every text of it; raises ValueError if it is not JSON.

    Escapes (``\u0061``, ``\/``) can hide a key from a search of the raw bytes, so a body with a backslash is always
    searched after decoding. Nesting beyond the interpreter's depth counts as not JSON.

    >>> decode_json(b'{"message": "key k-123 is bad"}', secret=Secret("k-123"))
    {'message': 'key [api key] is bad'}
    """
    try:
        value = json.loads(body)
        if secret is not None and secret.may_be_in(body):
            value = masked(value, secret)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("not JSON") from None
    return value


def masked(value: Any, secret: Secret) -> Any:
    """Return decoded JSON with the secret masked in every text of it."""
    match value:
        case str():
            return secret.scrub(value)
        case list():
            return [masked(item, secret) for item in value]
        case dict():
            return {secret.scrub(key): masked(item, secret) for key, item in value.items()}
        case _:
            return value


def _echo(letter: str) -> str:
    """Return a pattern of the ways in which one letter of a key comes back, also encoded more than once.

    Letters' case counts only in the plain form: the search ignores it, which masks too much rather than too little.
    """
    forms = [
        re.escape(letter),
        "".join(f"%(?:25){{0,3}}{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass")),
    ]
    units = letter.encode("utf-16-be", "surrogatepass")
    forms.append("".join(rf"\\{{1,4}}u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)))
    forms += [rf"&\#0*{ord(letter)};", rf"&\#x0*{ord(letter):x};"]
    forms += [f"&{name};" for name in _ENTITIES.get(letter, [])]
    if not letter.isalnum():
        forms.append(r"\\{1,4}" + re.escape(letter))
    if letter == " ":
        forms.append(r"\+")
    return "(?:" + "|".join(forms) + ")"
