"""What really happened, by the exchange's own books and its log of calls; the engine's word is checked against it.

Every account: flat in the end, never beyond zero, each unit left exactly once, nothing sent twice, nothing sent while
an earlier order of the class was in doubt, P equal to the exchange's to the paisa, and the fault did happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlmodel import select

from engine.runtime.hands import PROBED_ID
from engine.store import tables
from tests.faults.cases import CALM, Case, Ending
from tests.faults.people import BY_HAND
from tests.house import House, rise_and_fall

FACES = ("analyze", "live")
SIZE = 195
"""Units of each leg on each account: three lots."""


@dataclass(slots=True)
class Row:
    """One cell of the matrix as it was measured. ``sent``: order calls of entry and exit; ``seconds`` until settled."""

    case: str
    kind: str
    step: str
    face: str
    ending: Ending = Ending.ALONE
    suffered: int = 0
    entries: int = 0
    exits: int = 0
    changes: int = 0
    seconds: float | None = None
    alarms: tuple[str, ...] = ()
    told: list[str] = field(default_factory=list)
    flat: bool = False
    problems: list[str] = field(default_factory=list)

    def check(self, holds: object, problem: str) -> None:
        """Note what is wrong unless it holds."""
        if not holds:
            self.problems.append(problem)


class Judge:
    """Reads the exchange, account by account."""

    def __init__(self, house: House, step: str, cases: dict[str, Case], face: str) -> None:
        self.house, self.step, self.cases, self.face = house, step, cases, face
        self.run_id = 0
        self._endpoint = "placeorder"
        self._begun = self._closing = datetime.now(UTC)
        self._opened = datetime.now(UTC)
        self._early: dict[str, list[str]] = {}
        self._left_outside: dict[str, dict[str, int]] = {}

    # ── marks along the way ───────────────────────────────────────────────────────────────────────────────────────────

    def trouble(self, endpoint: str) -> None:
        """Note that trouble with a call begins."""
        self._endpoint, self._begun = endpoint, datetime.now(UTC)

    def closing(self) -> None:
        """Note that the exit begins."""
        self._closing = datetime.now(UTC)

    def entered(self) -> None:
        """Compare what the run says it holds with what its orders really filled, now that the entry has ended."""
        view = self.house.run(self.run_id)
        assert view is not None
        for name in self._names:
            says = {p.symbol: p.quantity for p in view.positions if p.account == name and p.quantity}
            is_ = {symbol: path[-1] for symbol, path in self._paths(name).items() if path[-1]}
            if says != is_:
                self._early[name] = [f"after the entry the run says {says}, its orders really filled {is_}"]
            if self.step != "entry" and sorted(is_.values()) != [-SIZE, -SIZE]:
                self._early[name] = [f"nothing to leave: {is_}"]

    def outside(self, left: dict[str, dict[str, int]]) -> None:
        """Note what lay outside of the run when it had ended."""
        self._left_outside = left

    def stuck(self) -> str:
        """Tell who is not done and why."""
        live, run = self.house.desk.live(), self.house.run(self.run_id)
        quarantined = {view.name: (view.quarantine or view.waits_for) for view in live.accounts}
        lines = []
        for row in run.accounts if run is not None else []:
            if row.state in {"flat", "skipped"} or (
                row.state == "entered" and run is not None and run.state == "entering"
            ):
                continue
            orders = [
                f"{o.purpose} {o.action} {o.quantity} {o.symbol[-7:]} {o.state} {o.filled_quantity} {o.words}"
                for o in self._orders(row.account)
            ]
            lines.append(f"{row.account}: {row.state} {row.reason} {quarantined.get(row.account)}; {'; '.join(orders)}")
            lines += [f"    {call}" for call in self._calls(row.account)[-4:]]
            lines += [f"    at the exchange: {order}" for order in self._book(row.account, self.face)]
        return "\n".join(lines)

    # ── the verdict ───────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> list[Row]:
        """Judge every account."""
        with self.house.database.read() as session:
            ids = {row.id: row.name for row in session.exec(select(tables.TradingAccount))}
            events = [
                (ids.get(event.account_id or 0, ""), event.kind, event.action, event.message)
                for event in session.exec(select(tables.RiskEvent))
                if event.at.replace(tzinfo=UTC) >= self._opened
            ]
        rows = [self._judge(name, [event for event in events if event[0] == name]) for name in self._names]
        self._calm_are_not_kept(rows)
        return rows

    def _judge(self, name: str, events: list[tuple[str, str, str, str]]) -> Row:
        case = self.cases.get(name)
        row = Row(name, case.kind if case else "", self.step, self.face)
        row.problems += self._early.get(name, [])
        orders = self._orders(name)
        calls = self._calls(name)
        placed = [call for call in calls if call["endpoint"] == "placeorder"]
        row.entries = sum(call["body"]["action"] == "SELL" for call in placed)
        row.exits = sum(call["body"]["action"] == "BUY" for call in placed)
        row.changes = len(calls) - len(placed)
        row.alarms = tuple(sorted({kind for _, kind, action, _ in events if action == "alert_only"}))
        row.told = [f"{kind}: {message}" for _, kind, _, message in events]
        row.flat = all(not self._net(name, face) for face in self._faces(name))
        row.check(row.flat, f"not flat: {[self._net(name, face) for face in self._faces(name)]}")
        self._sent_once(row, orders, placed)
        self._left_once(row, name, case)
        self._profit(row, name)
        if case is not None:
            row.ending = case.ending
            self._happened(row, name, case)
            row.check(
                not case.doubtful or self._endpoint != "placeorder" or "unknown_order" in row.alarms,
                f"nobody was told of the doubt: {row.alarms}",
            )
        purpose = "entry" if self.step == "entry" else "exit"
        begun = self._begun if self.step == "entry" else self._closing
        ended = [order.updated_at for order in orders if order.purpose == purpose and order.state != "void"]
        row.seconds = (max(ended).replace(tzinfo=UTC) - begun).total_seconds() if ended else None
        return row

    def _sent_once(self, row: Row, orders: list[tables.Order], placed: list[dict[str, Any]]) -> None:
        """No intent goes twice, and none while an earlier one of its class may still be carried out."""
        case = self.cases.get(row.case)
        sent_at = {order.tag: order.sent_at.replace(tzinfo=UTC).timestamp() for order in orders if order.sent_at}
        tags = [call["body"]["strategy"] for call in placed]
        row.check(len(set(tags)) == len(tags), f"an intent was sent twice: {tags}")
        row.check(set(tags) <= set(sent_at), f"sent without an intent on disk: {set(tags) - set(sent_at)}")
        truth = {order["strategy"]: order for face in self._faces(row.case) for order in self._book(row.case, face)}
        for index, later in enumerate(placed):
            for earlier in placed[:index]:
                names = ("symbol", "action")
                if any(earlier["body"][field] != later["body"][field] for field in names):
                    continue
                tag = earlier["body"]["strategy"]
                what = f"{later['body']['action']} {later['body']['quantity']} {later['body']['symbol']}"
                if (order := truth.get(tag)) is not None:
                    done = order["status"] == "complete" and order["filled"] >= order["quantity"]
                    in_other_mode = case is not None and case.ending is Ending.MODE_BACK
                    row.check(not done or in_other_mode, f"{what} was sent although {tag} had been carried out")
                    continue
                quiet = case.proof.quiet if case is not None and earlier["status_code"] != 429 else 0.0
                after = later["at"] - sent_at[tag]
                row.check(
                    after >= quiet, f"{what} was sent {after:.2f} s after {tag}, which was in doubt for {quiet} s"
                )

    def _left_once(self, row: Row, name: str, case: Case | None) -> None:
        for symbol, path in self._paths(name).items():
            row.check(len({quantity > 0 for quantity in path if quantity}) <= 1, f"{symbol} crossed zero: {path}")
            row.check([abs(q) for q in path] == rise_and_fall(path), f"{symbol} was not left once: {path}")
            row.check(path[-1] == 0, f"{symbol}: the run's orders leave {path[-1]}")
            row.check(max(map(abs, path)) <= SIZE, f"{symbol}: more than was sized: {path}")
        if case is not None and case.ending is Ending.OUTSIDE:
            twice = [abs(quantity) for quantity in self._left_outside.get(name, {}).values()]
            row.check(twice == [SIZE], f"outside of the run lay {self._left_outside.get(name)}, not one order more")
        else:
            row.check(not self._outside(name), f"orders nobody asked for: {self._outside(name)}")

    def _profit(self, row: Row, name: str) -> None:
        """P of the run on the account is that of its own orders' trades, to the paisa."""
        really = sum(
            (1 if trade["action"] == "SELL" else -1) * trade["price"] * trade["quantity"]
            for trade in self._trades(name)
        )
        with self.house.database.read() as session:
            positions = [
                position
                for position, account in session.exec(
                    select(tables.Position, tables.TradingAccount).where(
                        tables.Position.account_id == tables.TradingAccount.id
                    )
                )
                if account.name == name and position.execution_id == self.run_id
            ]
        says = sum(position.sell_value_paise - position.buy_value_paise for position in positions)
        row.check(says == really, f"P is {says} paise, the exchange's trades give {really}")

    def _happened(self, row: Row, name: str, case: Case) -> None:
        """A check of something that did not happen is none."""
        begun = self._begun.timestamp()
        if case.is_token:
            row.suffered = sum(call["status_code"] == 403 for call in self._calls(name))
            row.check(row.suffered, "no order was refused for its dead session")
            return
        if case.is_stream:
            end = begun + case.fields["seconds"]
            side = "SELL" if self.step == "entry" else "BUY"
            row.suffered = sum(begun <= trade["at"] <= end for trade in self._trades(name) if trade["action"] == side)
            row.check(row.suffered, f"nothing was traded while {case.kind} lasted")
            return
        endpoints = case.endpoints or (self._endpoint,)
        suffered = [one for one in self.house.paper.suffered(self.house.keys[name]) if one["kind"] == case.kind]
        for endpoint in endpoints:
            times = sum(one["endpoint"] == endpoint and one["at"] >= begun for one in suffered)
            row.suffered += times
            row.check(times, f"{case.kind} never befell {endpoint}")

    def _calm_are_not_kept(self, rows: list[Row]) -> None:
        """Who had no trouble sent each order once, heard no alarm, and was out before a lost order was known to be."""
        lost = [
            row.seconds
            for row in rows
            if row.seconds is not None and row.case in self.cases and self.cases[row.case].proof.quiet
        ]
        for row in rows:
            if row.case not in CALM:
                continue
            sent = f"{row.entries} entries, {row.exits} exits, {row.changes} changes"
            row.check((row.entries, row.exits) == (2, 2), f"a calm account sent {sent}: more than four orders")
            row.check(not row.alarms, f"a calm account was alarmed: {row.alarms}")
            kept = bool(lost) and self._endpoint == "placeorder" and (row.seconds is None or row.seconds >= min(lost))
            row.check(not kept, f"a calm account took {row.seconds} s, as long as one whose order was lost: {lost}")

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _faces(self, name: str) -> tuple[str, ...]:
        case = self.cases.get(name)
        return FACES if case is not None and case.ending is Ending.MODE_BACK else (self.face,)

    def _net(self, name: str, face: str) -> dict[str, int]:
        positions = self.house.paper.books(self.house.keys[name], face)["positions"]
        return {row["symbol"]: row["quantity"] for row in positions if row["quantity"]}

    @property
    def _names(self) -> tuple[str, ...]:
        return (*CALM, *self.cases)

    def _calls(self, name: str) -> list[dict[str, Any]]:
        """Order calls of the engine in this scene; the probe for approvals is none."""
        opened = self._opened.timestamp()
        return [
            call
            for call in self.house.paper.requests(self.house.keys[name])
            if call["at"] >= opened and call["body"]["strategy"] != BY_HAND and call["body"].get("orderid") != PROBED_ID
        ]

    def _book(self, name: str, face: str) -> list[dict[str, Any]]:
        """Orders of the run: those that carry the tag of one of its intents."""
        tags = {order.tag for order in self._orders(name)}
        orders = self.house.paper.books(self.house.keys[name], face)["orders"]
        return [order for order in orders if order["strategy"] in tags]

    def _trades(self, name: str) -> list[dict[str, Any]]:
        """Trades of the run's own orders in the mode it was armed in: of two orders of one call the first."""
        own: dict[str, str] = {}
        for order in self._book(name, self.face):
            own.setdefault(order["strategy"], order["order_id"])
        ids = set(own.values())
        trades = self.house.paper.books(self.house.keys[name], self.face)["trades"]
        return sorted((trade for trade in trades if trade["order_id"] in ids), key=lambda trade: trade["at"])

    def _outside(self, name: str) -> list[str]:
        """Trades of this scene that are none of the run's."""
        own, opened = {trade["order_id"] for trade in self._trades(name)}, self._opened.timestamp()
        trades = self.house.paper.books(self.house.keys[name], self.face)["trades"]
        return sorted({trade["order_id"] for trade in trades if trade["at"] >= opened} - own)

    def _paths(self, name: str) -> dict[str, list[int]]:
        paths: dict[str, list[int]] = {}
        for trade in self._trades(name):
            path = paths.setdefault(trade["symbol"], [0])
            path.append(path[-1] + (1 if trade["action"] == "BUY" else -1) * trade["quantity"])
        return paths

    def _orders(self, name: str) -> list[tables.Order]:
        with self.house.database.read() as session:
            account = session.exec(select(tables.TradingAccount).where(tables.TradingAccount.name == name)).one()
        return [order for order in self.house.orders(self.run_id) if order.account_id == account.id]
