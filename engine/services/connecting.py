"""The server of an account: who it speaks for, in which mode, whether it queues orders, whether its session is good.

An account is armed with a broker and a mode and remembers both (RULES 5, "valid"). A server that later speaks for
another broker, or in another mode, gets nothing while a run has anything to do with the account: an exit sent there
would leave the real position where it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from engine.domain.runs import AccountMemory, AccountState
from engine.services import quarantine
from engine.services.amounts import count
from engine.services.ledger import Pass
from engine.services.messages import NEEDS_SESSION, Connected, Probed
from engine.services.sightings import orders_on
from engine.services.world import Account, World

PROBE_AGAIN = timedelta(seconds=60)
_OVER = frozenset({AccountState.SKIPPED, AccountState.FLAT})


def on_connected(changes: Pass, world: World, message: Connected) -> None:
    """Take broker and mode of an account; what it was armed with before counts also after a restart (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    if message.problem:
        account.connected = False
        account.waits_for = f"its server ({message.problem})"
        if message.problem.startswith(NEEDS_SESSION):
            tell_session(changes, world, account, message.problem)  # and asked again 3 s after it was asked
        else:
            account.connecting_since = None
        return
    if not same_server(changes, account, message.broker, message.mode):
        return
    account.connecting_since = None
    account.facts = replace(account.facts, broker=message.broker, mode=message.mode)
    account.connected = True
    account.books_wanted = True
    account.standing.probed_at = None
    quarantine.judge(changes, account)
    probe_if_due(changes, account)


def same_server(changes: Pass, account: Account, broker: str, mode: str) -> bool:
    """Whether a server is still the one that the account was armed with; ``broker`` empty: it was not asked.

    Another one quarantines the account while a run has anything to do with it, and until it is back; otherwise it is
    accepted, and everything that was known of the old one's books is forgotten.
    """
    known = _armed_with(changes, account)
    standing = account.standing
    if known is None or (mode == known[1] and broker in {"", known[0]}):
        if standing.server_changed or account.quarantine:
            standing.server_changed = ""
            quarantine.judge(changes, account)
        return True
    if not _in_use(changes, account):
        _accept(changes, account, broker or known[0], mode)
        return True
    armed = f"{known[0]} in {known[1]} mode"
    if mode != known[1]:
        why = f"its server is in {mode} mode, it was armed in {known[1]} mode"
    else:
        why = f"its server speaks for {broker}, it was armed with {known[0]}"
    if standing.server_changed != why:
        changes.event(
            owner_id=account.facts.owner_id,
            kind="drift",
            action="alert_only",
            message=f"{account.facts.name}: {why}; nothing is sent there until it is back",
            knew={"broker": broker, "mode": mode, "armed": armed},
            account_id=account.id,
        )
        changes.after_commit.append(partial(setattr, standing, "server_changed", why))
    account.quarantine = why
    account.disarm(why)
    return False


def tell_session(changes: Pass, world: World, account: Account, problem: str) -> None:
    """Let an account wait for a new broker session, with an alarm once a minute; it goes on by itself when reads do."""
    account.connected = False
    account.disarm(problem)
    told = ("session", account.id)
    if world.told_lately(told, changes.now):
        return
    runs = _open_runs(changes, account)
    held = f"; {count(len(runs), 'open run', 'open runs')} there cannot be exited until then" if runs else ""
    changes.event(
        owner_id=account.facts.owner_id,
        kind="exit_blocked" if runs else "drift",
        action="alert_only",
        message=f"{account.facts.name} {NEEDS_SESSION}: log in to the broker on its server{held}",
        knew={"problem": problem, "runs": runs},
        account_id=account.id,
    )
    changes.after_commit.append(partial(world.note_told, told, changes.now))


def probe_if_due(changes: Pass, account: Account) -> None:
    """Ask a live server whether it queues orders: once after connecting, and every 60 s while quarantined for it.

    Never in analyze mode: there a server that queues new orders lets cancellations through (recorded).
    """
    standing = account.standing
    if account.facts.mode != "live" or not account.connected:
        return
    again = account.quarantine == quarantine.SEMI_AUTO and standing.probed_at is not None
    if standing.probed_at is None or (again and abs(changes.now - standing.probed_at) >= PROBE_AGAIN):
        standing.probed_at = changes.now
        changes.after_commit.append(account.hands.probe)


def on_probed(changes: Pass, world: World, message: Probed) -> None:
    """Take what a probe found: an account that queues orders for approval is quarantined (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None or message.semi_auto is None:
        return
    account.semi_auto = message.semi_auto
    before = account.quarantine
    quarantine.judge(changes, account)
    if account.quarantine and account.quarantine != before:
        changes.event(
            owner_id=account.facts.owner_id,
            kind="unknown_order",
            action="alert_only",
            message=f"{account.facts.name} is in semi-auto mode: its server queues every order for approval; "
            "nothing is sent there until it is in auto mode",
            knew={"answer": message.words},
            account_id=account.id,
        )
    account.books_wanted = True  # valid books arm it


def _armed_with(changes: Pass, account: Account) -> tuple[str, str] | None:
    memory = changes.memory(account.id)
    if memory is not None:
        return memory.broker, memory.mode
    return None if account.books is None else (account.facts.broker, account.facts.mode)


def _in_use(changes: Pass, account: Account) -> bool:
    return bool(_open_runs(changes, account)) or any(
        not order.terminal and order.sent_at is not None for order in orders_on(changes, account.id)
    )


def _open_runs(changes: Pass, account: Account) -> list[int]:
    return [
        run.id
        for run in changes.open_runs()
        if any(row.account_id == account.id and row.state not in _OVER for row in changes.accounts_of(run.id))
    ]


def _accept(changes: Pass, account: Account, broker: str, mode: str) -> None:
    account.facts = replace(account.facts, broker=broker, mode=mode)
    account.books, account.books_day, account.opening, account.traded = None, None, None, {}
    account.disagreement, account.opening_confirmed = None, False
    account.drift_since.clear()
    account.semi_auto = None
    account.standing.server_changed, account.standing.probed_at = "", None
    changes.put_memory(AccountMemory(account_id=account.id, broker=broker, mode=mode, armed_at=changes.now))
    quarantine.judge(changes, account)
