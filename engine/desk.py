"""The Desk: everything a page may ask or order, in the name of one caller; the only door from pages/.

A Desk holds no state of its own. Each method checks the caller in the service behind it, so a page cannot forget to.
"""

from __future__ import annotations

import inspect
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, DisconnectionError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from engine.services import (
    accounts,
    commands,
    desk_live,
    events,
    limit_commands,
    order_commands,
    order_views,
    paper_family,
    runs,
    strategies,
    users,
)
from engine.services.connection import Probe, probe
from engine.services.drafts import StrategyDraft
from engine.services.errors import (
    ConnectionFailed,
    InvalidInput,
    NotFound,
    Refused,
    ServiceError,
    TooManyRequests,
    Unavailable,
)
from engine.services.exit_warnings import Warned
from engine.services.identity import Caller, NotAllowed
from engine.services.quota import Quota
from engine.services.risk_views import DayLimitView, DrillView, SeriesView
from engine.services.series_views import read_series
from engine.services.templates import TEMPLATES
from engine.services.views import (
    AccountDraft,
    AccountView,
    CommandView,
    ConnectionReport,
    EngineView,
    EventFilter,
    LiveView,
    OrdersView,
    RiskEventView,
    RunView,
    StrategyView,
    TemplateView,
)
from engine.settings import Settings, get_settings
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.tables import Role
from engine.store.vault import Vault

__all__ = [
    "Caller",
    "ConnectionFailed",
    "Desk",
    "InvalidInput",
    "NotAllowed",
    "NotFound",
    "Refused",
    "Role",
    "ServiceError",
    "TooManyRequests",
    "Unavailable",
    "open_desk",
]

log = logging.getLogger(__name__)

LIVE_FILE = "live.db"
LARGEST_ID = 2**63 - 1
DATABASE_SILENT = "The database does not answer; nothing was taken. Press again."

_DATABASE_ERRORS = (DBAPIError, DisconnectionError, PendingRollbackError, PoolTimeoutError, sqlite3.Error)
_T = TypeVar("_T")


def _at_the_door(desk: type[_T]) -> type[_T]:
    """Let every public method of a class check what it is given, and tell of a silent database in words."""
    for name, method in list(vars(desk).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(desk, name, _checking(method))
    return desk


def _checking(method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        _storable((name, value) for name, value in given.items() if name != "self")
        try:
            return method(*args, **kwargs)
        except _DATABASE_ERRORS as error:
            log.error("%s: the database does not answer (%s)", method.__name__, type(error).__name__)  # noqa: TRY400 - its text may hold what was typed
            raise Unavailable(DATABASE_SILENT) from error

    return checked


def _storable(given: Iterable[tuple[str, Any]]) -> None:
    """Refuse what no database can hold: NotFound for ids no row can have, InvalidInput for text of no letters.

    An id that is no whole number is InvalidInput: True would be taken for account 1, a list for nothing at all.
    """
    for name, value in given:
        if name.endswith("_id") and value is not None:
            _known_id(name, value)
        elif name.endswith("_ids") and value is not None:
            if not isinstance(value, list | tuple):
                raise InvalidInput(name, "it must be a list of whole numbers")
            for number in value:
                _known_id(name, number)
        elif isinstance(value, str):
            if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
                raise InvalidInput(name, "it holds half a letter or a zero that cannot be stored; type it anew")
        elif isinstance(value, BaseModel):
            _storable(value)
        elif isinstance(value, list | tuple):
            _storable((name, item) for item in value)


def _known_id(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidInput(name, "it must be a whole number")
    if not 1 <= number <= LARGEST_ID:
        thing = name.removesuffix("s").removesuffix("_id").rpartition("_")[2]
        raise NotFound(f"There is no {thing} of this number.")


@_at_the_door
class Desk:
    """One caller's desk. ``clock`` gives aware UTC; ``connect`` tests a connection (replaced where no server runs)."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        live: LiveStore,
        vault: Vault,
        caller: Caller,
        *,
        quota: Quota | None = None,
        connect: Probe = probe,
        clock: Callable[[], datetime] = desk_live.utc_now,
    ) -> None:
        self.caller = caller
        self._settings = settings
        self._database = database
        self._live = live
        self._vault = vault
        self._quota = quota or Quota()
        self._connect = connect
        self._clock = clock

    @property
    def now(self) -> datetime:
        """The time that ages are counted from, aware UTC."""
        return self._clock()

    @property
    def may_trade(self) -> bool:
        """Whether the caller's role permits changes; the services check again."""
        return self.caller.role is not Role.VIEWER

    # What moves

    def engine(self) -> EngineView:
        """Return the engine's heartbeat."""
        return desk_live.engine_view(self._database, self.caller, now=self.now)

    def live(self) -> LiveView:
        """Return accounts, open runs and P; ``problem`` says when the figures do not move."""
        return desk_live.live_view(self._database, self._live, self.caller, now=self.now)

    def supertrend_series(self, run_id: int) -> SeriesView | None:
        """Return the bars that the Supertrend exit of one of the caller's runs runs on, None where there are none."""
        return read_series(self._live, self.caller, run_id)

    # Accounts

    def accounts(self) -> list[AccountView]:
        """Return all accounts of the caller, those that are not active last."""
        return desk_live.accounts_view(self._database, self._live, self.caller, now=self.now)

    def add_account(self, draft: AccountDraft) -> AccountView:
        """Test the connection, then store the account."""
        self._quota.take_heavy(self.caller)
        return accounts.add_account(
            self._database, self._vault, self.caller, draft, now=self.now, connect=self._connect
        )

    def test_account(self, account_id: int) -> ConnectionReport:
        """Test the connection of a stored account."""
        self._quota.take_heavy(self.caller)
        return accounts.check_account(
            self._database, self._vault, self.caller, account_id=account_id, now=self.now, connect=self._connect
        )

    def deactivate_account(self, account_id: int) -> None:
        """Take an account out of use; refused while a run is open on it."""
        accounts.deactivate_account(self._database, self.caller, account_id=account_id, now=self.now)

    def set_primary(self, account_id: int) -> None:
        """Make an account the source of market data of its venue."""
        accounts.set_primary(self._database, self.caller, account_id=account_id, now=self.now)

    def start_with_paper_accounts(self) -> list[AccountView]:
        """Make the family's three paper accounts, or return them when they are there."""
        self._quota.take_heavy(self.caller)
        return paper_family.start_with_paper_accounts(
            self._database, self._vault, self._settings, self.caller, now=self.now, connect=self._connect
        )

    # Strategies

    def templates(self) -> tuple[TemplateView, ...]:
        """Return ready-made strategies to start from."""
        return TEMPLATES

    def strategies(self) -> list[StrategyView]:
        """Return the caller's strategies, newest first."""
        return strategies.list_strategies(self._database, self.caller)

    def strategy(self, strategy_id: int) -> StrategyView:
        """Return one strategy in its present version."""
        return strategies.load_strategy(self._database, self.caller, strategy_id=strategy_id)

    def save_strategy(
        self, draft: StrategyDraft, *, strategy_id: int | None = None, expected_version: int | None = None
    ) -> StrategyView:
        """Store a new strategy, or a new version of one."""
        return strategies.save_strategy(
            self._database,
            self.caller,
            draft,
            now=self.now,
            strategy_id=strategy_id,
            expected_version=expected_version,
        )

    def check_strategy(self, draft: StrategyDraft) -> list[Warned]:
        """Return what of a strategy should be looked at twice; raises InvalidInput for what would not be saved."""
        return strategies.check_strategy(self._database, self.caller, draft)

    def create_from_template(self, key: str, account_ids: list[int], *, name: str | None = None) -> StrategyView:
        """Store a new strategy from a template."""
        return strategies.create_from_template(
            self._database, self.caller, key=key, name=name, account_ids=account_ids, now=self.now
        )

    def archive_strategy(self, strategy_id: int) -> None:
        """Take a strategy out of the list; refused while a run of it is open."""
        strategies.archive_strategy(self._database, self.caller, strategy_id=strategy_id, now=self.now)

    # Orders to the engine

    def request_preview(self, strategy_id: int, account_ids: list[int] | None = None) -> CommandView:
        """Ask what Execute would send now; the outcome carries a PreviewView."""
        self._quota.take_data(self.caller)
        return commands.request_preview(
            self._database, self.caller, strategy_id=strategy_id, account_ids=account_ids, now=self.now
        )

    def command(self, command_id: int) -> CommandView:
        """Return how far a command is."""
        return commands.command_view(self._database, self.caller, command_id=command_id, now=self.now)

    def execute(
        self,
        strategy_id: int,
        version: int,
        account_ids: list[int] | None,
        seen_run_ids: list[int],
        key: str,
        *,
        again: bool = False,
        contracts: list[str] | None = None,
    ) -> CommandView:
        """Order an entry of the version, the open runs and the contracts that the page showed (None: showed none)."""
        return commands.execute(
            self._database,
            self.caller,
            strategy_id=strategy_id,
            version=version,
            account_ids=account_ids,
            seen_run_ids=seen_run_ids,
            key=key,
            again=again,
            contracts=contracts,
            now=self.now,
        )

    def close_run(
        self,
        run_id: int,
        account_ids: list[int] | None,
        key: str,
        leg_indexes: list[int] | None = None,
        share: float | None = None,
    ) -> CommandView:
        """Order the exit of a run, on all its accounts (None) or some, of all its legs or some, or a share in %."""
        return commands.close_run(
            self._database,
            self.caller,
            run_id=run_id,
            account_ids=account_ids,
            leg_indexes=leg_indexes,
            share=share,
            key=key,
            now=self.now,
        )

    def rearm_rule(self, run_id: int, latch: str, key: str) -> CommandView:
        """Re-arm a rule of a run that acted; what is breached now acts again at once."""
        return commands.rearm_rule(self._database, self.caller, run_id=run_id, latch=latch, key=key, now=self.now)

    def halt(self, key: str, account_id: int | None = None, *, everyone: bool = False) -> CommandView:
        """Kill switch of the caller, of one account or (admin) of everyone: runs out, no entries until re-armed."""
        return commands.halt(
            self._database, self.caller, account_id=account_id, everyone=everyone, key=key, now=self.now
        )

    def rearm(self, key: str, account_id: int | None = None, *, everyone: bool = False) -> CommandView:
        """Allow entries of the same scopes again after the kill switch or a limit of the day."""
        return commands.rearm(
            self._database, self.caller, account_id=account_id, everyone=everyone, key=key, now=self.now
        )

    def set_limits(
        self,
        key: str,
        *,
        account_id: int | None = None,
        max_loss: float | None = None,
        max_loss_enabled: bool = True,
        max_loss_action: str = "close_all",
        max_profit: float | None = None,
        max_profit_enabled: bool = True,
        max_profit_action: str = "close_all",
        seen: DayLimitView | None = None,
        only: list[str] | None = None,
    ) -> CommandView:
        """Set the limits of the caller's day (None) or of one account's, in ₹; None: no limit. ``live`` shows them.

        ``seen``: what the page showed; refused where it is not so any more. ``only``: the fields to change.
        """
        return limit_commands.set_limits(
            self._database,
            self.caller,
            account_id=account_id,
            max_loss=max_loss,
            max_loss_enabled=max_loss_enabled,
            max_loss_action=max_loss_action,
            max_profit=max_profit,
            max_profit_enabled=max_profit_enabled,
            max_profit_action=max_profit_action,
            seen=seen,
            only=only,
            key=key,
            now=self.now,
        )

    def drill(self, key: str) -> CommandView:
        """Rehearse the kill switch: nothing is sent; when the command is done, ``drill_result`` has the figures."""
        return commands.drill(self._database, self.caller, key=key, now=self.now)

    def drill_result(self, command_id: int) -> DrillView:
        """Return what a fire drill that is done found; Refused while it is not."""
        return commands.drill_result(self._database, self.caller, command_id=command_id, now=self.now)

    # Orders and positions in a person's hands

    def declare_order(
        self,
        order_id: int,
        state: str,
        key: str,
        *,
        quantity: int | None = None,
        price: float | None = None,
        orderid: str | None = None,
    ) -> CommandView:
        """Say what became of an order in doubt: filled, working, cancelled, rejected or not_received."""
        return order_commands.declare_order(
            self._database,
            self.caller,
            order_id=order_id,
            state=state,
            quantity=quantity,
            price=price,
            orderid=orderid,
            key=key,
            now=self.now,
        )

    def take_over(self, run_id: int, account_id: int, key: str) -> CommandView:
        """Have the engine send nothing more for a run on one account: a person goes on at the broker."""
        return order_commands.take_over(
            self._database, self.caller, run_id=run_id, account_id=account_id, key=key, now=self.now
        )

    def adopt(
        self,
        run_id: int,
        account_id: int,
        key: str,
        *,
        symbol: str,
        exchange: str,
        product: str,
        quantity: int,
        price: float,
    ) -> CommandView:
        """Take a signed quantity that nobody here owns into an open run, at a price in ₹."""
        return order_commands.adopt(
            self._database,
            self.caller,
            run_id=run_id,
            account_id=account_id,
            symbol=symbol,
            exchange=exchange,
            product=product,
            quantity=quantity,
            price=price,
            key=key,
            now=self.now,
        )

    # What happened

    def orders(self, limit: int = 500) -> OrdersView:
        """Return today's orders that ended, newest first; those that still work or are in doubt stand in ``live``."""
        return order_views.ended_orders(self._database, self.caller, now=self.now, limit=max(1, min(limit, 5_000)))

    def risk_events(self, limit: int = 100, only: EventFilter | None = None) -> list[RiskEventView]:
        """Return the caller's risk events, newest first, sifted by ``only``."""
        return events.risk_events(self._database, self.caller, limit=limit, only=only)

    def event_kinds(self) -> list[str]:
        """Return the kinds of risk events that there are."""
        return events.event_kinds(self._database, self.caller)

    def run_history(self, limit: int = 50) -> list[RunView]:
        """Return the caller's runs that ended, newest first."""
        return runs.ended_runs(self._database, self.caller, limit=max(1, min(limit, 1_000)))


class _Resources(NamedTuple):
    settings: Settings
    database: Database
    live: LiveStore
    vault: Vault
    quota: Quota


@lru_cache(maxsize=1)
def _resources() -> _Resources:
    """Open what all desks of this process share."""
    settings = get_settings()
    return _Resources(
        settings=settings,
        database=Database(settings.database_url),
        live=LiveStore(settings.data_dir / LIVE_FILE),
        vault=Vault.open(settings),
        quota=Quota(settings.redis_url),
    )


def open_desk(cookies: Mapping[str, str]) -> Desk | None:
    """Return the desk of whom the session cookie belongs to, None without a live session.

    Raises Unavailable when the database does not answer: then nobody knows whose session it is.
    """
    shared = _resources()
    try:
        caller = users.caller_from_cookies(shared.database, cookies, now=desk_live.utc_now())
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer. The console of the server says why.") from error
    if caller is None:
        return None
    return Desk(shared.settings, shared.database, shared.live, shared.vault, caller, quota=shared.quota)
