"""Prices come from the primary account, from the next when it fails, and back; each change is one event (DESIGN 2)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Exchange
from engine.services.failover import feed_views
from engine.services.ledger import Pass
from engine.services.messages import Connected, Symbol
from engine.store import tables
from tests.stage import CALL, LOT, Stage


class Market:
    """Servers that stream: every account ticks what it is asked to watch, four times a second, while it is let to."""

    def __init__(self, folder: Path, *, accounts: int = 3, **stage: Any) -> None:
        self.stage = Stage(folder, accounts=accounts, **stage)
        self.mute: set[int] = set()
        self.frozen: dict[int, dict[str, float]] = {}
        self.down: set[int] = set()
        self._wobble = itertools.cycle((0.05, 0.1, -0.05, -0.05, -0.05))
        for account_id in self.stage.hands:
            self.stage.feed(account_id, up=True)

    @property
    def leader(self) -> int | None:
        return self.stage.world.data.leader(self.stage.market)

    def watching(self) -> dict[int, frozenset[Symbol]]:
        return {account_id: hands.symbols for account_id, hands in self.stage.hands.items() if hands.symbols}

    def fail(self, account_id: int) -> None:
        self.down.add(account_id)
        self.stage.feed(account_id, up=False)

    def recover(self, account_id: int) -> None:
        self.down.discard(account_id)
        self.stage.feed(account_id, up=True)

    def play(self, seconds: float, *, until: Callable[[], object] | None = None) -> float:
        """Let time go in quarters of a second, with ticks from whoever streams; return how long it took."""
        stage = self.stage
        begun = stage.clock.seconds
        while stage.clock.seconds - begun < seconds - 0.01 and not (until and until()):
            stage.step(0.25)
            move = next(self._wobble)
            for hands in stage.hands.values():
                for symbol in hands.broker.price:
                    hands.broker.price[symbol] = round(hands.broker.price[symbol] + move, 2)
            for account_id, symbols in self.watching().items():
                if account_id in self.down or account_id not in stage.world.accounts:
                    continue
                if stage.world.accounts[account_id].acknowledged != symbols:
                    stage.feed(account_id, up=True)
                for symbol in symbols if account_id not in self.mute else ():
                    prices = self.frozen.get(account_id) or stage.hands[account_id].broker.price
                    ltp = prices[symbol[0]]
                    stage.inbox.price(stage.market, symbol, ltp, stage.clock.now())
        return stage.clock.seconds - begun

    def events(self) -> list[str]:
        return [event.message for event in self.stage.events("failover")]


def test_the_first_choice_is_the_primary_and_no_event(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    assert market.leader == 1
    assert market.watching().keys() == {1}
    assert market.events() == []


def test_dead_primary_gives_way_within_five_seconds_and_leads_again_after_thirty_of_health(tmp_path: Path) -> None:
    market = Market(tmp_path)
    run = market.stage.enter()
    market.play(5)
    market.fail(1)
    took = market.play(10, until=lambda: market.leader == 2 and market.watching().keys() == {2})
    assert took <= 5
    market.play(20)
    market.recover(1)
    market.play(20)
    assert market.watching().keys() == {2}
    assert market.play(60, until=lambda: market.leader == 1) == pytest.approx(10, abs=0.6)
    market.play(120)
    assert market.watching().keys() == {1}
    away, back = market.stage.events("failover")
    assert away.message.endswith("come from account 2 instead of account 1: account 1: its price feed is away")
    assert back.message.endswith("come from account 1 again instead of account 2: account 1: it has been well for 30 s")
    assert {away.action, back.action} == {"alert_only"}
    assert away.knew["from"]["feed"] == "down"
    assert away.knew["to"]["account"] == "account 2"
    assert away.knew["to"]["server"] == "answers"
    assert market.stage.run(run).state == "open"
    assert market.stage.events("blind") == []


def test_dead_server_gives_way_too(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.stage.hands[1].silent.add("connect")
    market.stage.inbox.put(Connected(1, "", "", "no answer"))
    assert market.play(10, until=lambda: market.leader == 2) <= 5
    assert "account 1: its server does not answer" in market.events()[0]


def test_accounts_are_taken_in_their_order_and_an_account_let_go_is_left(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.fail(2)
    market.fail(1)
    market.play(5)
    assert market.leader == 3
    market.recover(2)
    market.play(60)
    assert market.leader == 3  # only the primary is gone back to
    del market.stage.world.accounts[3]
    market.play(5)
    assert market.leader == 2
    assert len(market.events()) == 2


def test_feed_that_falls_mute_while_quotes_move_is_left_and_not_chosen_again_for_five_minutes(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.mute.add(1)
    assert market.play(15, until=lambda: market.leader == 2) <= 8
    assert market.events()[0].endswith("s while quotes moved")
    market.mute.clear()
    market.play(290)
    assert market.leader == 2
    market.play(20)
    assert market.leader == 1
    assert len(market.events()) == 2
    assert market.stage.events("blind") == []


def test_feed_that_repeats_old_prices_is_left(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.frozen[1] = dict(market.stage.broker(1).price)
    assert market.play(20, until=lambda: market.leader == 2) <= 12
    assert "no new price" in market.events()[0]


def test_run_of_one_account_leaves_by_quotes_while_its_feed_repeats_old_prices(tmp_path: Path) -> None:
    market = Market(tmp_path, accounts=1, limits={"max_loss": 1_000.0})
    run = market.stage.enter()
    market.play(5)
    market.frozen[1] = dict(market.stage.broker(1).price)
    market.stage.broker(1).price[CALL] += 2_000 / LOT
    assert market.play(20, until=lambda: market.stage.plans(run)) <= 8
    market.play(5)
    assert market.stage.broker().net == {}


def test_mute_feed_without_quotes_is_left_after_fifteen_seconds(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.stage.quiet_market()
    market.mute.add(1)
    assert market.play(30, until=lambda: market.leader == 2) == pytest.approx(15, abs=1)
    assert "and no quotes" in market.events()[0]


def test_quiet_market_moves_nobody(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.mute |= {1, 2, 3}
    for _ in range(600):  # quotes answer, and the price stands still
        market.stage.step(0.25)
    assert market.leader == 1
    assert market.events() == []


def test_all_feeds_mute_moves_each_at_most_once_in_five_minutes(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.mute |= {1, 2, 3}
    market.play(280)
    assert len(market.events()) == 2
    assert market.stage.events("blind") == []  # quotes keep the run sighted


def test_nothing_is_mute_outside_the_session(tmp_path: Path) -> None:
    market = Market(tmp_path, venue="live")
    market.stage.enter()
    market.play(5)
    market.stage.clock.skew += timedelta(hours=8)  # half past six in the evening
    market.mute.add(1)
    market.play(60)
    assert market.leader == 1
    now = market.stage.clock.now()
    opens = (now + timedelta(days=2)).replace(hour=3, minute=45, second=0, microsecond=0)  # the 24th is a holiday
    market.stage.clock.skew += opens - now - timedelta(seconds=2)
    market.play(6)
    assert market.events() == []
    market.play(10)
    assert len(market.events()) == 1


def test_flapping_primary_makes_few_events(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    for _ in range(20):  # ten minutes, up for 25 s
        market.fail(1)
        market.play(5)
        market.recover(1)
        market.play(25)
    assert len(market.events()) == 1
    assert market.leader == 2


def test_primary_that_fails_soon_after_it_came_back_must_be_healthy_for_longer(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    for _ in range(20):  # fifteen minutes, up for 40 s
        market.fail(1)
        market.play(5)
        market.recover(1)
        market.play(40)
    assert len(market.events()) <= 4


def test_feeds_that_all_flap_are_told_at_most_once_a_minute_each_way(tmp_path: Path) -> None:
    market = Market(tmp_path, accounts=1)
    market.stage.enter()
    market.play(5)
    for _ in range(30):  # five minutes
        market.fail(1)
        market.play(5)
        market.recover(1)
        market.play(5)
    assert 2 <= len(market.events()) <= 12
    market.play(65)
    assert market.leader == 1
    assert market.events()[-1].endswith("come from account 1 again: its server and its price feed are there")


def test_while_nobody_streams_nobody_leads_and_quotes_keep_the_run_sighted(tmp_path: Path) -> None:
    market = Market(tmp_path, limits={"max_loss": 1_000.0})
    run = market.stage.enter()
    market.play(5)
    for account_id in (1, 2, 3):
        market.fail(account_id)
    market.play(30)
    assert market.leader is None
    assert len(market.events()) == 1
    assert market.stage.events("blind") == []
    for hands in market.stage.hands.values():
        hands.broker.price[CALL] += 2_000 / LOT
    market.play(10, until=lambda: market.stage.run(run).state == "closed")
    assert market.stage.broker().net == {}


def test_a_restart_chooses_anew_without_an_event(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.fail(1)
    market.play(5)
    market.stage.restart()
    for account_id in (2, 3):
        market.recover(account_id)
    market.play(2)
    assert market.leader is None  # the primary may still come
    market.play(3)
    assert market.leader == 2
    market.recover(1)
    market.play(35)
    assert market.leader == 1
    assert len(market.events()) == 2


def test_own_bars_can_tell_when_ticks_began_to_come_from_another_account(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    assert market.stage.world.data.changed_at == {}
    market.fail(1)
    market.play(5)
    assert market.stage.world.data.changed_at[market.stage.market] == market.stage.events("failover")[0].at


def test_contracts_are_asked_for_where_the_prices_come_from(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)
    market.fail(1)
    market.play(5)
    reader = market.stage.world.reader_of(1, market.stage.venue)
    assert reader is not None
    assert reader.id == 2


def test_the_live_view_names_who_gives_the_prices(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.stage.enter()
    market.play(5)

    def view() -> Any:
        return feed_views(Pass(market.stage.ledger, market.stage.clock.now()), market.stage.world, 1)[0]

    first = view()
    assert (first.account, first.primary, first.problem) == ("account 1", True, "")
    assert first.last_tick_at is not None
    market.fail(1)
    market.stage.step(0.25)
    assert view().problem == "its price feed is away"
    market.play(5)
    second = view()
    assert (second.account, second.primary, second.problem) == ("account 2", False, "")
    for account_id in (2, 3):
        market.fail(account_id)
    market.play(5)
    assert view().account_id is None
    assert view().problem == "no account gives prices: its price feed is away"


def test_a_liar_of_another_user_moves_nothing(tmp_path: Path) -> None:
    market = Market(tmp_path, accounts=1, limits={"max_loss": 1_000.0})
    stage = market.stage
    with stage.database.write() as session:
        session.add(
            tables.User(id=2, username="mallory", password_hash="x", role="trader", created_at=stage.clock.now())  # type: ignore[arg-type]
        )
    with stage.database.write() as session:
        first = session.get_one(tables.TradingAccount, 1)
        session.add(tables.TradingAccount(**{**first.model_dump(), "id": 2, "owner_id": 2, "name": "liar"}))
    stage.restart()
    stage.hands[2].market = f"2|{stage.venue}"
    for account_id in (1, 2):
        stage.feed(account_id, up=True)
    run = stage.enter()
    market.play(5)
    assert stage.world.data.leader(f"2|{stage.venue}") == 2
    for seconds in range(20):
        stage.inbox.price(f"2|{stage.venue}", (CALL, Exchange.NFO), 900.0 + seconds, stage.clock.now())
        stage.hands[2].broker.price[CALL] = 900.0
        market.play(0.5)
    assert stage.run(run).state == "open"
    market.fail(1)  # and nobody else's server takes over
    market.play(10)
    assert market.leader is None
    assert stage.run(run).state == "open"
    assert stage.hands[2].symbols == frozenset()
