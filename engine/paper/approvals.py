"""Semi-auto accounts: order calls that wait for approval, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from engine.paper.storage import Storage
from engine.paper.wire import Refusal

QUEUED = "queued"
"""The kind of document that keeps a queued call on disk."""


class Verdict(StrEnum):
    """What became of a queued call. A failed one was approved and then refused."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(slots=True)
class Queued:
    """A call that waits for approval: what it is (``kind``), what it says (``payload``, JSON), in which mode it came.

    ``approve_at`` (epoch seconds) is when it is approved by itself, None for never. ``outcome`` is the id that an
    approved call led to, or why it was refused.
    """

    number: int
    api_key: str
    face: str
    kind: str
    payload: dict[str, Any]
    queued_at: float
    approve_at: float | None
    verdict: Verdict = Verdict.PENDING
    outcome: str = ""

    def document(self) -> dict[str, Any]:
        """Return the call as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> Queued:
        """Return the call that ``document`` wrote."""
        return cls(**{**row, "verdict": Verdict(row["verdict"])})


Replay = Callable[[Queued], str]
"""Carries a queued call out as if it came now; returns the id it led to. Raises Refusal."""


class Approvals:
    """All queued calls by key and number. Numbers count up by key, as the server of one account would."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._replays: dict[str, Replay] = {}
        self._calls: dict[tuple[str, int], Queued] = {}
        self.reload()

    def reload(self) -> None:
        """Take all calls from disk."""
        calls = [Queued.from_document(row) for _, __, row in self._storage.documents(QUEUED)]
        self._calls = {(call.api_key, call.number): call for call in calls}

    def register(self, kind: str, replay: Replay) -> None:
        """Say how calls of a kind are carried out."""
        self._replays[kind] = replay

    def of(self, api_key: str) -> list[Queued]:
        """All calls of a key in the order of arrival, decided ones included."""
        return [call for call in self._calls.values() if call.api_key == api_key]

    def queue(
        self, api_key: str, face: str, kind: str, payload: dict[str, Any], *, at: float, approve_after: float | None
    ) -> int:
        """Keep a call; returns its number. Raises ValueError for a kind that nobody can carry out."""
        if kind not in self._replays:
            raise ValueError(f"{kind} calls cannot be queued; known are {', '.join(sorted(self._replays))}")
        number = max((call.number for call in self.of(api_key)), default=0) + 1
        approve_at = None if approve_after is None else at + approve_after
        call = Queued(number, api_key, face, kind, payload, at, approve_at)
        with self._storage.transaction():
            self._save(call)
        self._calls[api_key, number] = call
        return number

    def approve(self, api_key: str, number: int) -> Queued:
        """Carry a waiting call out; a refusal becomes its outcome. Raises Refusal (404) if nothing waits there."""
        call = self._waiting(api_key, number)
        with self._storage.transaction():
            try:
                call.outcome = self._replay(call)
                call.verdict = Verdict.APPROVED
            except Refusal as refusal:
                call.verdict, call.outcome = Verdict.FAILED, str(refusal.message)
            self._save(call)
        return call

    def reject(self, api_key: str, number: int) -> Queued:
        """Decline a waiting call. Raises Refusal (404) if nothing waits there."""
        call = self._waiting(api_key, number)
        call.verdict = Verdict.REJECTED
        with self._storage.transaction():
            self._save(call)
        return call

    def sweep(self, at: float) -> None:
        """Approve every call whose time has come."""
        for call in list(self._calls.values()):
            if call.verdict is Verdict.PENDING and call.approve_at is not None and call.approve_at <= at:
                self.approve(call.api_key, call.number)

    def _replay(self, call: Queued) -> str:
        replay = self._replays.get(call.kind)
        if replay is None:  # kept by a version that knew more kinds
            raise Refusal(400, f"{call.kind} calls cannot be carried out")
        return replay(call)

    def _waiting(self, api_key: str, number: int) -> Queued:
        call = self._calls.get((api_key, number))
        if call is None or call.verdict is not Verdict.PENDING:
            raise Refusal(404, f"No order {number} waits for approval")
        return call

    def _save(self, call: Queued) -> None:
        self._storage.save_document(QUEUED, call.api_key, str(call.number), call.document())
