"""The base of everything that pages are shown and may send: frozen, with no unknown field."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A frozen figure or row; unknown fields are a defect."""

    model_config = ConfigDict(frozen=True, extra="forbid")
