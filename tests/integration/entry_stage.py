"""Stages whose entries go wrong on purpose: placements by symbol, and what the tests ask of a run on one account."""

from __future__ import annotations

from engine.broker.answers import Placed, PlacementOutcome, RateLimited, Refused
from engine.domain.orders import Order
from engine.domain.runs import RunAccount
from engine.store import tables
from tests.stage import FakeHands, Placement, Stage, fill_at_once, instrument

RUN = 1


def refuse(_hands: FakeHands, _order: Order) -> PlacementOutcome:
    """Take nothing, and say so."""
    return Refused("no margin", 400)


def limited(_hands: FakeHands, _order: Order) -> PlacementOutcome:
    """Turn the order away by the limit of requests."""
    return RateLimited("too many requests")


def clip(quantity: int) -> Placement:
    """Take the order and fill so many units of it; the rest stays in the book."""

    def clipped(hands: FakeHands, order: Order) -> PlacementOutcome:
        return Placed(
            hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=quantity, limit=order.price)
        )

    return clipped


def on(*scripts: tuple[str, Placement], then: Placement = fill_at_once) -> Placement:
    """Entry orders of these symbols go by these scripts, each once, in this order; all others by ``then``."""
    left = list(scripts)

    def routed(hands: FakeHands, order: Order) -> PlacementOutcome | None:
        for script in left if order.purpose == "entry" else ():
            if script[0] == order.symbol:
                left.remove(script)
                return script[1](hands, order)
        return then(hands, order)

    return routed


def begin(stage: Stage) -> None:
    """Arm and execute; come back when the run has begun."""
    stage.arm()
    stage.execute()
    stage.until(lambda: RUN in stage.ledger.runs, by=0.05)


def row(stage: Stage, account_id: int = 1) -> RunAccount:
    """The run on one account, as the core has it."""
    return stage.ledger.accounts[RUN][account_id]


def resting(stage: Stage, account_id: int = 1) -> list[str]:
    """Ids of orders that work at the broker."""
    return [one.orderid for one in stage.broker(account_id).orders.values() if one.status == "open"]


def entries(stage: Stage, symbol: str, account_id: int = 1) -> list[tables.Order]:
    """Entry orders of a symbol as the database has them."""
    return [
        order
        for order in stage.orders(RUN)
        if (order.symbol, order.account_id, order.purpose) == (symbol, account_id, "entry")
    ]


def sent(stage: Stage, account_id: int = 1, purpose: str = "entry") -> list[tuple[str, str, int]]:
    """What was handed to be sent: symbol, side, quantity."""
    return [
        (order.symbol, str(order.action), order.quantity)
        for order in stage.hands[account_id].sent
        if order.purpose == purpose
    ]
