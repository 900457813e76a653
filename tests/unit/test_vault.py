"""The vault: keys from the environment or a private file, and secrets that never show themselves."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from engine.settings import Settings
from engine.store.vault import Vault, VaultError, cookie_secret, key_file


def settings(tmp_path: Path, **values: str) -> Settings:
    return Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/desk.db", **values)


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    token = Vault.open(settings(tmp_path)).encrypt("api-key-1")
    path = tmp_path / "encryption.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Vault.open(settings(tmp_path)).decrypt(token).get_secret_value() == "api-key-1"


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda i: key_file(tmp_path / "k", f"key-{i}".encode()), range(64)))
    assert len(made) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["k"]


def test_newest_key_encrypts_and_old_ones_still_decrypt(tmp_path: Path) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = Vault.open(settings(tmp_path, encryption_key=old)).encrypt("api-key-1")
    both = Vault.open(settings(tmp_path, encryption_key=f"{new}, {old}"))
    assert both.decrypt(token).get_secret_value() == "api-key-1"
    assert Vault([new]).decrypt(both.rotate(token)).get_secret_value() == "api-key-1"
    with pytest.raises(VaultError):
        Vault([new]).decrypt(token)
    assert not (tmp_path / "encryption.key").exists()


def test_a_decrypted_secret_does_not_show_itself(tmp_path: Path) -> None:
    secret = Vault.open(settings(tmp_path)).decrypt(Vault.open(settings(tmp_path)).encrypt("api-key-1"))
    assert "api-key-1" not in f"{secret} {secret!r} {[secret]}"


def test_errors_hold_no_key(tmp_path: Path) -> None:
    with pytest.raises(VaultError) as wrong:
        Vault.open(settings(tmp_path, encryption_key="my-own-secret-words"))
    assert "my-own" not in str(wrong.value)
    assert "ENCRYPTION_KEY: key 1" in str(wrong.value)
    assert wrong.value.__suppress_context__


@pytest.mark.parametrize(("content", "mode", "word"), [(b"x", 0o644, "chmod 600"), (b"", 0o600, "empty")])
def test_a_key_file_open_to_others_or_empty_is_refused(tmp_path: Path, content: bytes, mode: int, word: str) -> None:
    path = tmp_path / "encryption.key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(VaultError, match=word):
        Vault.open(settings(tmp_path))


def test_cookie_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    assert cookie_secret(settings(tmp_path, secret_key="given")) == b"given"
    made = cookie_secret(settings(tmp_path))
    assert made == cookie_secret(settings(tmp_path))
    assert len(made) >= 32
