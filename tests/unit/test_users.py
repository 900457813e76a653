"""Registration, login, lock-out, sessions."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from engine.services import users
from engine.services.errors import InvalidInput, NotFound
from engine.services.identity import Caller, NotAllowed
from engine.services.passwords import check_password, hash_password, matches
from engine.services.users import LockedOut, LoginRefused, RegistrationClosed
from engine.store.database import Database
from engine.store.tables import ActivityLog, Role, User, UserSession
from tests.fresh_database import fresh_database

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
GOOD = "Teak-Ladder-88"
CHEAP = 4


@pytest.fixture
def database(tmp_path: Path):
    made = fresh_database(f"sqlite:///{tmp_path}/desk.db")
    yield made
    made.close()


@pytest.fixture
def asha(database: Database) -> User:
    return users.register(database, username="Asha", password=GOOD, now=NOW, cost=CHEAP)


def enter(database: Database, *, name="asha", password=GOOD, address="10.0.0.1", at=NOW, old=None) -> str:
    return users.login(database, username=name, password=password, address=address, now=at, old_token=old)[1]


def log(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        return [(row.action, row.target, row.outcome) for row in session.exec(select(ActivityLog))]


def test_the_first_user_becomes_admin_and_closes_registration(database: Database, asha: User) -> None:
    assert (asha.username, asha.role) == ("asha", Role.ADMIN)
    with pytest.raises(RegistrationClosed):
        users.register(database, username="ravi", password=GOOD, now=NOW, cost=CHEAP)
    assert not users.registration_open(database)
    assert log(database) == [("register", "asha", "done"), ("register", "ravi", "refused")]


def test_fifty_registrations_at_once_make_one_admin(database: Database) -> None:
    def attempt(number: int) -> bool:
        try:
            users.register(database, username=f"user{number}", password=GOOD, now=NOW, cost=CHEAP)
        except RegistrationClosed:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(attempt, range(50))) == 1
    with database.read() as session:
        assert [user.role for user in session.exec(select(User))] == [Role.ADMIN]


def test_beyond_this_machine_the_setup_token_is_needed(database: Database) -> None:
    asked = {"username": "asha", "password": GOOD, "now": NOW, "cost": CHEAP, "expected_setup_token": "printed"}
    for typed in (None, "", "guess", "prinţed"):
        with pytest.raises(InvalidInput, match="setup_token"):
            users.register(database, setup_token=typed, **asked)
    assert users.register(database, setup_token=" printed ", **asked).role is Role.ADMIN


@pytest.mark.parametrize("name", ["ab", "a" * 33, "asha kumar", "asha<", "āsha", ""])
def test_a_bad_username_is_refused_and_changes_nothing(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        users.register(database, username=name, password=GOOD, now=NOW, cost=CHEAP)
    assert refused.value.field == "username"
    assert users.registration_open(database)


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("Sh0rt!a", "8 to 128"),
        ("Aa1!" * 33, "8 to 128"),
        ("teak-ladder-88", "capital"),
        ("TEAK-LADDER-88", "small"),
        ("Teak-Ladder-xx", "digit"),
        ("TeakLadder88", "one of"),
        ("P@ssw0rd123!", "common"),
        ("Welcome@123", "common"),
        ("Qwerty!23456", "common"),
    ],
)
def test_a_weak_password_is_refused_with_what_it_lacks(password: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as refused:
        check_password(password)
    assert password not in str(refused.value)


def test_bytes_beyond_bcrypts_72_count(database: Database) -> None:
    long = "A1!" + "x" * 100
    stored = hash_password(long + "y", cost=CHEAP)
    assert matches(long + "y", stored)
    assert not matches(long + "z", stored)


def test_the_password_is_not_stored(database: Database, asha: User, tmp_path: Path) -> None:
    token = enter(database)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert GOOD.encode() not in kept
    assert token.encode() not in kept


def test_login_gives_a_session_and_ends_the_old_one(database: Database, asha: User) -> None:
    first = enter(database)
    second = enter(database, old=first)
    assert users.resolve_session(database, first, NOW) is None
    assert users.resolve_session(database, second, NOW) == Caller(asha.id, "asha", Role.ADMIN)


def test_wrong_names_and_wrong_passwords_read_alike(database: Database, asha: User) -> None:
    said = set()
    for name, password in (("asha", "wrong"), ("nobody", GOOD)):
        with pytest.raises(LoginRefused) as refused:
            enter(database, name=name, password=password)
        said.add(str(refused.value))
    assert len(said) == 1


def test_an_unknown_user_costs_as_much_time_as_a_known_one() -> None:
    stored = hash_password(GOOD)
    matches("warm the dummy hash", None)
    taken = []
    for known in (stored, None):
        start = time.perf_counter()
        matches("wrong", known)
        taken.append(time.perf_counter() - start)
    assert max(taken) < 3 * min(taken)


@pytest.mark.parametrize("name", ["asha", "nobody"])
def test_five_failures_lock_the_name_until_it_ends_by_itself(database: Database, asha: User, name: str) -> None:
    for number in range(5):
        with pytest.raises(LoginRefused):
            enter(database, name=name, password="wrong", address=f"10.0.1.{number}", at=NOW + timedelta(seconds=number))
    locked_at = NOW + timedelta(seconds=4)
    for later in (timedelta(seconds=1), timedelta(minutes=14, seconds=59)):
        with pytest.raises(LockedOut) as locked:
            enter(database, name=name, address="10.0.2.1", at=locked_at + later)
        assert locked.value.until == locked_at + timedelta(minutes=15)  # attempts do not prolong it
    if name == "asha":
        assert enter(database, address="10.0.2.1", at=locked_at + timedelta(minutes=15))


def test_five_failures_lock_the_address(database: Database, asha: User) -> None:
    for number in range(5):
        with pytest.raises(LoginRefused):
            enter(database, name=f"guess{number}", password="wrong")
    with pytest.raises(LockedOut, match="15 minutes"):
        enter(database)
    assert enter(database, address="10.0.0.2")


def test_a_success_wipes_the_slate(database: Database, asha: User) -> None:
    for _ in range(2):
        for _ in range(4):
            with pytest.raises(LoginRefused):
                enter(database, password="wrong")
        assert enter(database)


def test_of_many_guesses_at_once_no_more_than_five_are_judged_before_the_lock(database: Database, asha: User) -> None:
    def guess(number: int) -> str:
        try:
            enter(database, password=f"wrong{number}")
        except LockedOut:
            return "locked"
        except LoginRefused:
            return "refused"
        return "in"

    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(guess, range(12)))
    assert told.count("refused") == 5
    assert told.count("locked") == 7


def test_a_session_ends_when_idle_and_when_old(database: Database, asha: User) -> None:
    token = enter(database)
    assert users.resolve_session(database, token, NOW + timedelta(hours=7, minutes=59))
    assert users.resolve_session(database, token, NOW + timedelta(hours=15, minutes=58))  # seen in between
    assert users.resolve_session(database, token, NOW + timedelta(hours=24)) is None
    busy = enter(database)
    for hour in range(1, 7 * 24):
        assert users.resolve_session(database, busy, NOW + timedelta(hours=hour))
    assert users.resolve_session(database, busy, NOW + timedelta(days=7)) is None


def test_last_seen_is_written_at_most_once_a_minute(database: Database, asha: User) -> None:
    token = enter(database)

    def seen() -> datetime:
        with database.read() as session:
            return session.exec(select(UserSession)).one().last_seen_at

    users.resolve_session(database, token, NOW + timedelta(seconds=59))
    assert seen() == NOW
    users.resolve_session(database, token, NOW + timedelta(seconds=61))
    assert seen() == NOW + timedelta(seconds=61)


def test_logout_kills_the_token_and_logout_everywhere_all_of_them(database: Database, asha: User) -> None:
    one, two, three = (enter(database) for _ in range(3))
    users.logout(database, one, now=NOW)
    assert [users.resolve_session(database, token, NOW) is None for token in (one, two, three)] == [True, False, False]
    caller = Caller(asha.id, "asha", Role.ADMIN)
    assert users.logout_everywhere(database, caller, now=NOW) == 2
    assert users.resolve_session(database, two, NOW) is users.resolve_session(database, three, NOW) is None


def test_a_deactivated_user_is_out_at_once(database: Database, asha: User) -> None:
    token = enter(database)
    with database.write() as session:
        session.get_one(User, asha.id).active = False
    assert users.resolve_session(database, token, NOW) is None
    with pytest.raises(LoginRefused):
        enter(database)


def test_only_an_admin_adds_users_and_each_ends_only_own_sessions(database: Database, asha: User) -> None:
    admin = Caller(asha.id, "asha", Role.ADMIN)
    ravi = users.add_user(database, admin, username="ravi", password=GOOD, now=NOW, cost=CHEAP)
    trader = Caller(ravi.id, "ravi", Role.TRADER)
    with pytest.raises(NotAllowed):
        users.add_user(database, trader, username="mira", password=GOOD, now=NOW, cost=CHEAP)
    with pytest.raises(InvalidInput, match="taken"):
        users.add_user(database, admin, username="RAVI", password=GOOD, now=NOW, cost=CHEAP)
    enter(database)
    (mine,) = users.sessions(database, admin, now=NOW)
    with pytest.raises(NotFound):
        users.end_session(database, trader, mine.id, now=NOW)
    users.end_session(database, admin, mine.id, now=NOW)
    assert users.sessions(database, admin, now=NOW) == []


def test_a_new_password_ends_the_other_sessions(database: Database, asha: User) -> None:
    here, there = enter(database), enter(database)
    caller = Caller(asha.id, "asha", Role.ADMIN)
    with pytest.raises(InvalidInput, match="old password"):
        users.change_password(database, caller, old="wrong", new="Oak-Ladder-99", now=NOW)
    users.change_password(database, caller, old=GOOD, new="Oak-Ladder-99", now=NOW, keep_token=here, cost=CHEAP)
    assert users.resolve_session(database, here, NOW)
    assert users.resolve_session(database, there, NOW) is None
    assert enter(database, password="Oak-Ladder-99")


def test_the_identity_services_import_no_streamlit() -> None:
    code = "import sys, engine.services.users, engine.store.schema; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
