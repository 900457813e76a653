"""Everything the environment decides, read once into one frozen object."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings from the environment or ``.env``; each field is explained in .env.example and the README."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    database_url: str = "sqlite:///data/algomirror.db"
    """SQLite file or postgresql://…"""
    data_folder: Path | None = Field(default=None, validation_alias="DATA_DIR")
    """Folder of keys, lock, live view and paper exchange; empty: beside the SQLite file, or data/."""
    secret_key: str = ""
    """Cookie secret; empty: made at first start beside the database."""
    encryption_key: str = ""
    """Fernet keys, newest first, separated by commas; empty: a 0600 file made at first start beside the database."""
    redis_url: str = ""
    """Shared rate limits when several UI servers run; empty: memory."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_dir: Path = Path("logs")
    app_env: Literal["development", "production"] = "production"
    engine: Literal["child", "external", "off"] = "child"
    """child: the web server starts the engine; external: it runs by itself (systemd); off: none."""
    paper_port: int = Field(default=5056, ge=1, le=65535)
    """Loopback port of the built-in paper exchange."""
    paper_seed: int = 7
    quiet_answered_seconds: float = Field(default=10.0, gt=0)
    """RULES 5: after an answer that leaves the outcome open."""
    quiet_unanswered_seconds: float = Field(default=180.0, gt=0)
    """RULES 5: after a placement without an answer; shorter only where the server is known to give up sooner."""

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql")):
            raise ValueError("DATABASE_URL must begin with sqlite:/// or postgresql://")
        return value

    @property
    def data_dir(self) -> Path:
        """Folder of what is kept beside the database: keys, lock, live view, paper exchange."""
        if self.data_folder is not None:
            return self.data_folder.resolve()
        if self.database_url.startswith("sqlite:///"):
            return Path(self.database_url.removeprefix("sqlite:///")).resolve().parent
        return Path("data").resolve()


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process."""
    return Settings()
