"""Sending, changing and withdrawing single orders, and the two calls that act on the whole account."""

from __future__ import annotations

from functools import partial

from engine.broker.account_wide import (
    CancelAllOutcome,
    ClosePositionOutcome,
    judge_cancel_all,
    judge_close_position,
)
from engine.broker.answers import (
    ChangeOutcome,
    NoAnswer,
    PlacementOutcome,
    SmartOutcome,
    Unclear,
    judge_cancel,
    judge_modify,
    judge_placement,
    judge_smart,
)
from engine.broker.caller import BeforeWrite, Caller
from engine.broker.requests import ModifyRequest, OrderRequest, SmartOrderRequest


class OrderCalls(Caller):
    """Each call sends once and says what its answer proves (RULES 5); none ever raises.

    ``before_write`` runs after the connection stands and immediately before the first byte; if it raises, nothing
    leaves and the outcome is ``NotSent``. A call that may place orders keeps its connection up to ``read_timeout``
    seconds, because the server works on after a client has left.
    """

    def place_order(
        self, order: OrderRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> PlacementOutcome:
        """Send one order once and say what its answer proves (RULES 5); never raises."""
        return self._send(
            "placeorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_placement, secret=self._key),
            unanswered=NoAnswer,
        )

    def place_smart_order(
        self, order: SmartOrderRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> SmartOutcome:
        """Send one smart order once; ``NothingToDo`` when the position is as it shall be; never raises."""
        return self._send(
            "placesmartorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_smart, secret=self._key),
            unanswered=NoAnswer,
        )

    def modify_order(
        self, change: ModifyRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 30.0
    ) -> ChangeOutcome:
        """Send one modification once; never raises."""
        return self._send(
            "modifyorder",
            change.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_modify, secret=self._key),
            unanswered=Unclear,
        )

    def cancel_order(
        self,
        orderid: str,
        *,
        strategy: str = "algomirror",
        before_write: BeforeWrite | None = None,
        read_timeout: float = 30.0,
    ) -> ChangeOutcome:
        """Send one cancellation once; never raises."""
        return self._send(
            "cancelorder",
            {"strategy": strategy, "orderid": orderid},
            before_write,
            read_timeout,
            judge=partial(judge_cancel, secret=self._key),
            unanswered=Unclear,
        )

    def cancel_all_orders(
        self, *, strategy: str = "algomirror", before_write: BeforeWrite | None = None, read_timeout: float = 60.0
    ) -> CancelAllOutcome:
        """Cancel every order of the **whole account**, whatever ``strategy`` says; never raises."""
        return self._send(
            "cancelallorder",
            {"strategy": strategy},
            before_write,
            read_timeout,
            judge=partial(judge_cancel_all, secret=self._key),
            unanswered=Unclear,
        )

    def close_positions(
        self, *, strategy: str = "algomirror", before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> ClosePositionOutcome:
        """Close every position of the **whole account**, whatever ``strategy`` says; never raises."""
        return self._send(
            "closeposition",
            {"strategy": strategy},
            before_write,
            read_timeout,
            judge=partial(judge_close_position, secret=self._key),
            unanswered=NoAnswer,
        )
