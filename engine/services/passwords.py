"""Passwords: what is asked of them, and how they are kept.

bcrypt ends at 72 bytes, so it is given base64(sha256(password)). The ``bcrypt`` package is used directly and not
through streamlit_authenticator's Hasher, which is the same bcrypt call: importing that package imports Streamlit, and
the engine and the command line run without it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

import bcrypt

from engine.services.errors import InvalidInput

COST = 12
"""bcrypt's work factor: about a quarter of a second."""
SHORTEST, LONGEST = 8, 128
SPECIALS = "!@#$%^&*()_+-=[]{}|;:,.<>?"
_WORDS = """
abc abcd abcdef access admin administrator algomirror algotrade asdf asdfgh asdfghjkl banknifty baseball batman bharat
changeme charlie computer cricket dragon flower football freedom ganesh guest hello hunter iloveyou india internet
jesus krishna letmein lovely login master michael mobilemail monkey mumbai mustang nifty openalgo pass passw password
princess qazwsx qwer qwert qwerty qwertyuiop root sachin sairam secret sensex shadow starwars summer sunshine superman
system temp test tester testing trader trading trustno welcome whatever winter zaq zaqwsx zxcvbn zxcvbnm
"""
COMMON = frozenset(_WORDS.split())
"""Words of which the usual lists are made; with digits and signs around them, or for letters, they are still common."""
_LOOKALIKES = str.maketrans("@430$5!1|7", "aaeossiiit")


def check_password(password: str) -> None:
    """Pass if the password meets the policy; raise InvalidInput that lists everything it lacks.

    >>> check_password("Teak-Ladder-88")
    """
    lacks = []
    if not any("A" <= letter <= "Z" for letter in password):
        lacks.append("a capital letter")
    if not any("a" <= letter <= "z" for letter in password):
        lacks.append("a small letter")
    if not any("0" <= digit <= "9" for digit in password):
        lacks.append("a digit")
    if not any(sign in SPECIALS for sign in password):
        lacks.append(f"one of {SPECIALS}")
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput("password", f"must have {SHORTEST} to {LONGEST} characters.")
    if lacks:
        raise InvalidInput("password", f"lacks {', '.join(lacks)}.")
    if is_common(password):
        raise InvalidInput("password", "is one of the common ones that are tried first; choose another.")


def is_common(password: str) -> bool:
    """Return whether a common word is all there is to it.

    >>> is_common("P@ssw0rd123!"), is_common("Teak-Ladder-88")
    (True, False)
    """
    lowered = password.lower()
    core = lowered.strip("".join(chr(code) for code in range(32, 127) if not chr(code).isalpha()))
    return core.translate(_LOOKALIKES) in COMMON or lowered.translate(_LOOKALIKES) in COMMON


def hash_password(password: str, *, cost: int = COST) -> str:
    """Return the bcrypt hash that is stored."""
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(cost)).decode()


def matches(password: str, stored: str | None) -> bool:
    """Return whether the password fits the stored hash.

    None (no such user) costs the same time as a wrong password: else the answer's delay would tell which names exist.
    """
    fits = bcrypt.checkpw(_digest(password), (stored or _dummy_hash()).encode())
    return fits and stored is not None


def _digest(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest())


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return hash_password("nobody has this password")
