"""A desk over a temporary database, with people, accounts and sample figures; nothing of it runs in production."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlmodel import select

from engine.desk import Desk
from engine.domain.orders import OrderState
from engine.domain.runs import AccountState, RunState
from engine.services.connection import venue_of
from engine.services.identity import Caller
from engine.services.views import (
    AccountDraft,
    AccountTruthView,
    AccountView,
    ConnectionReport,
    ExitView,
    LimitView,
    LiveView,
    OrderView,
    PositionView,
    PreviewAccount,
    PreviewLeg,
    PreviewOrder,
    PreviewView,
    RunAccountView,
    RunView,
    StrategyView,
    TruthRowView,
    UnknownOrderView,
)
from engine.services.world import trading_day
from engine.settings import Settings
from engine.store.live import LiveStore
from engine.store.tables import (
    EngineLease,
    ExecutionAccount,
    Order,
    RiskEvent,
    Role,
    StrategyExecution,
    TradingAccount,
    User,
)
from engine.store.vault import Vault
from tests.fresh_database import fresh_database

NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
PAPER = "http://127.0.0.1:5056"
EXPIRY = date(2026, 11, 23)


def probe_ok(host: str, api_key: str) -> ConnectionReport:
    """A server that answers; keys that begin with ``live`` belong to a broker, the others to the paper exchange."""
    broker = "zerodha" if api_key.startswith("live") else "paper"
    return ConnectionReport(
        ok=True, broker=broker, mode="live", venue=venue_of(host, broker), funds_paise=150_000_000,
        funds_model="gross" if broker == "zerodha" else "net",
    )  # fmt: skip


def probe_refused(host: str, api_key: str) -> ConnectionReport:
    """A server that refuses the key."""
    return ConnectionReport(ok=False, problem=f"The server at {host} refuses this API key.")


class DeskFactory:
    """Everything a desk needs, in one folder; ``clock`` may be set."""

    def __init__(self, folder: Path, *, now: datetime = NOW) -> None:
        self.settings = Settings(_env_file=None, database_url=f"sqlite:///{folder / 'desk.db'}")
        self.database = fresh_database(self.settings.database_url)
        self.live = LiveStore(folder / "live.db")
        self.vault = Vault([Fernet.generate_key().decode()])
        self.clock: Callable[[], datetime] = lambda: now

    def person(self, username: str = "asha", role: Role = Role.TRADER) -> Caller:
        """Add a user without a usable password and return who it is."""
        with self.database.write() as session:
            user = User(username=username, password_hash="none", role=role, created_at=self.clock())
            session.add(user)
            session.flush()
            assert user.id is not None
            return Caller(user_id=user.id, username=username, role=role)

    def desk(self, caller: Caller, connect: Any = probe_ok) -> Desk:
        """Return the caller's desk."""

        def clock() -> datetime:
            return self.clock()  # tests set it while the desk is in use

        return Desk(self.settings, self.database, self.live, self.vault, caller, connect=connect, clock=clock)

    def family(self, desk: Desk) -> list[AccountView]:
        """Add three paper accounts."""
        return [
            desk.add_account(
                AccountDraft(name=name, host=PAPER, api_key=f"key-of-{name.lower()}", relation=relation, group="Family",
                             grade=grade)
            )
            for name, relation, grade in (("Asha", "self", "B"), ("Ravi", "spouse", "A"), ("Meera", "parent", "C"))
        ]  # fmt: skip

    def heartbeat(self, *, age: float = 0.4) -> None:
        """Write the lease of an engine that last renewed ``age`` seconds ago."""
        at = self.clock() - timedelta(seconds=age)
        with self.database.write() as session:
            session.merge(EngineLease(id=1, token=1, holder="test", pid=4711, renewed_at=at, last_pass_at=at))

    def write_live(self, caller: Caller, view: LiveView) -> None:
        """Write figures as the engine does."""
        self.live.write({caller.user_id: view.model_dump_json()})

    def risk_event(self, caller: Caller) -> None:
        """Write a stop that fired, with what the engine knew."""
        with self.database.write() as session:
            session.add(
                RiskEvent(
                    id=1, at=self.clock() - timedelta(minutes=7), owner_id=caller.user_id, kind="max_loss",
                    action="close_all", threshold_paise=-500_000, value_paise=-512_350,
                    message="P −₹5,123.50 reached the limit of −₹5,000.00; exit of 2 accounts ordered.",
                    knew={
                        "profit": -5_123.5, "peak": 1_20_400.0, "stop": None, "premium_value": 56_062.5,
                        "also_breached": ["trailing_sl"], "books_age_seconds": {"Asha": 1.24, "Ravi": None},
                        "legs": [
                            {
                                "account": account, "account_id": number, "symbol": symbol, "quantity": -195,
                                "open_value": -195 * average, "realised": 0.0, "ltp": ltp, "tick_age_seconds": 0.3,
                                "quote_age_seconds": 4.2, "confirmed": ltp is not None,
                            }
                            for number, account in enumerate(("Asha", "Ravi"), start=1)
                            for symbol, average, ltp in (
                                ("NIFTY23NOV2626000CE", 148.35, 182.4), ("NIFTY23NOV2626000PE", 139.1, None),
                            )
                        ],
                    },
                )
            )  # fmt: skip

    def close(self) -> None:
        """Close the files."""
        self.live.close()
        self.database.close()


def sample_live(accounts: list[AccountView], *, as_of: datetime, strategy_id: int = 1) -> LiveView:
    """Two open runs over the given accounts, one with a leg that has no confirmed price."""
    funds = ((98_450_000, 51_550_000), (21_120_000, 48_880_000), (272_300_000, 127_700_000))
    lots = (3, 2, 4)
    profits = (487_250, 324_830, 649_660)
    moving = [
        account.model_copy(
            update={
                "armed": True, "waits_for": "", "health": "ok", "feed": "ok", "available_paise": available,
                "used_paise": used, "funds_at": as_of - timedelta(seconds=12), "books_at": as_of - timedelta(seconds=2),
                "profit_paise": profit,
            }
        )
        for account, (available, used), profit in zip(accounts, funds, profits, strict=False)
    ]  # fmt: skip
    if len(moving) > 2:
        moving[2] = moving[2].model_copy(
            update={"armed": False, "waits_for": "books", "health": "unreachable", "unknown_orders": 1}
        )
    straddle = RunView(
        id=1, strategy_id=strategy_id, strategy="Short straddle, NIFTY", version=1, venue="paper:127.0.0.1:5056",
        state="open", reason="", created_at=as_of - timedelta(minutes=84), entered_at=as_of - timedelta(minutes=83),
        closed_at=None, profit_paise=sum(profits[: len(moving)]), problem="",
        limits=LimitView(
            max_loss_paise=2_250_000, max_profit_paise=9_800_000, trailing="percent_of_premium", peak_paise=1_612_000,
            stop_paise=-2_308_000, exit_at=as_of + timedelta(hours=3, minutes=15),
        ),
        accounts=[
            RunAccountView(account_id=account.id, account=account.name, state="entered", lots=count, bound_by="margin",
                           reason="", profit_paise=profit)
            for account, count, profit in zip(moving, lots, profits, strict=False)
        ],
        positions=[
            PositionView(
                run_id=1, account_id=account.id, account=account.name, leg_index=leg, symbol=symbol, exchange="NFO",
                product="NRML", quantity=-65 * count, average_price=average, ltp=ltp, ltp_age_seconds=0.6,
                confirmed=True, realised_paise=0, profit_paise=round((average - ltp) * 65 * count * 100),
                lot_size=65,
            )
            for account, count in zip(moving, lots, strict=False)
            for leg, symbol, average, ltp in (
                (1, "NIFTY23NOV2626000CE", 148.35, 131.2), (2, "NIFTY23NOV2626000PE", 139.1, 131.25),
            )
        ],
    )  # fmt: skip
    condor = straddle.model_copy(
        update={
            "id": 2, "strategy": "Iron condor, NIFTY", "profit_paise": None, "state": "exiting",
            "problem": "NIFTY23NOV2626400CE has no confirmed price for 18 s", "unknown_orders": 1,
            "limits": LimitView(max_loss_paise=450_000), "accounts": straddle.accounts[:1],
            "positions": [
                straddle.positions[0].model_copy(
                    update={
                        "run_id": 2, "symbol": "NIFTY23NOV2626400CE", "quantity": 195, "ltp": 12.4,
                        "ltp_age_seconds": 18.2, "confirmed": False, "profit_paise": None,
                    }
                )
            ] if straddle.positions else [],
        }
    )  # fmt: skip
    return LiveView(as_of=as_of, accounts=moving, runs=[straddle, condor], profit_paise=sum(profits[: len(moving)]))


def sample_doubt(view: LiveView) -> LiveView:
    """The sample with trouble: two orders in doubt, one that works, an exit held up, a hand-over, differing books."""
    as_of, first, second = view.as_of, view.accounts[0], view.accounts[1]
    call, put = "NIFTY23NOV2626000CE", "NIFTY23NOV2626000PE"
    common = {"exchange": "NFO", "product": "NRML", "run_id": 2, "purpose": "exit", "filled_quantity": 0}
    unknown = [
        UnknownOrderView(
            **common,
            order_id=41,
            account_id=first.id,
            account=first.name,
            state="unknown",
            action="SELL",
            quantity=195,
            symbol="NIFTY23NOV2626400CE",
            orderid=None,
            words="no answer for 3 s",
            sent_at=as_of - timedelta(seconds=12),
            age_seconds=12.0,
            quiet_until=as_of + timedelta(seconds=48),
            absent_since=None,
            candidates=["261120000017"],
            moved=-195,
            books_age_seconds=2.0,
            waits_for="the quiet time to end, and two valid reads of all books after it",
        ),
        UnknownOrderView(
            **common,
            order_id=42,
            account_id=second.id,
            account=second.name,
            state="queued",
            action="BUY",
            quantity=130,
            symbol=call,
            orderid=None,
            words="queued: pending order 7",
            age_seconds=95.0,
            sent_at=as_of - timedelta(seconds=95),
            quiet_until=None,
            absent_since=None,
            books_age_seconds=None,
            waits_for="a person: its server holds it for approval",
        ),
    ]
    working = [
        OrderView(
            **common | {"filled_quantity": 65},
            order_id=43,
            strategy="Iron condor, NIFTY",
            account_id=first.id,
            account=first.name,
            state="working",
            action="BUY",
            quantity=195,
            average_price=131.4,
            symbol=put,
            price_type="LIMIT",
            price=132.05,
            reprices=2,
            orderid="261120000019",
            words="open",
            created_at=as_of - timedelta(seconds=9),
            sent_at=as_of - timedelta(seconds=8),
            updated_at=as_of,
        )
    ]
    row = {"exchange": "NFO", "product": "NRML", "in_doubt": False, "pending": 0}
    truth = [
        AccountTruthView(
            account_id=first.id, account=first.name, books_at=as_of - timedelta(seconds=2), books_age_seconds=2.0,
            agrees=False,
            rows=[
                TruthRowView(**row, symbol=call, owned=-195, entitled=-195, net=-130, outside=65, run_ids=[1]),
                TruthRowView(**row, symbol=put, owned=-195, entitled=-195, net=-195, outside=0, run_ids=[1]),
                TruthRowView(
                    **row | {"in_doubt": True, "pending": 195}, symbol="NIFTY23NOV2626400CE", owned=195, entitled=195,
                    net=None, outside=None, run_ids=[2],
                ),
                TruthRowView(**row, symbol="BANKNIFTY24NOV2658000PE", owned=0, entitled=0, net=-35, outside=-35),
            ],
        ),
        AccountTruthView(
            account_id=second.id, account=second.name, books_at=as_of - timedelta(seconds=1), books_age_seconds=1.0,
            agrees=True,
            rows=[TruthRowView(**row, symbol=call, owned=-130, entitled=-130, net=-130, outside=0, run_ids=[1])],
        ),
        AccountTruthView(
            account_id=view.accounts[2].id, account=view.accounts[2].name, books_at=as_of - timedelta(seconds=75),
            books_age_seconds=75.0, agrees=None, problem="the order book lacks 1 of our orders (first 261120000021)",
            rows=[TruthRowView(**row, symbol=call, owned=-260, entitled=-260, net=-260, outside=0, run_ids=[1])],
        ),
    ]  # fmt: skip
    straddle, condor = view.runs
    taken = [
        account.model_copy(update={"state": "taken_over"}) if account.account_id == second.id else account
        for account in straddle.accounts
    ]
    exits = [
        ExitView(
            plan_id=5, account_id=first.id, account=first.name, reason="max_loss",
            begun_at=as_of - timedelta(seconds=31), sent=3, filled=1, failed=1, reprices=2, blocked=True,
            waits_for="certainty about SELL 195 NIFTY23NOV2626400CE (order 41)",
        )
    ]  # fmt: skip
    held_back = view.accounts[1].model_copy(
        update={
            "armed": False, "health": "refused", "waits_for": "an order waits for approval",
            "quarantine": "an order waits for approval: the account is in semi-auto mode",
        }
    )  # fmt: skip
    return view.model_copy(
        update={
            "unknown": unknown,
            "working": working,
            "truth": truth,
            "accounts": [view.accounts[0], held_back, *view.accounts[2:]],
            "runs": [
                straddle.model_copy(update={"accounts": taken}),
                condor.model_copy(update={"exits": exits}),
            ],
        }
    )


def sample_preview(accounts: list[AccountView], *, as_of: datetime, strategy_id: int = 1) -> PreviewView:
    """What Execute would send for a short straddle: three lots, two lots, and one account that is skipped."""
    sizes = ((3, "margin", ""), (2, "margin", ""), (0, "margin", "One structure needs ₹3,20,000.00 of ₹2,52,000.00."))
    available = (150_000_000, 70_000_000, 70_000_000)
    percentages = (65.0, 95.0, 36.0)
    legs = [
        PreviewLeg(leg_index=number, action="SELL", ratio=1, symbol=f"NIFTY23NOV2626000{kind}", exchange="NFO",
                   expiry=EXPIRY, strike=26_000.0, instrument_type=kind, ltp=ltp, bid=ltp - 0.35, ask=ltp + 0.4,
                   lot_size=65, freeze_quantity=1800, source="broker")
        for number, kind, ltp in ((1, "CE", 148.2), (2, "PE", 139.55))
    ]  # fmt: skip
    return PreviewView(
        strategy_id=strategy_id, version=1, underlying="NIFTY", spot=26_012.45, as_of=as_of,
        expiry_day=False, legs=legs,
        accounts=[
            PreviewAccount(
                account_id=account.id, account=account.name, available_paise=funds, funds_age_seconds=11.0,
                percentage=percentage, usable_paise=int(funds * percentage / 100), structure_margin_paise=32_000_000,
                lots=lots, bound_by=bound, reason=reason,
                orders=[
                    PreviewOrder(account_id=account.id, leg_index=leg.leg_index, slice_index=0, stage="sell",
                                 action="SELL", symbol=leg.symbol, quantity=65 * lots)
                    for leg in legs if lots
                ],
            )
            for account, (lots, bound, reason), funds, percentage in zip(
                accounts, sizes, available, percentages, strict=False
            )
        ],
    )  # fmt: skip


def add_run(
    factory: DeskFactory,
    caller: Caller,
    strategy: StrategyView,
    states: dict[int, AccountState],
    *,
    state: str = "open",
    venue: str | None = None,
) -> int:
    """Write a run on accounts in the given states; returns its id."""
    with factory.database.write() as session:
        number = len(session.exec(select(StrategyExecution)).all()) + 1
        row = session.get_one(TradingAccount, next(iter(states)))
        session.add(
            StrategyExecution(
                id=number, owner_id=caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id,
                venue=venue or row.venue, state=RunState(state), created_at=factory.clock(),
            )
        )  # fmt: skip
        session.flush()
        for place, (account_id, account_state) in enumerate(states.items()):
            session.add(
                ExecutionAccount(
                    id=number * 100 + place, execution_id=number, account_id=account_id, state=account_state
                )
            )
    return number


def add_order(
    factory: DeskFactory,
    run_id: int,
    account_id: int,
    state: OrderState,
    *,
    filled: int = 0,
    words: str = "",
    at: datetime | None = None,
    declared_by: Caller | None = None,
) -> int:
    """Write an order to buy 65 of a run, filled at ₹100.00; returns its id."""
    moment = at or factory.clock()
    with factory.database.write() as session:
        number = len(session.exec(select(Order)).all()) + 1
        session.add(
            Order(
                id=number, execution_id=run_id, account_id=account_id, purpose="exit", leg_index=1,
                symbol="NIFTY23NOV2626000CE", exchange="NFO", product="NRML", action="BUY", quantity=65, state=state,
                trading_day=trading_day(moment), tag=f"am-{run_id}-{number}", filled_quantity=filled,
                filled_value_paise=filled * 10_000, words=words, created_at=moment, sent_at=moment, updated_at=moment,
                declared_by=None if declared_by is None else declared_by.user_id,
            )
        )  # fmt: skip
    return number
