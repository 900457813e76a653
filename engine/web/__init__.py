"""The server's own pieces for Home.py: lifespan, routes and middleware of the st.App (DESIGN 1 and 9)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.middleware import Middleware
from starlette.routing import Route

from engine.services import users
from engine.services.identity import Caller
from engine.web import forms
from engine.web.guard import FormSize, RateLimit, SecurityHeaders, SessionGate
from engine.web.health import healthz
from engine.web.site import Site, get_site, now

__all__ = ["caller_from_cookies", "lifespan", "middleware", "routes"]

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0

routes = [
    Route("/login", forms.login, methods=["GET", "POST"]),
    Route("/register", forms.register, methods=["GET", "POST"]),
    Route("/logout", forms.logout, methods=["GET", "POST"]),
    Route("/healthz", healthz, methods=["GET"]),
]

middleware = [Middleware(SecurityHeaders), Middleware(RateLimit), Middleware(FormSize), Middleware(SessionGate)]


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Prepare the database and start the children; at the end stop them.

    A database that cannot be used yet does not end the server: it says what is wrong and tries again.
    """
    site = get_site()
    retrying: asyncio.Task[None] | None = None
    if not await asyncio.to_thread(site.prepare):
        retrying = asyncio.create_task(_retry(site))
    try:
        yield {}
    finally:
        if retrying is not None:
            retrying.cancel()
            with suppress(asyncio.CancelledError):
                await retrying
        await asyncio.to_thread(site.stop)
        get_site.cache_clear()


def caller_from_cookies(cookies: Mapping[str, str]) -> Caller | None:
    """Return who the session cookie belongs to, None without a live session."""
    return users.caller_from_cookies(get_site().database, cookies, now=now())


async def _retry(site: Site) -> None:
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        if await asyncio.to_thread(site.prepare):
            log.info("the server is ready")
            return
