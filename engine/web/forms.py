"""/login, /register and /logout: server routes, so that the session cookie is out of every script's reach.

A form is accepted when its hidden token equals the token in a cookie, both signed by this server, and the browser says
that it was sent from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from engine.services import users
from engine.services.errors import InvalidInput
from engine.services.users import LASTS_FOR, SESSION_COOKIE, LockedOut, LoginRefused, RegistrationClosed
from engine.web import pages
from engine.web.site import Site, address_of, from_this_machine, get_site, is_https, now

log = logging.getLogger(__name__)

FORM_COOKIE = "algomirror_form"
STALE_FORM = "This form was open too long or came from elsewhere. Please send it again."
CLOSED = "Registration is closed: ask the admin."
DATABASE_DOWN = "The database does not answer."
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def answering(handler: Handler) -> Handler:
    """Return the handler, saying so when the database does not answer."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except SQLAlchemyError as error:
            log.error("%s: the database does not answer (%s)", request.url.path, type(error).__name__)  # noqa: TRY400 - its text may hold what was typed
            return unavailable(DATABASE_DOWN)

    return answer


def unavailable(problem: str) -> Response:
    """Return the page that says why nothing can be served now."""
    page = pages.message("AlgoMirror cannot serve pages now", problem)
    return HTMLResponse(page, 503, headers=_NO_STORE | {"Retry-After": "5"})


@answering
async def login(request: Request) -> Response:
    """Show the login, or take it: a fresh session, and on to the page that was wanted."""
    site = get_site()
    if site.problem:
        return unavailable(site.problem)
    wanted = _local_path(request.query_params.get("next", "/"))
    if request.method != "POST":
        if await _in_thread(site, users.registration_open, site.database):
            return _redirect("/register")
        if await _in_thread(site, users.caller_from_cookies, site.database, request.cookies, now=now()) is not None:
            return _redirect(wanted)
        if request.headers.get("sec-fetch-site") == "cross-site" and "again" not in request.query_params:
            # A link from elsewhere comes without the Strict cookie; asked again from here, the browser sends it.
            return HTMLResponse(pages.bounce(f"/login?again=1&next={quote(wanted, safe='/')}"), headers=_NO_STORE)
        return _show(request, site, pages.login, typed={"next": wanted})
    typed = await _typed(request)
    wanted = _local_path(typed.get("next", "/"))
    keep = {"username": typed.get("username", ""), "next": wanted}
    if not _genuine(request, site, typed):
        return _show(request, site, pages.login, typed=keep, error=STALE_FORM, status=403)
    return await _enter(request, site, typed, keep)


@answering
async def register(request: Request) -> Response:
    """Show the registration of the first user, or take it and log in."""
    site = get_site()
    if site.problem:
        return unavailable(site.problem)
    if not await _in_thread(site, users.registration_open, site.database):
        caller = await _in_thread(site, users.caller_from_cookies, site.database, request.cookies, now=now())
        return _closed(request, site) if caller is None else _redirect("/")
    here = from_this_machine(request)
    page = partial(pages.register, ask_setup_token=not here)
    if request.method != "POST":
        return _show(request, site, page)
    typed = await _typed(request)
    keep = {name: typed.get(name, "") for name in ("username", "email", "setup_token")}
    if not _genuine(request, site, typed):
        return _show(request, site, page, typed=keep, error=STALE_FORM, status=403)
    wrong = users.wrong_fields(typed.get("username", ""), typed.get("email", ""), typed.get("password", ""))
    if typed.get("password") != typed.get("again"):
        wrong["again"] = "differs from the password above."
    if wrong:
        return _show(request, site, page, typed=keep, errors=wrong, status=422)
    try:
        await _in_thread(
            site,
            users.register,
            site.database,
            username=typed.get("username", ""),
            password=typed.get("password", ""),
            email=typed.get("email", ""),
            address=address_of(request),
            now=now(),
            setup_token=typed.get("setup_token"),
            expected_setup_token=None if here else site.setup_token,
        )
    except RegistrationClosed:
        return _closed(request, site)
    except InvalidInput as error:
        return _show(request, site, page, typed=keep, errors={error.field: error.reason}, status=422)
    return await _enter(request, site, typed, {"username": typed.get("username", ""), "next": "/"})


@answering
async def logout(request: Request) -> Response:
    """End the session: at once when the person clicked a link of ours, else after a confirmation."""
    site = get_site()
    if site.problem:
        return unavailable(site.problem)
    caller = await _in_thread(site, users.caller_from_cookies, site.database, request.cookies, now=now())
    if caller is None:
        return _forget(request, _redirect("/login"))
    everywhere = False
    if request.method == "POST":
        typed = await _typed(request)
        if not _genuine(request, site, typed):
            page = partial(pages.logout, username=caller.username)
            return _show(request, site, page, error=STALE_FORM, status=403)
        everywhere = typed.get("everywhere") == "yes"
    elif not _clicked_here(request):
        return _show(request, site, partial(pages.logout, username=caller.username))
    address, token = address_of(request), request.cookies[SESSION_COOKIE]
    if everywhere:
        await _in_thread(site, users.logout_everywhere, site.database, caller, address=address, now=now())
    else:
        await _in_thread(site, users.logout, site.database, token, address=address, now=now())
    return _forget(request, _redirect("/login"))


async def _enter(request: Request, site: Site, typed: dict[str, str], keep: dict[str, str]) -> Response:
    try:
        _, token = await _in_thread(
            site,
            users.login,
            site.database,
            username=typed.get("username", ""),
            password=typed.get("password", ""),
            address=address_of(request),
            agent=request.headers.get("user-agent", ""),
            now=now(),
            old_token=request.cookies.get(SESSION_COOKIE),
        )
    except LoginRefused as error:
        status = 429 if isinstance(error, LockedOut) else 401
        return _show(request, site, pages.login, typed=keep, error=str(error), status=status)
    answer = _redirect(keep["next"])
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(LASTS_FOR.total_seconds()),
        path="/",
        secure=is_https(request),
        httponly=True,
        samesite="strict",
    )
    return answer


def _show(
    request: Request,
    site: Site,
    page: Callable[[pages.Form], str],
    *,
    typed: dict[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    error: str = "",
    status: int = 200,
) -> Response:
    """Return a page with its form; the form's cookie lives as long as the browser."""
    token = request.cookies.get(FORM_COOKIE, "")
    if not _signed_here(site, token):
        nonce = secrets.token_urlsafe(16)
        token = f"{nonce}.{_signature(site, nonce)}"
    answer = HTMLResponse(page(pages.Form(token, typed=typed, errors=errors, error=error)), status, headers=_NO_STORE)
    answer.set_cookie(FORM_COOKIE, token, path="/", secure=is_https(request), httponly=True, samesite="strict")
    return answer


def _genuine(request: Request, site: Site, typed: dict[str, str]) -> bool:
    """Return whether the form was ours and was sent from a page of ours."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    token = request.cookies.get(FORM_COOKIE, "")
    return _signed_here(site, token) and hmac.compare_digest(token.encode(), typed.get("form_token", "").encode())


def _signed_here(site: Site, token: str) -> bool:
    nonce, _, signature = token.partition(".")
    return bool(nonce) and hmac.compare_digest(signature.encode(), _signature(site, nonce).encode())


def _signature(site: Site, nonce: str) -> str:
    return hmac.new(site.form_secret, b"form:" + nonce.encode(), hashlib.sha256).hexdigest()


def _clicked_here(request: Request) -> bool:
    """Return whether a person followed a link of ours; a prefetch or a page elsewhere does not count."""
    headers = request.headers
    return (
        headers.get("sec-fetch-site") == "same-origin"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-user") == "?1"
        and "sec-purpose" not in headers
    )


def _local_path(wanted: str) -> str:
    """Return the path if it stays on this server, else the desk.

    >>> _local_path("/Positions?run=3"), _local_path("//elsewhere"), _local_path("https://elsewhere")
    ('/Positions?run=3', '/', '/')
    """
    leads_away = not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted
    return "/" if leads_away or not wanted.isprintable() or len(wanted) > 2000 else wanted


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form(max_files=0, max_fields=12)
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def _in_thread(site: Site, work: Callable[..., T], *args: object, **kwargs: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(site.hashing, partial(work, *args, **kwargs))


def _closed(request: Request, site: Site) -> Response:
    """Return the login with the reason why nobody registers here any more."""
    return _show(request, site, pages.login, error=CLOSED, status=403)


def _forget(request: Request, answer: Response) -> Response:
    answer.delete_cookie(SESSION_COOKIE, path="/", secure=is_https(request), httponly=True, samesite="strict")
    return answer


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 303, headers=_NO_STORE)


_NO_STORE = {"Cache-Control": "no-store"}
