"""People: registration of the first one, login with a lock-out that ends by itself, sessions, logout.

A session is a random 256-bit token in a cookie; the database keeps its SHA-256. Every login, refusal, logout and
registration is a row of the activity log, and the lock-out is read from there: it holds across processes and restarts,
and unknown names behave like known ones.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.identity import Caller, require
from engine.services.passwords import COST, check_password, hash_password, matches
from engine.store.database import Database
from engine.store.tables import ActivityLog, Role, User, UserSession

SESSION_COOKIE = "algomirror_session"
FAILURES_ALLOWED = 5
LOCKED_FOR = timedelta(minutes=15)
IDLE_FOR = timedelta(hours=8)
LASTS_FOR = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)
FIRST_USER_LOCK = 0x416C676F55  # advisory lock on PostgreSQL, which lets two transactions both see an empty table

_USERNAME = re.compile(r"[a-z0-9_.-]{3,32}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class RegistrationClosed(Refused):
    """There is a user already; an admin adds the others."""


class LoginRefused(Refused):
    """Name and password do not belong together; which of them is wrong is not said."""


class LockedOut(LoginRefused):
    """Too many failures; ``until`` says when it ends by itself."""

    def __init__(self, until: datetime, now: datetime) -> None:
        minutes = max(1, -int((now - until).total_seconds() // 60))
        super().__init__(f"Too many failed logins. Try again in {minutes} minute{'' if minutes == 1 else 's'}.")
        self.until = until


def registration_open(database: Database) -> bool:
    """Return whether nobody has registered yet."""
    with database.read() as session:
        return _nobody(session)


def register(
    database: Database,
    *,
    username: str,
    password: str,
    email: str = "",
    address: str = "",
    now: datetime,
    setup_token: str | None = None,
    expected_setup_token: str | None = None,
    cost: int = COST,
) -> User:
    """Make the first user, who becomes admin; however many try at once, one succeeds.

    ``expected_setup_token`` is what the console printed, given when the request came from beyond this machine;
    ``setup_token`` is what the person typed. Raises RegistrationClosed after the first user, InvalidInput
    naming the field.
    """
    if not registration_open(database):  # before the costly hash; the transaction below decides
        raise _closed(database, username, address, now)
    if expected_setup_token is not None and not hmac.compare_digest(
        (setup_token or "").strip().encode(), expected_setup_token.encode()
    ):
        with database.write() as session:
            _note(
                session, now, None, "register", _clip(username), address=address, outcome="refused", why="setup token"
            )
        raise InvalidInput("setup_token", "is not the one printed on the console of the server.")
    user = _new_user(username, password, email, Role.ADMIN, now=now, cost=cost)
    with database.write() as session:
        if not database.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": FIRST_USER_LOCK})
        if first := _nobody(session):
            session.add(user)
            session.flush()
            _note(session, now, user.id, "register", user.username, address=address, role=user.role.value)
    if not first:
        raise _closed(database, username, address, now)
    return user


def add_user(
    database: Database,
    caller: Caller,
    *,
    username: str,
    password: str,
    email: str = "",
    role: Role = Role.TRADER,
    now: datetime,
    cost: int = COST,
) -> User:
    """Add a user in the name of an admin. Raises NotAllowed for others, InvalidInput naming the field."""
    require(caller, Role.ADMIN)
    user = _new_user(username, password, email, role, now=now, cost=cost)
    try:
        with database.write() as session:
            session.add(user)
            session.flush()
            _note(session, now, caller.user_id, "add_user", user.username, role=role.value)
    except IntegrityError:
        raise InvalidInput("username", f"{user.username} is taken.") from None
    return user


def login(
    database: Database,
    *,
    username: str,
    password: str,
    address: str,
    agent: str = "",
    now: datetime,
    old_token: str | None = None,
) -> tuple[User, str]:
    """Return the user and a fresh session token; the session of ``old_token`` ends.

    Raises LoginRefused, or LockedOut after five failures of the name or of the address within fifteen minutes. Attempts
    during the lock-out are logged and do not prolong it.
    """
    name = _clip(username)
    with database.read() as session:
        user = session.exec(select(User).where(col(User.username) == name)).first()
        until = _locked_until(session, name, address, now)
    if until is None:
        right = matches(password[:1024], user.password_hash if user is not None else None)
    token = secrets.token_urlsafe(32)
    with database.write() as session:
        # Looked up again: of many guesses sent at once the right one must not slip past the lock-out.
        until = until or _locked_until(session, name, address, now)
        if until is not None:
            _note(session, now, user.id if user else None, "login", name, address=address, outcome="locked")
        elif user is None or not right or not user.active:
            _note(session, now, user.id if user else None, "login", name, address=address, outcome="refused")
        else:
            if old_token:
                _revoke(session, now, col(UserSession.token_hash) == _hash(old_token))
            session.add(_new_session(user, token, address=address, agent=agent, now=now))
            _note(session, now, user.id, "login", name, address=address)
            return user, token
    raise LockedOut(until, now) if until is not None else LoginRefused("Name and password do not belong together.")


def resolve_session(database: Database, token: str, now: datetime) -> Caller | None:
    """Return who the token belongs to, None when it is unknown, revoked, idle for 8 hours or 7 days old.

    Notes at most once a minute that the session was used.
    """
    if not token or len(token) > 128:
        return None
    with database.read() as session:
        row = session.exec(
            select(UserSession, User)
            .join(User, col(User.id) == col(UserSession.user_id))
            .where(col(UserSession.token_hash) == _hash(token), _live(now), col(User.active))
        ).first()
    if row is None:
        return None
    used, user = row
    assert user.id is not None
    if now - used.last_seen_at >= SEEN_EVERY:
        with database.write() as session:
            session.execute(
                update(UserSession)
                .where(col(UserSession.id) == used.id, col(UserSession.last_seen_at) < now)
                .values(last_seen_at=now)
            )
    return Caller(user_id=user.id, username=user.username, role=Role(user.role))


def caller_from_cookies(database: Database, cookies: Mapping[str, str], *, now: datetime) -> Caller | None:
    """Return who the session cookie belongs to, None without a live session."""
    return resolve_session(database, cookies.get(SESSION_COOKIE, ""), now)


def logout(database: Database, token: str, *, address: str = "", now: datetime) -> None:
    """End the session of the token; one that has ended already stays as it is."""
    with database.write() as session:
        row = session.exec(
            select(UserSession).where(
                col(UserSession.token_hash) == _hash(token), col(UserSession.revoked_at).is_(None)
            )
        ).first()
        if row is not None:
            row.revoked_at = now
            session.add(row)
            _note(session, now, row.user_id, "logout", address=address)


def logout_everywhere(database: Database, caller: Caller, *, address: str = "", now: datetime) -> int:
    """End all sessions of the caller; return how many."""
    with database.write() as session:
        ended = _revoke(session, now, col(UserSession.user_id) == caller.user_id)
        _note(session, now, caller.user_id, "logout", "everywhere", address=address, sessions=ended)
    return ended


def sessions(database: Database, caller: Caller, *, now: datetime) -> list[UserSession]:
    """Return the caller's live sessions, the one used last first."""
    with database.read() as session:
        rows = session.exec(
            select(UserSession)
            .where(col(UserSession.user_id) == caller.user_id, _live(now))
            .order_by(col(UserSession.last_seen_at).desc())
        )
        return list(rows)


def end_session(database: Database, caller: Caller, session_id: int, *, now: datetime) -> None:
    """End one of the caller's own sessions. Raises NotFound for any other."""
    with database.write() as session:
        mine = (col(UserSession.id) == session_id) & (col(UserSession.user_id) == caller.user_id)
        if not _revoke(session, now, mine):
            raise NotFound("This session does not exist or has ended.")
        _note(session, now, caller.user_id, "logout", f"session {session_id}")


def change_password(
    database: Database, caller: Caller, *, old: str, new: str, now: datetime, keep_token: str = "", cost: int = COST
) -> None:
    """Set a new password and end the caller's other sessions. Raises InvalidInput naming the field."""
    with database.read() as session:
        user = session.get_one(User, caller.user_id)
    if not matches(old, user.password_hash):
        raise InvalidInput("old password", "is wrong.")
    check_password(new)
    hashed = hash_password(new, cost=cost)
    with database.write() as session:
        session.execute(update(User).where(col(User.id) == caller.user_id).values(password_hash=hashed))
        others = (col(UserSession.user_id) == caller.user_id) & (col(UserSession.token_hash) != _hash(keep_token))
        _note(session, now, caller.user_id, "change_password", sessions=_revoke(session, now, others))


def check_username(username: str) -> str:
    """Return the name as it is kept, in lower case. Raises InvalidInput.

    >>> check_username(" Asha.K ")
    'asha.k'
    """
    name = username.strip().lower()
    if not _USERNAME.fullmatch(name):
        raise InvalidInput("username", "must have 3 to 32 of the characters a-z, 0-9, _ . and -")
    return name


def wrong_fields(username: str, email: str, password: str) -> dict[str, str]:
    """Return all that is wrong with a new user at once: the reason by field, in the order of the form."""
    wrong: dict[str, str] = {}
    for check, typed in ((check_username, username), (_check_email, email), (check_password, password)):
        try:
            check(typed)
        except InvalidInput as error:
            wrong[error.field] = error.reason
    return wrong


def _check_email(email: str) -> str:
    mail = email.strip()
    if mail and (len(mail) > 254 or not _EMAIL.fullmatch(mail)):
        raise InvalidInput("email", "is no e-mail address; it may be left empty.")
    return mail


def _new_user(username: str, password: str, email: str, role: Role, *, now: datetime, cost: int) -> User:
    name, mail = check_username(username), _check_email(email)
    check_password(password)
    return User(username=name, email=mail, password_hash=hash_password(password, cost=cost), role=role, created_at=now)


def _new_session(user: User, token: str, *, address: str, agent: str, now: datetime) -> UserSession:
    assert user.id is not None
    return UserSession(
        user_id=user.id,
        token_hash=_hash(token),
        created_at=now,
        last_seen_at=now,
        expires_at=now + LASTS_FOR,
        address=address,
        agent=agent[:200],
    )


def _nobody(session: Session) -> bool:
    return session.exec(select(User.id).limit(1)).first() is None


def _closed(database: Database, username: str, address: str, now: datetime) -> RegistrationClosed:
    with database.write() as session:
        _note(session, now, None, "register", _clip(username), address=address, outcome="refused", why="closed")
    return RegistrationClosed("Registration is closed: an admin exists and adds further users.")


def _locked_until(session: Session, name: str, address: str, now: datetime) -> datetime | None:
    """Return when the later of the two lock-outs ends, None when there is none."""
    ends = [
        end
        for key in (col(ActivityLog.target) == name, col(ActivityLog.address) == address)
        if (end := _lock_end(session, key, now)) is not None
    ]
    return max(ends, default=None)


def _lock_end(session: Session, key: ColumnElement[bool], now: datetime) -> datetime | None:
    recent = session.exec(
        select(ActivityLog.at, ActivityLog.outcome)
        .where(
            col(ActivityLog.at) > now - 2 * LOCKED_FOR,
            col(ActivityLog.action) == "login",
            col(ActivityLog.outcome).in_(("done", "refused")),
            key,
        )
        .order_by(col(ActivityLog.id).desc())
        .limit(FAILURES_ALLOWED)
    ).all()
    failures = [at for at, _ in takewhile(lambda row: row[1] == "refused", recent)]  # a success wipes the slate
    if len(failures) < FAILURES_ALLOWED or failures[0] - failures[-1] >= LOCKED_FOR:
        return None
    end = failures[0] + LOCKED_FOR
    return end if now < end else None


def _live(now: datetime) -> ColumnElement[bool]:
    return (
        col(UserSession.revoked_at).is_(None)
        & (col(UserSession.expires_at) > now)
        & (col(UserSession.last_seen_at) > now - IDLE_FOR)
    )


def _revoke(session: Session, now: datetime, which: ColumnElement[bool]) -> int:
    result: Any = session.execute(
        update(UserSession).where(which, col(UserSession.revoked_at).is_(None)).values(revoked_at=now)
    )
    return int(result.rowcount)


def _note(
    session: Session,
    now: datetime,
    user_id: int | None,
    action: str,
    target: str = "",
    *,
    address: str = "",
    outcome: str = "done",
    **detail: Any,
) -> None:
    session.add(
        ActivityLog(
            at=now, user_id=user_id, action=action, target=target, outcome=outcome, address=address, detail=detail
        )
    )


def _clip(username: str) -> str:
    """Return a name as typed, fit for the log."""
    return username.strip().lower()[:64]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
