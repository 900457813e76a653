"""Trades that a broker lists without a price: they prove a quantity, never money (RULES 6: zero is no price)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Action
from tests.stage import CALL, LOT, Stage, instrument


def unpriced(stage: Stage) -> Any:
    books = stage.broker().books()
    return replace(books, trades=tuple(replace(trade, price=0.0) for trade in books.trades))


@pytest.mark.parametrize("priced_before", [True, False])
def test_a_fill_has_the_price_of_the_order_book_where_the_trade_has_none(
    tmp_path: Path, *, priced_before: bool
) -> None:
    stage = Stage(tmp_path)
    if not priced_before:
        stage.hands[1].books_now = lambda: unpriced(stage)
    run = stage.enter()
    stage.hands[1].books_now = lambda: unpriced(stage)
    stage.play(5)
    assert {order.filled_value_paise for order in stage.orders(run)} == {150 * LOT * 100, 120 * LOT * 100}


def test_what_was_closed_outside_without_a_price_is_not_booked_at_zero(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.price(CALL, 140.0)
    stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.hands[1].books_now = lambda: unpriced(stage)
    stage.until(lambda: stage.ledger.charges.get(run), 30)
    charges = stage.ledger.charges[run].values()
    assert [(charge.value_paise, charge.estimated) for charge in charges] == [(140 * LOT * 100, True)]
