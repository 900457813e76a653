"""/healthz: whether this server, its database and the engine are well; no session needed, no secret in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse

from engine import __version__
from engine.services.desk_live import LEASE_STALE_SECONDS, lease_age
from engine.store.schema import SchemaState, schema_state
from engine.store.tables import EngineLease
from engine.web.site import Site, get_site, now


def healthz(_request: Request) -> JSONResponse:
    """Answer 200 when all is well, 503 with a ``reason`` otherwise."""
    health = report(get_site(), now())
    return JSONResponse(health, 503 if health["reason"] else 200, headers={"Cache-Control": "no-store"})


def report(site: Site, at: datetime) -> dict[str, Any]:
    """Return what /healthz says; ``reason`` is empty when all is well. Ages in seconds, times in UTC."""
    health: dict[str, Any] = {
        "status": "ok",
        "reason": site.problem,
        "version": __version__,
        "database": "unknown",
        "schema": "unknown",
        "engine": site.settings.engine,
        "engine_alive": False,
        "lease_age_seconds": None,
        "last_pass_at": None,
    }
    try:
        state = schema_state(site.database)
        health |= {"database": "ok", "schema": state.value}
        if state is SchemaState.CURRENT:
            _engine(site, at, health)
        else:
            health["reason"] = health["reason"] or f"schema: {state.value}"
    except SQLAlchemyError as error:
        health |= {"database": "failing", "reason": f"database: {type(error).__name__}"}
    if health["reason"]:
        health["status"] = "failing"
    return health


def _engine(site: Site, at: datetime, health: dict[str, Any]) -> None:
    with site.database.read() as session:
        lease = session.get(EngineLease, 1)
    problem = "engine: it has not started yet"
    if lease is not None and lease.stopped_note:
        problem = f"engine: {lease.stopped_note}"
    elif lease is not None and lease.holder:
        age = lease_age(lease, at)
        alive = age <= LEASE_STALE_SECONDS
        health |= {
            "engine_alive": alive,
            "lease_age_seconds": round(age, 3),
            "last_pass_at": lease.last_pass_at.isoformat(),
        }
        problem = "" if alive else f"engine: its lease is {age:.0f} s old"
    if site.settings.engine != "off":
        health["reason"] = health["reason"] or problem
