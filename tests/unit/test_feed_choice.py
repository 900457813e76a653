from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.feed_choice import BACK_AFTER, Choice, Source, choose, silence
from tests.unit.strategies import thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def well(account_id: int, seconds: float = 3_600, **more: object) -> Source:
    return Source(account_id=account_id, is_primary=account_id == 1, healthy_since=ago(seconds), **more)  # type: ignore[arg-type]


def away(account_id: int, seconds: float = 3_600, **more: object) -> Source:
    why = "its price feed is away"
    return Source(
        account_id=account_id, is_primary=account_id == 1, away_since=ago(seconds), why_away=why, **more  # type: ignore[arg-type]
    )  # fmt: skip


def pick(*sources: Source, leader: int | None = 1, silent: str = "", begun: float | None = None) -> int | None:
    return choose(sources, leader=leader, begun_at=ago(begun), silent=silent, now=NOW).account_id


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([well(1), well(2), well(3)], 1),
        ([well(3, priority=1), well(2, priority=2)], 3),
        ([well(3), well(2)], 2),
        ([away(1), well(3), well(2)], 2),
        ([away(1), away(2)], None),
        ([], None),
        ([replace(well(1), silent_at=ago(299)), well(2)], 2),
        ([replace(well(1), silent_at=ago(300)), well(2)], 1),
        ([replace(well(1), silent_at=ago(10)), replace(well(2), silent_at=ago(20))], 1),
    ],
)
def test_the_primary_is_chosen_first_then_by_priority_and_id(sources: list[Source], expected: int | None) -> None:
    assert pick(*sources, leader=None) == expected


def test_at_the_start_the_primary_is_waited_for_three_seconds() -> None:
    assert pick(away(1), well(2), leader=None, begun=2.9) is None
    assert pick(away(1), well(2), leader=None, begun=3) == 2
    assert pick(well(1), away(2), leader=None, begun=0) == 1


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (2, 1), (2.1, 2), (-5, 2)])
def test_a_leader_that_is_away_is_left_after_two_seconds(seconds: float, expected: int) -> None:
    assert pick(away(1, seconds), well(2)) == expected


def test_who_is_left_says_why() -> None:
    assert choose([away(1), well(2)], leader=1, begun_at=None, silent="", now=NOW) == Choice(
        2, "its price feed is away"
    )
    assert choose([well(2)], leader=1, begun_at=None, silent="", now=NOW) == Choice(2, "it is not in use any more")


def test_nobody_healthy_nobody_leads_and_the_first_that_comes_does() -> None:
    assert pick(away(1), away(2)) is None
    assert pick(away(1), well(2, 0), leader=None) == 2


@pytest.mark.parametrize(("seconds", "expected"), [(0, 2), (29.9, 2), (30, 1), (300, 1)])
def test_the_primary_leads_again_after_thirty_seconds_of_health(seconds: float, expected: int) -> None:
    assert pick(well(1, seconds), well(2), leader=2) == expected


def test_one_that_failed_after_it_came_back_must_be_healthy_for_longer() -> None:
    primary = replace(well(1, 59), patience=timedelta(seconds=60))
    assert pick(primary, well(2), leader=2) == 2
    assert pick(replace(primary, healthy_since=ago(60)), well(2), leader=2) == 1


def test_only_the_primary_is_gone_back_to() -> None:
    assert pick(away(1), well(2), well(3), leader=3) == 3


def test_a_failing_leader_gives_way_to_a_primary_that_is_there_only_just() -> None:
    assert pick(well(1, 0), away(2), leader=2) == 1


def test_a_mute_leader_is_left_for_one_that_was_not_mute_lately() -> None:
    assert pick(well(1), well(2), silent="no tick") == 2
    assert pick(well(1), replace(well(2), silent_at=ago(60)), well(3), silent="no tick") == 3
    assert pick(well(1), replace(well(2), silent_at=ago(60)), away(3), silent="no tick") == 1
    assert pick(well(1), silent="no tick") == 1


@pytest.mark.parametrize(("mute", "expected"), [(299, 2), (300, 1)])
def test_a_primary_that_was_mute_is_not_gone_back_to_for_five_minutes(mute: float, expected: int) -> None:
    assert pick(replace(well(1), silent_at=ago(mute)), well(2), leader=2) == expected


@pytest.mark.parametrize(
    ("news", "tick", "moved", "quoted", "mute"),
    [
        (4.9, 4.9, 3, 1, False),
        (5, 5, 1, 1, True),
        (5, 5, 0.9, 0.9, False),  # a tick of the same trade may still be on its way
        (5, 0, 1, 1, True),  # frozen: ticks repeat an old price
        (60, 0, None, None, False),
        (60, 60, None, 4.9, False),  # quotes say that the market is quiet
        (14.9, 14.9, None, None, False),
        (15, 15, None, None, True),
        (60, 14.9, None, None, False),
        (15, 15, None, 5, True),
        (15, 15, None, 4.9, False),
    ],
)
def test_a_feed_is_mute_when_quotes_move_without_it_or_nobody_tells_anything(
    news: float, tick: float, moved: float | None, quoted: float | None, mute: bool
) -> None:
    at = [NOW - timedelta(seconds=one) for one in (news, tick)]
    assert bool(silence(NOW, news_at=at[0], tick_at=at[1], moved_at=ago(moved), quoted_at=ago(quoted))) is mute


seconds = st.one_of(st.none(), st.floats(-5, 900))


@st.composite
def sources(draw: st.DrawFn) -> list[Source]:
    found = []
    for account_id in range(1, draw(st.integers(1, 4)) + 1):
        age = draw(st.floats(0, 900))
        source = well(account_id, age) if draw(st.booleans()) else away(account_id, age)
        found.append(
            replace(source, silent_at=ago(draw(seconds)), patience=draw(st.sampled_from([BACK_AFTER, 2 * BACK_AFTER])))
        )
    return found


@thorough
@given(found=sources(), leader=st.one_of(st.none(), st.integers(1, 5)), silent=st.sampled_from(["", "no tick"]))
def test_who_is_chosen_anew_is_healthy_and_choosing_again_changes_nothing(
    found: list[Source], leader: int | None, silent: str
) -> None:
    choice = choose(found, leader=leader, begun_at=None, silent=silent, now=NOW)
    by_id = {source.account_id: source for source in found}
    if choice.account_id not in {None, leader}:
        assert by_id[choice.account_id].healthy_since is not None
    if choice.account_id is None:
        assert all(source.healthy_since is None for source in found)
    left = [replace(one, silent_at=NOW) if choice.silent and one.account_id == leader else one for one in found]
    assert choose(left, leader=choice.account_id, begun_at=None, silent="", now=NOW).account_id in {
        choice.account_id,
        # a primary that was ready all along comes after an emergency choice of another
        min(found, key=lambda one: one.rank).account_id,
    }
