"""What must be true of a run whose engine was killed, judged by the exchange's own books."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

from tests.crash.scene import Scene
from tests.house import ENDED, rise_and_fall

ALIVE = ("planned", "sending", "unknown", "queued", "working")


def final_problems(scene: Scene, *, lots: int, entries: int = 1) -> list[str]:
    """Return what is wrong with ended runs: every account flat, each leg left once, nothing twice, nothing lost.

    ``lots``: most of a leg on an account; ``entries``: how often it may have entered, and then left as often.
    """
    problems = []
    for (state,) in scene.rows("SELECT state FROM strategy_execution"):
        if state not in ENDED:
            problems.append(f"a run is {state}")
    if alive := scene.rows(f"SELECT id, state FROM orders WHERE state IN {ALIVE}"):
        problems.append(f"orders are not ended: {alive}")
    if plans := scene.rows("SELECT id FROM exit_plan WHERE state = 'active'"):
        problems.append(f"exit plans are not ended: {plans}")
    lot = _lot_sizes(scene)
    for name in scene.keys:
        books = scene.books(name)
        problems += [f"{name}: {problem}" for problem in _account_problems(scene, name, books, entries)]
        for symbol, path in scene.paths(name).items():
            most = max(abs(quantity) for quantity in path)
            if most > lots * lot.get(symbol, 0):
                problems.append(f"{name}: {symbol} grew to {most}, meant were {lots} lots of {lot.get(symbol, 0)}")
    realised = scene.realised_paise()
    profit = sum(paise or 0 for (paise,) in scene.rows("SELECT profit_paise FROM strategy_execution"))
    if profit != realised:
        problems.append(f"P is {profit}, the exchange realised {realised}")
    return problems


def holding_problems(scene: Scene) -> list[str]:
    """Return where what the engine believes to hold is not what the exchange shows, and what it still doubts."""
    problems = [
        f"order {order} is {state}"
        for order, state in scene.rows(f"SELECT id, state FROM orders WHERE state IN {ALIVE}")
    ]
    for name in scene.keys:
        held: Counter[str] = Counter()
        for symbol, action, quantity in _executed(scene, name):
            held[symbol] += quantity if action == "BUY" else -quantity
        believed = {symbol: quantity for symbol, quantity in held.items() if quantity}
        if believed != scene.net(name):
            problems.append(f"{name}: believes {believed}, the exchange shows {scene.net(name)}")
    return problems


def _account_problems(scene: Scene, name: str, books: dict[str, Any], entries: int) -> list[str]:
    problems = []
    if net := scene.net(name):
        problems.append(f"not flat: {net}")
    for symbol, path in scene.paths(name).items():
        if len({quantity > 0 for quantity in path if quantity}) > 1:
            problems.append(f"{symbol} crossed zero: {path}")
            continue
        stays = _stays(path)
        if len(stays) > entries or any([abs(quantity) for quantity in stay] != rise_and_fall(stay) for stay in stays):
            often = "once" if entries == 1 else f"at most {entries} times, each time once"
            problems.append(f"{symbol} was not left {often}: {path}")
    known = scene.rows(
        "SELECT o.orderid, o.filled_quantity FROM orders o JOIN trading_account a ON a.id = o.account_id"
        " WHERE a.name = ? AND o.orderid IS NOT NULL",
        name,
    )
    filled: Counter[str] = Counter()
    for trade in books["trades"]:
        filled[trade["order_id"]] += trade["quantity"]
    there = {order["order_id"] for order in books["orders"]}
    if len(known) != len({orderid for orderid, _ in known}):
        problems.append("two of our orders claim one of the exchange's")
    if lost := there - {orderid for orderid, _ in known}:
        problems.append(f"the exchange has orders that the engine does not know: {sorted(lost)}")
    if invented := {orderid for orderid, _ in known} - there:
        problems.append(f"the engine knows orders that the exchange does not have: {sorted(invented)}")
    problems += [
        f"order {orderid} filled {filled[orderid]}, the engine says {quantity}"
        for orderid, quantity in known
        if filled[orderid] != quantity
    ]
    executed: Counter[tuple[str, str]] = Counter()
    for trade in books["trades"]:
        executed[trade["symbol"], trade["action"]] += trade["quantity"]
    ledger = Counter({(symbol, action): quantity for symbol, action, quantity in _executed(scene, name) if quantity})
    if executed != ledger:
        problems.append(f"executed {dict(executed)}, the engine says {dict(ledger)}")
    return problems


def _stays(path: list[int]) -> list[list[int]]:
    """Cut a path wherever the position is left: each part begins and ends with nothing.

    >>> _stays([0, -5, 0, -3, -5, -1, 0])
    [[0, -5, 0], [0, -3, -5, -1, 0]]
    """
    stays = [[path[0]]]
    for before, now in itertools.pairwise(path):
        if before == 0 and len(stays[-1]) > 1:
            stays.append([0])
        stays[-1].append(now)
    return stays


def _executed(scene: Scene, name: str) -> list[tuple[Any, ...]]:
    return scene.rows(
        "SELECT o.symbol, o.action, SUM(o.filled_quantity) FROM orders o"
        " JOIN trading_account a ON a.id = o.account_id WHERE a.name = ? GROUP BY o.symbol, o.action",
        name,
    )


def _lot_sizes(scene: Scene) -> dict[str, int]:
    rows = scene.rows("SELECT resolved FROM strategy_execution")
    return {
        leg["symbol"]: int(leg["lot_size"]) * int(leg.get("ratio", 1))
        for (resolved,) in rows
        for leg in json.loads(resolved).get("legs", [])
    }
