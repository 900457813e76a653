"""Sending several orders in one call: baskets, split orders, options by distance from the money."""

from __future__ import annotations

from functools import partial

from engine.broker.answers import NoAnswer
from engine.broker.caller import BeforeWrite, Caller
from engine.broker.children import BasketOutcome, ChildrenOutcome, judge_basket, judge_children
from engine.broker.multi_requests import BasketRequest, OptionsMultiOrderRequest, OptionsOrderRequest, SplitRequest


class MultiOrderCalls(Caller):
    """Each call sends once and says what its answer proves about every order (RULES 5); none ever raises."""

    def place_basket(
        self, basket: BasketRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> BasketOutcome:
        """Send a basket once. Outcomes come by symbol: legs in one symbol cannot be told apart."""
        return self._send(
            "basketorder",
            basket.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_basket, symbols=basket.symbols, secret=self._key),
            unanswered=NoAnswer,
        )

    def place_split_order(
        self, order: SplitRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> ChildrenOutcome:
        """Send an order once that the server cuts into pieces; one outcome for each piece."""
        return self._send(
            "splitorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_children, places=order.pieces, numbered_by="order_num", secret=self._key),
            unanswered=NoAnswer,
        )

    def place_options_order(
        self, order: OptionsOrderRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> ChildrenOutcome:
        """Send one option order once; one outcome (with the resolved symbol) for each piece, one if it is not split."""
        return self._send(
            "optionsorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_children, places=order.pieces, numbered_by="order_num", secret=self._key),
            unanswered=NoAnswer,
        )

    def place_options_multi_order(
        self, order: OptionsMultiOrderRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> ChildrenOutcome:
        """Send several option orders once; one outcome (with the resolved symbol) for each leg."""
        return self._send(
            "optionsmultiorder",
            order.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_children, places=len(order.legs), numbered_by="leg", secret=self._key),
            unanswered=NoAnswer,
        )
