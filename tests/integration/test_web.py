"""The server as it runs: login, refusals, headers and health, over real sockets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import websockets
from sqlalchemy import text
from sqlmodel import select

from engine.store.database import Database
from engine.store.schema import upgrade
from engine.store.tables import ActivityLog, EngineLease, User, UserSession

ROOT = Path(__file__).resolve().parents[2]
GOOD = "Teak-Ladder-88"


class Server(NamedTuple):
    """A running server: its address, its database, what it printed."""

    url: str
    database: Database
    console: Path

    def browser(self, **headers: str) -> httpx.Client:
        # One address each, as a proxy on this machine would name it: the limits count per address.
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def setup_token(self) -> str:
        return re.search(r"setup token is asked for: (\S+)", self.console.read_text())[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(folder: Path, **extra: str) -> Iterator[Server]:
    port = free_port()
    url = f"sqlite:///{folder}/desk.db"
    environment = (
        os.environ | {"DATABASE_URL": url, "LOG_DIR": str(folder), "ENGINE": "off", "APP_ENV": "production"} | extra
    )
    command = [
        sys.executable, "-m", "streamlit", "run", "Home.py", "--server.port", str(port),
        "--server.address", "127.0.0.1", "--server.headless", "true",
    ]  # fmt: skip
    console = folder / "console.txt"
    with console.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 40
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None, console.read_text()
                assert time.monotonic() < deadline, console.read_text()
                time.sleep(0.05)
        database = Database(url)
        yield Server(f"http://127.0.0.1:{port}", database, console)
        database.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server nobody has registered at; tests that register use another."""
    yield from serve(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server at which fifty people registered at once."""
    for running in serve(tmp_path_factory.mktemp("server")):
        names, addresses = [f"user{n}" for n in range(50)], [f"10.9.{n % 25}.1" for n in range(50)]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(register, [running] * 50, names, addresses))
        running.console.with_name("answers").write_text(" ".join(str(answer.status_code) for answer in answers))
        yield running


def form_token(page: httpx.Response) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', page.text)[1]


def register(server: Server, name: str, address: str, **fields: str) -> httpx.Response:
    with server.browser(**{"X-Forwarded-For": address}) as browser:
        page = browser.get("/register")
        if page.status_code != 200:
            return page
        fields = {"setup_token": server.setup_token(), "password": GOOD, "again": GOOD, "username": name} | fields
        return browser.post("/register", data=fields | {"form_token": form_token(page)})


def admin(server: Server) -> str:
    with server.database.read() as session:
        return session.exec(select(User)).one().username


def log_in(browser: httpx.Client, server: Server, **fields: str) -> httpx.Response:
    page = browser.get("/login")
    fields = {"username": admin(server), "password": GOOD, "form_token": form_token(page)} | fields
    return browser.post("/login", data=fields)


def websocket_status(
    server: Server, cookie: str = "", path: str = "/_stcore/stream", origins: tuple[str, ...] | None = None
) -> int:
    """Return how the server answers the opening; by default with the Origin that a page of its own sends."""

    async def attempt() -> int:
        headers = [("Origin", origin) for origin in (origins if origins is not None else (server.url,))]
        headers += [("Cookie", cookie)] if cookie else []
        target = server.url.replace("http", "ws") + path
        try:
            async with websockets.connect(target, additional_headers=headers, subprotocols=["streamlit"]):
                return 101
        except websockets.InvalidStatus as refused:
            return refused.response.status_code

    return asyncio.run(attempt())


def test_pages_lead_to_registration_while_nobody_exists(empty: Server) -> None:
    with empty.browser() as browser:
        for path in ("/", "/Positions", "/login"):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/register"), path
        page = browser.get("/register")
    assert "Create the first user" in page.text
    assert "Setup token" not in page.text  # this machine


def test_from_elsewhere_registration_asks_for_the_setup_token(empty: Server) -> None:
    with empty.browser(**{"X-Forwarded-For": "10.1.1.1"}) as browser:
        page = browser.get("/register")
        assert "Setup token" in page.text
        fields = {"username": "mallory", "password": GOOD, "again": GOOD, "email": "m@example.org"}
        answer = browser.post("/register", data=fields | {"form_token": form_token(page), "setup_token": "guess"})
    assert answer.status_code == 422
    assert "Setup token is not the one printed" in answer.text
    assert 'value="mallory"' in answer.text
    assert 'value="m@example.org"' in answer.text
    assert GOOD not in answer.text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"username": "<b>x</b>"}, "Username must have 3 to 32"),
        ({"password": "weak", "again": "weak"}, "Password must have 8 to 128"),
        ({"again": "Other-Ladder-88"}, "Password again differs"),
        ({"email": "nowhere"}, "E-mail (optional) is no e-mail address"),
    ],
)
def test_a_wrong_field_is_named_and_what_was_typed_survives(empty: Server, fields: dict[str, str], says: str) -> None:
    answer = register(empty, "asha", f"10.2.{len(says)}.1", **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert "<b>x</b>" not in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_everything_that_is_wrong_with_a_registration_is_said_at_once(empty: Server) -> None:
    answer = register(empty, "a", "10.2.99.1", email="nowhere", password="weak", again="other")
    for says in (
        "Username must have 3 to 32", "E-mail (optional) is no e-mail", "Password must have 8 to 128",
        "Password again differs",
    ):  # fmt: skip
        assert says in answer.text
    assert answer.text.count("autofocus") == 1


def test_a_form_from_elsewhere_is_refused(empty: Server) -> None:
    fields = {"username": "mallory", "password": GOOD, "again": GOOD}
    for number, headers in enumerate(
        ({}, {"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"})
    ):
        with empty.browser(**{"X-Forwarded-For": f"10.3.{number}.1"}) as browser:
            token = form_token(browser.get("/register")) if headers else "made.up"
            answer = browser.post("/register", data=fields | {"form_token": token}, headers=headers)
        assert answer.status_code == 403, headers
        assert "came from elsewhere" in answer.text


def test_a_large_form_is_refused_announced_or_not(empty: Server) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"username=" + b"a" * 1024

    for number, body in enumerate((b"a" * 20_000, pieces())):
        with empty.browser(**{"X-Forwarded-For": f"10.4.{number}.1"}) as browser:
            try:
                assert browser.post("/register", content=body).status_code == 413
            except httpx.WriteError:  # refused while it was still being sent
                assert number == 1


def test_the_eleventh_attempt_of_a_minute_waits(empty: Server) -> None:
    with empty.browser(**{"X-Forwarded-For": "10.5.0.1"}) as browser:
        told = [browser.post("/login", data={"username": "x", "password": "y"}).status_code for _ in range(12)]
    assert told[:10] == [403] * 10
    assert told[10:] == [429, 429]


def test_fifty_registrations_at_once_make_one_admin(server: Server) -> None:
    told = (server.console.with_name("answers")).read_text().split()
    assert told.count("303") >= 1
    with server.database.read() as session:
        assert [user.role.value for user in session.exec(select(User))] == ["admin"]
        assert len(session.exec(select(UserSession)).all()) == 1
        done = [row for row in session.exec(select(ActivityLog)) if (row.action, row.outcome) == ("register", "done")]
    assert len(done) == 1
    with server.browser() as browser:
        page = browser.get("/register")
        assert (page.status_code, "Log in" in page.text) == (403, True)
        assert "Registration is closed: ask the admin" in page.text
        answer = browser.post("/register", data={"username": "late", "form_token": form_token(page)})
        assert (answer.status_code, "Registration is closed: ask the admin" in answer.text) == (403, True)
        fields = {"username": admin(server), "password": GOOD, "form_token": form_token(page)}
        assert browser.post("/login", data=fields).headers["location"] == "/"  # the form works
        assert browser.get("/register").headers["location"] == "/"


def test_login_opens_the_pages_and_a_replayed_cookie_after_logout_does_not(server: Server) -> None:
    with server.browser(**{"X-Forwarded-For": "10.6.0.1"}) as browser:
        assert browser.get("/Orders?day=1").headers["location"] == "/login?next=/Orders%3Fday%3D1"
        answer = log_in(browser, server, next="/Orders?day=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/Orders?day=1")
        set_cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in set_cookie
        assert "SameSite=strict" in set_cookie
        assert "Secure" not in set_cookie  # plain http on loopback
        stolen = browser.cookies["algomirror_session"]
        assert browser.get("/").status_code == 200
        assert browser.get("/_stcore/health").status_code == 200
        assert websocket_status(server, f"algomirror_session={stolen}") == 101
        question = browser.get("/logout")
        assert "Log out?" in question.text
        assert browser.get("/").status_code == 200
        assert browser.post("/logout", data={"form_token": form_token(question)}).headers["location"] == "/login"
        assert "algomirror_session" not in browser.cookies
    with server.browser(Cookie=f"algomirror_session={stolen}") as thief:
        assert thief.get("/").headers["location"] == "/login"
    assert websocket_status(server, f"algomirror_session={stolen}") == 403


def test_a_websocket_opens_only_from_a_page_of_this_server(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with server.browser(**{"X-Forwarded-For": "10.15.0.1"}) as browser:
        log_in(browser, server)
        cookie = f"algomirror_session={browser.cookies['algomirror_session']}"
    assert websocket_status(server, cookie) == 101
    assert websocket_status(server, cookie, origins=(server.url.replace("http", "https"),)) == 101  # TLS ended before
    for origins in (
        (),
        ("",),
        ("null",),
        ("https://elsewhere.example",),
        (f"http://localhost:{port}",),
        (f"http://127.0.0.1:{port + 1}",),
        ("http://127.0.0.1",),
        (f"http://127.0.0.1:{port}.elsewhere.example",),
        (f"http://u@127.0.0.1:{port}",),
        (f"file://127.0.0.1:{port}",),
        ("http://[",),
    ):
        assert websocket_status(server, cookie, origins=origins) == 403, origins
    # Two Origins are no handshake at all: the server's library answers before us.
    assert websocket_status(server, cookie, origins=(server.url, "https://elsewhere.example")) in {400, 403}


def test_a_click_on_log_out_needs_no_second_one(server: Server) -> None:
    click = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"}
    with server.browser(**{"X-Forwarded-For": "10.7.0.1"}) as browser:
        log_in(browser, server)
        assert "Log out?" in browser.get("/logout", headers=click | {"Sec-Purpose": "prefetch"}).text
        assert browser.get("/logout", headers=click).headers["location"] == "/login"
        assert browser.get("/").status_code == 303


def test_logout_on_all_devices(server: Server) -> None:
    with server.browser(**{"X-Forwarded-For": "10.8.0.1"}) as desk, server.browser() as phone:
        log_in(desk, server)
        log_in(phone, server)
        token = form_token(desk.get("/logout"))
        desk.post("/logout", data={"form_token": token, "everywhere": "yes"})
        assert phone.get("/").status_code == 303


@pytest.mark.parametrize("cookie", ["", "algomirror_session=", "algomirror_session=guess", "other=1"])
def test_without_a_session_websockets_and_streamlits_doors_are_shut(server: Server, cookie: str) -> None:
    assert websocket_status(server, cookie) == 403
    with server.browser(Cookie=cookie) as browser:
        for path in ("/_stcore/health", "/_stcore/metrics", "/_stcore/host-config", "/media/x", "/component/x/y"):
            assert browser.get(path).status_code == 403, path
        assert browser.post("/_stcore/agent/interact", json={}).status_code == 403
        assert browser.put("/_stcore/upload_file/a/b", content=b"x").status_code == 403
        assert browser.get("/Orders").status_code == 303


def test_a_session_id_in_a_websockets_subprotocol_opens_nothing(server: Server) -> None:
    assert websocket_status(server, path="/_stcore/stream?session=1") == 403


@pytest.mark.parametrize("wanted", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "x"])
def test_login_leads_nowhere_else(server: Server, wanted: str) -> None:
    with server.browser(**{"X-Forwarded-For": f"10.10.{len(wanted)}.1"}) as browser:
        assert log_in(browser, server, next=wanted).headers["location"] == "/"


def test_a_wrong_password_keeps_the_name_and_says_no_more(server: Server) -> None:
    with server.browser(**{"X-Forwarded-For": "10.11.0.1"}) as browser:
        answer = log_in(browser, server, password="Wrong-Ladder-88")
        unknown = log_in(browser, server, username="nobody")
    assert answer.status_code == unknown.status_code == 401
    assert f'value="{admin(server)}"' in answer.text
    assert "Wrong-Ladder-88" not in answer.text
    for page in (answer, unknown):
        assert "Name and password do not belong together." in page.text


def test_a_link_from_elsewhere_finds_the_session_by_one_bounce(server: Server) -> None:
    with server.browser(**{"Sec-Fetch-Site": "cross-site"}) as browser:
        page = browser.get("/login?next=/Orders%3Fday%3D1")
        target = re.search(r'content="0;url=([^"]+)"', page.text)[1].replace("&amp;", "&")
        assert target == "/login?again=1&next=/Orders%3Fday%3D1"
        assert "form_token" in browser.get(target).text  # no second bounce
    with server.browser(**{"X-Forwarded-For": "10.12.0.1"}) as browser:
        log_in(browser, server)
        assert browser.get(target, headers={"Sec-Fetch-Site": "same-origin"}).headers["location"] == "/Orders?day=1"


def test_every_answer_carries_the_headers(server: Server) -> None:
    with server.browser(**{"X-Forwarded-For": "10.13.0.1"}) as browser:
        log_in(browser, server)
        for path in ("/", "/login?again=1", "/healthz", "/_stcore/health", "/static/none.js"):
            headers = browser.get(path).headers
            policy = headers["content-security-policy"]
            assert re.search(r"script-src 'self' 'sha256-[^']+'; style-src", policy), path
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "same-origin"
            assert "strict-transport-security" not in headers


def test_behind_tls_cookies_are_secure_and_hsts_is_on(server: Server) -> None:
    with server.browser(**{"X-Forwarded-For": "10.14.0.1", "X-Forwarded-Proto": "https"}) as browser:
        page = browser.get("/login")
        assert "Secure" in page.headers["set-cookie"]
        assert "max-age=31536000" in page.headers["strict-transport-security"]


def test_healthz_answers_without_a_session_and_without_secrets(server: Server) -> None:
    answer = httpx.get(f"{server.url}/healthz")
    health = answer.json()
    assert answer.status_code == 200
    assert (health["engine"], health["database"], health["schema"], health["reason"]) == ("off", "ok", "current", "")
    said = "status reason version database schema engine engine_alive lease_age_seconds last_pass_at"
    assert set(health) == set(said.split())


def test_healthz_says_when_the_engine_is_dead(tmp_path: Path) -> None:
    for running in serve(tmp_path, ENGINE="external", PAPER_PORT=str(free_port())):
        for age, note, status in (
            (None, "", 503),
            (1.0, "", 200),
            (30.0, "", 503),
            (1.0, "stopped with 1 open run", 503),
        ):
            if age is not None:
                at = datetime.now(UTC) - timedelta(seconds=age)
                lease = EngineLease(
                    holder="engine-1", host="elsewhere", renewed_at=at, last_pass_at=at, stopped_note=note
                )
                with running.database.write() as session:
                    session.merge(lease)
            answer = httpx.get(f"{running.url}/healthz")
            assert answer.status_code == status, answer.text
            assert ("engine" in answer.json()["reason"]) == (status == 503)
            assert note in answer.json()["reason"]


def test_a_database_of_a_newer_release_is_named_and_touched_by_nobody(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/desk.db")
    upgrade(database)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for running in serve(tmp_path):
        health = httpx.get(f"{running.url}/healthz")
        assert (health.status_code, health.json()["schema"]) == (503, "newer")
        for path in ("/", "/login", "/register"):
            page = httpx.get(running.url + path)
            assert page.status_code == 503
            assert "newer release" in page.text


def test_a_database_that_fails_later_is_named_too(tmp_path: Path) -> None:
    for running in serve(tmp_path):
        with running.database.write() as session:
            session.execute(text("DROP TABLE user_session"))
            session.execute(text("ALTER TABLE user RENAME TO gone"))
        cookies = {"algomirror_session": "guess"}
        for path in ("/", "/logout"):
            page = httpx.get(running.url + path, cookies=cookies)
            assert page.status_code == 503
            assert "database does not answer" in page.text
        assert httpx.get(running.url).status_code == httpx.get(running.url + "/login").status_code == 503
        assert websocket_status(running, "algomirror_session=guess") == 403
