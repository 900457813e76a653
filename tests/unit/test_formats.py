"""How figures look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pages.components import formats


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (0, "₹0.00"), (5, "₹0.05"), (99_999, "₹999.99"), (100_000, "₹1,000.00"), (123_456_750, "₹12,34,567.50"),
        (-123_456_750, "−₹12,34,567.50"), (99_999_999_999, "₹99,99,99,999.99"), (None, "–"),
    ],
)  # fmt: skip
def test_rupees_are_grouped_in_lakh_and_crore(paise: int | None, text: str) -> None:
    assert formats.rupees(paise) == text


@pytest.mark.parametrize(
    ("paise", "text"),
    [(150_000_000, "₹15.00 L"), (2_500_000_000_00, "₹250.00 Cr"), (99_999_999, "₹9,99,999.99"), (None, "–")],
)
def test_cards_show_large_amounts_in_words(paise: int | None, text: str) -> None:
    assert formats.short_rupees(paise) == text


def test_profit_shows_its_sign_and_unknown_is_never_zero() -> None:
    assert [formats.profit(value) for value in (1, -1, 0, None)] == ["+₹0.01", "−₹0.01", "₹0.00", "–"]


def test_time_is_indian() -> None:
    moment = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
    assert formats.clock(moment) == "21 Nov 01:30:00"
    assert formats.clock(moment, now=moment + timedelta(hours=2)) == "01:30:00"
    assert formats.clock(None) == "–"


def test_ages_are_words() -> None:
    now = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    assert formats.since(now - timedelta(seconds=3), now) == "3 s ago"
    assert formats.since(now + timedelta(seconds=3), now) == "now"
    assert formats.since(None, now) == "never"


def test_names_cannot_change_how_a_page_looks() -> None:
    assert formats.plain("**x** [y](http://z)") == "\\*\\*x\\*\\* \\[y\\](http\\://z)"
