"""The vault: api keys at rest are Fernet tokens, and what comes out never shows itself by accident.

Keys come from ENCRYPTION_KEY (newest first, separated by commas) or from a file that only its owner may read, made at
the first start. Losing the keys loses the api keys, nothing else.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from engine.settings import Settings

ENCRYPTION_KEY_FILE = "encryption.key"
COOKIE_SECRET_FILE = "secret.key"  # noqa: S105 - a file name


class VaultError(RuntimeError):
    """A secret cannot be read or kept; the message says what to do and never holds a key or a token."""


class Vault:
    """Encrypts with the newest key, decrypts with any of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise VaultError("ENCRYPTION_KEY: at least one key is needed.")
        self._fernet = MultiFernet([_fernet(key, place) for place, key in enumerate(keys, start=1)])

    @classmethod
    def open(cls, settings: Settings) -> Vault:
        """Return the vault of this installation; makes the key file when there is neither key nor file."""
        if settings.encryption_key.strip():
            return cls([key for part in settings.encryption_key.split(",") if (key := part.strip())])
        content = key_file(settings.data_dir / ENCRYPTION_KEY_FILE, Fernet.generate_key())
        return cls(content.decode("ascii", errors="replace").split())

    def encrypt(self, text: str) -> str:
        """Return a token of ``text`` under the newest key."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> SecretStr:
        """Return what ``encrypt`` was given. Raises VaultError when none of the keys fits."""
        try:
            return SecretStr(self._fernet.decrypt(token.encode()).decode())
        except InvalidToken:
            raise VaultError(
                "A stored secret fits none of the present keys: put the old key back behind the new one in "
                "ENCRYPTION_KEY, or enter the secret again."
            ) from None

    def rotate(self, token: str) -> str:
        """Return the same secret under the newest key. Raises VaultError when none of the keys fits."""
        return self.encrypt(self.decrypt(token).get_secret_value())


def cookie_secret(settings: Settings) -> bytes:
    """Return the secret that signs form tokens: SECRET_KEY, or a file made at the first start."""
    if settings.secret_key:
        return settings.secret_key.encode()
    return key_file(settings.data_dir / COOKIE_SECRET_FILE, secrets.token_urlsafe(32).encode())


def key_file(path: Path, new: bytes) -> bytes:
    """Return what the file holds; ``new`` is written when it does not exist, readable by its owner only (0600).

    Of several processes that start at once one writes, and all return the same. Raises VaultError when the file is
    empty or open to others.
    """
    if not path.exists():
        _publish(path, new)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise VaultError(f"{path.name} may be read by others: chmod 600 {path}")
    content = path.read_bytes().strip()
    if not content:
        raise VaultError(f"{path.name} is empty: restore it from a backup, or delete it to have a new one made.")
    return content


def _publish(path: Path, content: bytes) -> None:
    """Write aside and link into place: nobody ever reads half a key, and the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.link(aside, path)
    except FileExistsError:
        return
    finally:
        Path(aside).unlink()


def _fernet(key: str, place: int) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        raise VaultError(
            f"ENCRYPTION_KEY: key {place} is no Fernet key (32 bytes in URL-safe base64, 44 characters)."
        ) from None
