"""Middleware: headers on every answer, limits on every address, and no page or websocket without a session."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import logging
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.services import users
from engine.services.identity import Caller
from engine.web import forms, pages
from engine.web.site import AUTHENTICATION, OVERALL, Site, address_of, get_site, is_https, now

log = logging.getLogger(__name__)

PASSWORD_PATHS = frozenset({"/login", "/register"})
FORM_PATHS = PASSWORD_PATHS | {"/logout"}
OPEN_PATHS = FORM_PATHS | {"/healthz", "/favicon.png"}
OPEN_PREFIX = "/static/"  # Streamlit's own scripts and styles: the same in every installation
STREAMLIT_PREFIXES = ("/_stcore/", "/media/", "/component/", "/app/static/")
FORM_BYTES = 16 * 1024


class SecurityHeaders:
    """Adds the headers of DESIGN 9 to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._fixed = {
            "Content-Security-Policy": content_security_policy(),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            # Not no-referrer: with it browsers send "Origin: null" with forms, and the origin check needs it.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        tls = is_https(HTTPConnection(scope))

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._fixed.items():
                    headers[name] = value
                if tls:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self.app(scope, receive, add)


class RateLimit:
    """Counts requests per address: all but static files, and more strictly what tries passwords."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"} or scope["path"].startswith(OPEN_PREFIX):
            await self.app(scope, receive, send)
            return
        site, address = get_site(), address_of(HTTPConnection(scope))
        tries_password = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in PASSWORD_PATHS
        if site.settings.redis_url:
            allowed = await run_in_threadpool(_within, site, address, tries_password)
        else:
            allowed = _within(site, address, tries_password)
        if allowed:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})
        else:
            text = "Too many attempts from this address. Wait a minute, then try again."
            page = pages.message("Please wait", text)
            await HTMLResponse(page, 429, headers={"Retry-After": "60", "Cache-Control": "no-store"})(
                scope, receive, send
            )


class FormSize:
    """Refuses forms larger than any of ours, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in FORM_PATHS or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        body, more = b"", not announced.isdecimal() or int(announced) <= FORM_BYTES
        too_large = not more
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the browser left
            body += message.get("body", b"")
            too_large = len(body) > FORM_BYTES
            more = message.get("more_body", False) and not too_large
        if too_large:
            await PlainTextResponse("The form is too large.", 413, headers={"Connection": "close"})(
                scope, receive, send
            )
            return
        whole: Message = {"type": "http.request", "body": body, "more_body": False}
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return whole

        await self.app(scope, replay, send)


class SessionGate:
    """Lets pages and websockets through only with a live session, websockets only from pages of ours (DESIGN 9)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind not in {"http", "websocket"} or (kind == "http" and _is_open(scope["path"])):
            await self.app(scope, receive, send)
            return
        site, connection = get_site(), HTTPConnection(scope)
        if kind == "websocket" and not _from_a_page_of_ours(connection):
            await send({"type": "websocket.close", "code": 1008})
            return
        problem, caller, nobody = site.problem, None, False
        if not problem:
            try:
                caller = await run_in_threadpool(_caller, site, connection)
                nobody = caller is None and await run_in_threadpool(users.registration_open, site.database)
            except SQLAlchemyError as error:
                log.error("the database does not answer (%s)", type(error).__name__)  # noqa: TRY400 - no query in the log
                problem = forms.DATABASE_DOWN
        if caller is not None:
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the server answers 403
        elif problem:
            await forms.unavailable(problem)(scope, receive, send)
        else:
            await _refusal(connection, nobody=nobody)(scope, receive, send)


def content_security_policy() -> str:
    """Return the tightest policy under which Streamlit works: its one inline script is allowed by its hash.

    Streamlit is located, not imported.
    """
    spec = importlib.util.find_spec("streamlit")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("streamlit is not installed")
    index = Path(spec.submodule_search_locations[0]) / "static" / "index.html"
    inline = re.findall(r"<script>(.*?)</script>", index.read_text(encoding="utf-8"), flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in inline)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        "frame-src 'self'; media-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    )


def _refusal(connection: HTTPConnection, *, nobody: bool) -> Response:
    path = connection.url.path
    if path.startswith(STREAMLIT_PREFIXES) or connection.scope["method"] not in {"GET", "HEAD"}:
        return PlainTextResponse("Log in first.", 403, headers={"Cache-Control": "no-store"})
    if nobody:
        return RedirectResponse("/register", 303, headers={"Cache-Control": "no-store"})
    query = f"?{connection.url.query}" if connection.url.query else ""
    wanted = quote(path + query, safe="/")
    target = "/login" if wanted == "/" else f"/login?next={wanted}"
    return RedirectResponse(target, 303, headers={"Cache-Control": "no-store"})


def _from_a_page_of_ours(connection: HTTPConnection) -> bool:
    """Return whether a browser says that a page of this server opens the websocket.

    Browsers send Origin with every websocket, and pages elsewhere may open one to here: no rule of theirs forbids it.
    Other ports of this machine count as elsewhere, and the session cookie would be sent from there.
    """
    origins, hosts = connection.headers.getlist("origin"), connection.headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    try:
        origin = urlsplit(origins[0])
    except ValueError:
        return False
    return origin.scheme in {"http", "https"} and origin.netloc.lower() == hosts[0].lower() != ""


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def _caller(site: Site, connection: HTTPConnection) -> Caller | None:
    return users.caller_from_cookies(site.database, connection.cookies, now=now())


def _within(site: Site, address: str, tries_password: bool) -> bool:
    if not site.allows(OVERALL, "all", address):
        return False
    return not tries_password or site.allows(AUTHENTICATION, "authentication", address)
