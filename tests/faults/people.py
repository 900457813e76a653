"""What a person has to do where the engine rightly waits for one: approve, switch back, declare, clear up by hand."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from engine.services.views import CommandView
from tests.faults.cases import Case, Ending
from tests.house import House

BY_HAND = "by hand"
REFUSED = 403


class People:
    """Does each account's part once, when the desk says that it waits for it."""

    def __init__(self, house: House, cases: dict[str, Case], face: str) -> None:
        self.house, self.cases, self.face = house, cases, face
        self.run_id = 0
        self._done: set[str] = set()

    def act(self) -> None:
        """Do what is due now."""
        waiting = {view.name: view.quarantine for view in self.house.desk.live().accounts if view.quarantine}
        for name, case in self.cases.items():
            if name in self._done or case.ending is Ending.OUTSIDE:
                continue
            if name not in waiting and not (case.ending is Ending.TOKEN_BACK and self._refused(name)):
                continue
            match case.ending:
                case Ending.TOKEN_BACK:
                    self.house.paper.change(self.house.keys[name], token="good")
                case Ending.MODE_BACK:
                    self._switch_back(name)
                case Ending.APPROVED:
                    self._approve(name)
                case _:
                    continue
            self._done.add(name)

    def clear_up(self) -> dict[str, dict[str, int]]:
        """Close by hand what lies outside of the run; gives back what that was."""
        outside = {name: self.house.net(name) for name, case in self.cases.items() if case.ending is Ending.OUTSIDE}
        for name in outside:
            self._flatten(name)
        return outside

    def _refused(self, name: str) -> bool:
        """Whether the broker refused two orders: the first exit and one that was tried again."""
        calls = self.house.paper.requests(self.house.keys[name])
        return sum(call["status_code"] == REFUSED for call in calls) > 1

    def _switch_back(self, name: str) -> None:
        self._flatten(name)
        self.house.paper.change(self.house.keys[name], face=self.face)

    def _approve(self, name: str) -> None:
        """Approve what waits, and say under which id the broker holds it, or what it filled where books show that."""
        for row in self.house.paper.pending(self.house.keys[name]):
            self.house.paper.approve(self.house.keys[name], row["number"])
        ids = {order["strategy"]: order["order_id"] for order in self.house.books(name)["orders"]}
        for order in self.house.orders(self.run_id):
            if order.state == "queued" and order.tag in ids:
                known = {"orderid": ids[order.tag]}
                command = self._declare(order.id, "working", **known)
                if command.state == "refused" and "declare it filled" in command.message:
                    command = self._declare(order.id, "filled", price=self._average(name, known["orderid"]), **known)
                assert command.state == "done", command.message

    def _declare(self, order_id: int, state: str, **said: Any) -> CommandView:
        return self.house.command(self.house.desk.declare_order(order_id, state, uuid4().hex, **said))

    def _average(self, name: str, orderid: str) -> float:
        trades = [row for row in self.house.books(name)["trades"] if row["order_id"] == orderid]
        paise = sum(row["quantity"] * row["price"] for row in trades)
        return float(paise / sum(row["quantity"] for row in trades) / 100)

    def _flatten(self, name: str) -> None:
        for symbol, quantity in self.house.net(name).items():
            side = {"action": "SELL" if quantity > 0 else "BUY", "quantity": abs(quantity)}
            self.house.paper.place(self.house.keys[name], symbol, strategy=BY_HAND, **self._typed(side))

    @staticmethod
    def _typed(side: dict[str, Any]) -> dict[str, Any]:
        return {**side, "quantity": int(side["quantity"])}
