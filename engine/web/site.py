"""What the server's routes and middleware share: settings, database, limits, the children it supervises."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from engine.runtime.supervisor import Supervisor
from engine.services import users
from engine.settings import Settings, get_settings
from engine.store.database import Database
from engine.store.schema import SchemaError, upgrade
from engine.store.vault import Vault, VaultError, cookie_secret

log = logging.getLogger(__name__)

OVERALL = RateLimitItemPerMinute(1000)
AUTHENTICATION = RateLimitItemPerMinute(10)

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Site:
    """One server. ``problem`` is empty when it can serve; otherwise pages and /healthz say what is wrong."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.problem = "The server is starting."
        self.form_secret = b""
        self.setup_token = secrets.token_urlsafe(16)
        self.supervisor: Supervisor | None = None
        self._turn = threading.Lock()
        self._stopped = False
        self.hashing = ThreadPoolExecutor(2, thread_name_prefix="login")  # bcrypt: at most two cores' worth at a time
        self._limits = MovingWindowRateLimiter(_limit_storage(settings))
        self._spare_limits = MovingWindowRateLimiter(MemoryStorage())

    def prepare(self) -> bool:
        """Bring the schema up to date, make the keys, start the children; return whether that worked.

        May be called again after a failure: a database that is down or being migrated elsewhere comes back.
        """
        with self._turn:
            return not self._stopped and self._prepare()

    def stop(self) -> None:
        """End the children, then give back what is open."""
        with self._turn:
            self._stopped = True
            if self.supervisor is not None:
                self.supervisor.stop()
                self.supervisor = None
        self.hashing.shutdown(wait=False, cancel_futures=True)
        self.database.close()

    def _prepare(self) -> bool:
        try:
            upgrade(self.database)
            Vault.open(self.settings)
            self.form_secret = cookie_secret(self.settings)
            nobody_yet = users.registration_open(self.database)
        except (SchemaError, VaultError) as error:
            self._fail(str(error))
            return False
        except SQLAlchemyError as error:
            self._fail(f"The database does not answer ({type(error).__name__}).")
            return False
        if nobody_yet:
            self._announce("No user yet: open /register on this machine; the first user becomes admin.")
            self._announce(f"From another machine this setup token is asked for: {self.setup_token}")
        if self.settings.engine != "off" and self.supervisor is None:
            self.supervisor = Supervisor(self.settings)
            self.supervisor.start()
        self.problem = ""
        return True

    def allows(self, limit: RateLimitItemPerMinute, kind: str, address: str) -> bool:
        """Count a request of an address; return whether it is within the limit.

        When the shared store is down each server counts for itself: nobody is locked out by a dead Redis.
        """
        try:
            return self._limits.hit(limit, kind, address)
        except Exception as error:  # noqa: BLE001 - each store raises errors of its own library
            log.warning("rate limits: the shared store does not answer (%s)", type(error).__name__)
            return self._spare_limits.hit(limit, kind, address)

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s", problem)
        self.problem = problem

    @staticmethod
    def _announce(line: str) -> None:
        sys.stderr.write(
            f"  {line}\n"
        )  # to the console and not to the log file: the token is a secret until it is used
        sys.stderr.flush()


@lru_cache(maxsize=1)
def get_site() -> Site:
    """Return the site of this process; made at first use, it starts nothing by itself."""
    return Site(get_settings())


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


def address_of(connection: HTTPConnection) -> str:
    """Return the client's address; uvicorn has put the forwarded one there when a proxy on this machine named it."""
    return connection.client.host if connection.client is not None else ""


def is_https(connection: HTTPConnection) -> bool:
    """Return whether the browser talks TLS, here or with the proxy in front."""
    return connection.url.scheme in {"https", "wss"}


def from_this_machine(connection: HTTPConnection) -> bool:
    """Return whether the browser runs on this machine: loopback, called by a loopback name, no proxy in between.

    The name matters: a page elsewhere that resolves its own name to 127.0.0.1 comes from loopback, too.
    """
    if any(name in connection.headers for name in _FORWARDED):
        return False
    host = connection.url.hostname or ""
    return _is_loopback(address_of(connection)) and (host == "localhost" or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _limit_storage(settings: Settings) -> Storage:
    if not settings.redis_url:
        return MemoryStorage()
    storage = storage_from_string(settings.redis_url)
    if not isinstance(storage, Storage):
        raise TypeError("REDIS_URL must begin with redis:// or rediss://")
    return storage
