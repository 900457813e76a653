"""The hash chain over risk events and the activity log: what was written down cannot be changed unseen (DESIGN 4).

Both logs only grow (triggers refuse anything else). A link's digest is SHA-256 over the digest before it and the row's
content, so that a changed, removed or slipped-in row breaks the chain from there on. Rows are chained by a thread of
the engine within about a second, not in the trade path. A chain cut at its end looks whole: compare its head with one
that was noted elsewhere (the engine logs it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Select, Table, func
from sqlmodel import Session, SQLModel, col, select

from engine.store.database import Database
from engine.store.tables import ActivityLog, AuditLink, RiskEvent

BATCH = 500
BEGINNING = "0" * 64
"""The digest before the first link."""

LATE = 1_000
"""So far behind the newest row of its log one may still be written: two transactions can end in the other order."""

_LAST = select(AuditLink).order_by(col(AuditLink.id).desc()).limit(1)

LOGS: dict[str, type[SQLModel]] = {"risk_event": RiskEvent, "activity_log": ActivityLog}


CHAINED = {
    "risk_event": (
        "id", "at", "owner_id", "execution_id", "account_id", "exit_plan_id", "kind", "action", "threshold_paise",
        "value_paise", "message", "knew",
    ),
    "activity_log": ("id", "at", "user_id", "action", "target", "outcome", "address", "detail"),
}  # fmt: skip
"""The columns that a digest covers: one that a later release adds must not break the links of before."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first link that does not hold: ``link`` its number, ``source`` and ``row_id`` of what it speaks of."""

    link: int
    source: str
    row_id: int | None
    why: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of the chain found. ``head``: digest of the last link; ``unchained``: rows that wait for theirs."""

    links: int
    head: str
    unchained: int
    broken: Broken | None = None
    seen_head: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether every link holds, and the head that was asked for is among them."""
        return self.broken is None and self.seen_head is not False


def digest(before: str, source: str, row: Mapping[str, Any]) -> str:
    """Return the digest of a row after the digest ``before``, hexadecimal.

    The chained columns are written as JSON with sorted names and times in UTC, so that both databases give the same.

    >>> digest(BEGINNING, "risk_event", {"id": 1, "kind": "blind"})[:12]
    '4f540370c70e'
    """
    chained = {name: row[name] for name in CHAINED[source] if name in row}
    content = json.dumps(chained, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_text)
    return hashlib.sha256(f"{before}\n{source}\n{content}".encode()).hexdigest()


def extend(database: Database, *, now: datetime) -> int:
    """Chain up to 500 rows that have no link yet, oldest first; return how many.

    Rows are read and digested before the write: the core must not wait for its turn to write meanwhile. If another one
    chained in between, it is done anew, so that two at once cannot both give a link the same number.
    """
    while True:
        with database.read() as session:
            last = session.exec(_LAST).first()
            waiting = _waiting(session)
        if not waiting:
            return 0
        begun, before = (last.id, last.digest) if last is not None else (0, BEGINNING)
        links = []
        for number, (source, row) in enumerate(waiting, start=begun + 1):
            before = digest(before, source, row)
            links.append({"id": number, "source": source, "row_id": row["id"], "digest": before, "at": now})
        with database.write() as session:
            if (session.exec(select(func.max(AuditLink.id))).one() or 0) == begun:
                session.execute(_table(AuditLink).insert(), links)
                return len(links)


def head(database: Database) -> tuple[int, str]:
    """Return how many links there are and the digest of the last one."""
    with database.read() as session:
        last = session.exec(_LAST).first()
    return (0, BEGINNING) if last is None else (last.id, last.digest)


def verify(database: Database, *, head: str | None = None) -> AuditReport:
    """Recompute the whole chain and return the first link that does not hold, if there is one.

    ``head``: a digest noted earlier; the report says whether the chain still contains it.
    """
    before, count, seen = BEGINNING, 0, None if head is None else False
    with database.read() as session:
        for number, source, row_id, written, row in _chain(session):
            if number != count + 1:
                return _report(session, count, before, Broken(count + 1, source, None, "this link is missing"), seen)
            why = _fault(before, source, written, row)
            if why:
                return _report(session, count, before, Broken(number, source, row_id, why), seen)
            before, count = written, number
            seen = seen if head is None else bool(seen) or written == head
        return _report(session, count, before, _skipped(session), seen)


def _fault(before: str, source: str, written: str, row: Mapping[str, Any] | None) -> str:
    if source not in LOGS:
        return f"there is no log {source!r}"
    if row is None:
        return "the row it speaks of is gone"
    return "" if digest(before, source, row) == written else "the row, or a link before it, was changed"


def _report(session: Session, count: int, head: str, broken: Broken | None, seen: bool | None) -> AuditReport:
    waiting = sum(
        session.exec(select(func.count()).select_from(_unchained(source).subquery())).one() for source in LOGS
    )
    return AuditReport(count, head, waiting, broken, seen)


def _waiting(session: Session) -> list[tuple[str, dict[str, Any]]]:
    """Return the oldest rows that have no link yet, at most 500; looked for among the newest of each log only."""
    found = []
    for source, log in LOGS.items():
        newest = session.exec(select(func.max(AuditLink.row_id)).where(AuditLink.source == source)).one() or 0
        query = _unchained(source).where(_table(log).c.id > newest - LATE).limit(BATCH)
        found += [(source, row) for row in _rows(session, query)]
    return sorted(found, key=lambda one: (_text(one[1]["at"]), one[0], one[1]["id"]))[:BATCH]


def _skipped(session: Session) -> Broken | None:
    """Return the first row that has no link although a later one of its log was chained: somebody slipped it in."""
    for source, log in LOGS.items():
        newest = select(func.max(AuditLink.row_id)).where(AuditLink.source == source).scalar_subquery()
        query = _unchained(source).where(_table(log).c.id < newest).limit(1)
        row = next(_rows(session, query), None)
        if row is not None and _long_ago(session, row["at"]):
            return Broken(0, source, row["id"], "this row was never chained, but later ones were")
    return None


def _long_ago(session: Session, at: Any) -> bool:
    """Whether a row is older than the newest link: one of a slow writer may come late, but not after everything."""
    newest = session.exec(select(func.max(AuditLink.at))).one()
    return newest is not None and (_aware(newest) - _aware(at)).total_seconds() > 60


def _chain(session: Session) -> Iterator[tuple[int, str, int, str, dict[str, Any] | None]]:
    """Yield every link in order with the row it speaks of (None: gone), a few hundred at a time."""
    last = 0
    while links := session.exec(
        select(AuditLink).where(col(AuditLink.id) > last).order_by(col(AuditLink.id)).limit(BATCH)
    ).all():
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        for source, log in LOGS.items():
            ids = [link.row_id for link in links if link.source == source]
            for row in _rows(session, _table(log).select().where(_table(log).c.id.in_(ids))):
                rows[source, row["id"]] = row
        for link in links:
            yield link.id, link.source, link.row_id, link.digest, rows.get((link.source, link.row_id))
        last = links[-1].id


def _unchained(source: str) -> Select[Any]:
    table = _table(LOGS[source])
    chained = select(AuditLink.id).where(AuditLink.source == source, col(AuditLink.row_id) == table.c.id)
    return table.select().where(~chained.exists()).order_by(table.c.id)


def _rows(session: Session, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for row in session.execute(query).mappings():
        yield dict(row)


def _table(log: type[SQLModel]) -> Table:
    table: Table = log.__table__  # type: ignore[attr-defined]
    return table


def _aware(at: Any) -> datetime:
    assert isinstance(at, datetime)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return _aware(value).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else str(value)
