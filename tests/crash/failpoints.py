"""Failpoints: moments between two acts of the engine, found by wrapping its functions from outside.

Nothing of this is in the product. ``install`` replaces attributes of the engine's classes and modules in this process
and calls ``reached(name)`` at each moment; a name that no longer fits raises AttributeError at the start.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from engine.broker.client import OpenAlgoClient
from engine.broker.transport import Departure
from engine.domain.orders import OrderState
from engine.runtime.core import Core
from engine.runtime.hands import AccountHands
from engine.runtime.inbox import Inbox
from engine.services.intake import Intake
from engine.services.journal import Journal
from engine.services.messages import Answered, BooksRead, CancelAnswered, ModifyAnswered, Pushed

FAILPOINTS = {
    "command-taken": "a command became its plan in memory, nothing is committed",
    "commit-begins": "a pass with orders is decided, its commit has not begun",
    "commit-written": "the statements of a pass with orders ran, COMMIT did not",
    "commit-done": "a pass with orders is committed, memory is as before",
    "act-begins": "memory is as committed, nothing was handed out yet",
    "act-done": "everything of a pass was handed out",
    "send-handed": "the order is on its way to a worker, no connection yet",
    "send-checking": "the connection stands, the licence was not checked yet",
    "send-connected": "the connection stands, the licence was checked, no byte left",
    "send-left": "the order's bytes left, no answer was waited for",
    "send-arrived": "the answer's first bytes came, it was not read",
    "send-answered": "the answer was read, its proof is not in the inbox",
    "answer-in-inbox": "the proof is in the inbox, the core has not taken it",
    "answer-taken": "the core took the proof, nothing is committed",
    "answer-committed": "what became of an order is committed, memory is as before",
    "push-in-inbox": "an order push is in the inbox",
    "push-taken": "the core took an order push, nothing is committed",
    "books-read": "the three books were read, they are not in the inbox",
    "books-taken": "the core took the books, nothing is committed",
    "cancel-handed": "a cancellation is on its way to a worker",
    "cancel-left": "the cancellation's bytes left",
    "cancel-answered": "the cancellation was answered, its answer is not in the inbox",
    "cancel-taken": "the core took the answer to a cancellation",
    "modify-handed": "a modification is on its way to a worker",
    "modify-left": "the modification's bytes left",
    "modify-answered": "the modification was answered, its answer is not in the inbox",
    "modify-taken": "the core took the answer to a modification",
}
Reached = Callable[[str], None]


def install(reached: Reached) -> None:
    """Wrap the engine's functions in this process."""
    _around_commits(reached)
    _around_calls(reached)
    _around_messages(reached)


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace an attribute by ``around(original, *args, **kwargs)``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(owner, name, wrapped)


def _around_commits(reached: Reached) -> None:
    def commit(original: Any, journal: Journal, changes: Any, **kwargs: Any) -> None:
        if changes.orders:
            reached("commit-begins")
        known = (changes.ledger.orders.get(order.execution_id, {}).get(order.id) for order in changes.orders.values())
        answered = any(
            before is not None
            and before.state is OrderState.SENDING
            and changes.orders[before.id].state != before.state
            for before in list(known)
        )
        original(journal, changes, **kwargs)
        if changes.orders:
            reached("commit-done")
        if answered:
            reached("answer-committed")

    def write(original: Any, journal: Journal, session: Any, changes: Any) -> None:
        original(journal, session, changes)
        if changes.orders:
            session.flush()
            reached("commit-written")

    def act(original: Any, core: Core, changes: Any) -> None:
        if changes.after_commit:
            reached("act-begins")
        original(core, changes)
        if changes.after_commit:
            reached("act-done")

    wrap(Journal, "commit", commit)
    wrap(Journal, "_write", write)
    wrap(Core, "_act", act)


def _around_calls(reached: Reached) -> None:
    calling = threading.local()

    def handed(name: str) -> Callable[..., None]:
        def hand(original: Any, hands: AccountHands, *args: Any) -> None:
            reached(f"{name}-handed")
            original(hands, *args)

        return hand

    def called(name: str) -> Callable[..., Any]:
        def call(original: Any, client: OpenAlgoClient, *args: Any, **kwargs: Any) -> Any:
            calling.name = name
            check = kwargs.get("before_write")
            if check is not None:

                def checked() -> None:
                    reached(f"{name}-checking")
                    check()
                    reached(f"{name}-connected")

                kwargs["before_write"] = checked
            try:
                outcome = original(client, *args, **kwargs)
            finally:
                calling.name = ""
            reached(f"{name}-answered")
            return outcome

        return call

    def trace(original: Any, departure: Departure, event: str, info: dict[str, Any]) -> None:
        original(departure, event, info)
        name = getattr(calling, "name", "")
        if name and event.endswith("receive_response_headers.started"):
            reached(f"{name}-left")
        elif name == "send" and event.endswith("receive_response_headers.complete"):
            reached("send-arrived")

    wrap(AccountHands, "send", handed("send"))
    wrap(AccountHands, "cancel", handed("cancel"))
    wrap(AccountHands, "modify", handed("modify"))
    wrap(OpenAlgoClient, "place_order", called("send"))
    wrap(OpenAlgoClient, "cancel_order", called("cancel"))
    wrap(OpenAlgoClient, "modify_order", called("modify"))
    wrap(Departure, "trace", trace)


def _around_messages(reached: Reached) -> None:
    def put(original: Any, inbox: Inbox, message: Any) -> None:
        if isinstance(message, BooksRead):
            reached("books-read")
        original(inbox, message)
        if isinstance(message, Answered):
            reached("answer-in-inbox")
        elif isinstance(message, Pushed):
            reached("push-in-inbox")

    def take(original: Any, core: Core, changes: Any, message: Any) -> str:
        stop = original(core, changes, message)
        for kind, name in _TAKEN.items():
            if isinstance(message, kind):
                reached(name)
        return str(stop)

    def command(original: Any, intake: Intake, *args: Any) -> None:
        original(intake, *args)
        reached("command-taken")

    wrap(Inbox, "put", put)
    wrap(Core, "_take", take)
    wrap(Intake, "take", command)


_TAKEN = {
    Answered: "answer-taken",
    Pushed: "push-taken",
    BooksRead: "books-taken",
    CancelAnswered: "cancel-taken",
    ModifyAnswered: "modify-taken",
}
