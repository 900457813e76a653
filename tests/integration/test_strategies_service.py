"""Strategies: what is wrong is named by leg and field, a change is a version, runs keep theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from engine.desk import Desk
from engine.domain.entries import EntryTerms
from engine.services.drafts import LegDraft, LimitsDraft, RuleDraft, ScheduleDraft, StrategyDraft, SupertrendDraft
from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.identity import NotAllowed
from engine.services.templates import TEMPLATES
from engine.services.terms import read_terms
from engine.services.views import AccountDraft
from engine.store.tables import Role, StrategyExecution, StrategyVersion
from tests.desk_factory import NOW, DeskFactory

CE = LegDraft(underlying="NIFTY", action="SELL", instrument_type="CE")
PE = LegDraft(underlying="NIFTY", action="SELL", instrument_type="PE")


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[DeskFactory]:
    made = DeskFactory(tmp_path)
    yield made
    made.close()


@pytest.fixture
def desk(factory: DeskFactory) -> Desk:
    return factory.desk(factory.person())


def limit_leg(offset: float) -> LegDraft:
    return PE.model_copy(update={"price_type": "LIMIT", "limit_offset": offset})


def straddle(**changes: object) -> StrategyDraft:
    return StrategyDraft(name="Straddle", account_ids=[], legs=[CE, PE]).model_copy(update=changes)


@pytest.mark.parametrize("key", [item.key for item in TEMPLATES])
def test_every_template_is_a_strategy(desk: Desk, key: str) -> None:
    view = desk.create_from_template(key, [])
    assert desk.strategy(view.id).draft == view.draft


def test_a_template_used_twice_gets_a_second_name(desk: Desk) -> None:
    names = [desk.create_from_template("short_straddle", []).name for _ in range(3)]
    assert names == ["Short straddle, NIFTY", "Short straddle, NIFTY 2", "Short straddle, NIFTY 3"]


def test_what_is_saved_comes_back(factory: DeskFactory, desk: Desk) -> None:
    accounts = [row.id for row in factory.family(desk)]
    draft = straddle(
        account_ids=accounts, sizing_percentage=40.0, market_condition="non_expiry", hedge_failure="hold",
        limits=LimitsDraft(max_loss=5000.0, trailing_kind="amount", trailing_value=2000.0, exit_time="15:15"),
    )  # fmt: skip
    view = desk.save_strategy(draft)
    assert desk.strategy(view.id).draft == draft
    assert [leg.leg_index for leg in _legs(factory)] == [1, 2]


def test_how_a_strategy_enters_comes_back_and_a_change_of_it_makes_a_version(desk: Desk) -> None:
    draft = straddle(legs=[CE, limit_leg(0.5)], hedge_seconds=20.0, limit_seconds=3_600.0, limit_timeout="market")
    view = desk.save_strategy(draft)
    assert desk.strategy(view.id).draft == draft
    assert desk.save_strategy(draft, strategy_id=view.id).version == 1
    assert desk.save_strategy(draft.model_copy(update={"limit_seconds": 60.0}), strategy_id=view.id).version == 2


def test_version_of_an_earlier_release_enters_as_it_did_then(factory: DeskFactory, desk: Desk) -> None:
    view = desk.save_strategy(straddle(hedge_failure="hold"))
    with factory.database.write() as session:
        version = session.get_one(StrategyVersion, view.version_id)
        version.entry_policy = {"hedge_failure": "hold", "sold_leg_failure": "hold"}
        session.add(version)
    assert desk.strategy(view.id).draft == straddle(hedge_failure="hold")
    with factory.database.read() as session:
        terms = read_terms(session, view.version_id)
    assert terms is not None
    assert terms.entry == EntryTerms(hedge_failure="hold", hedge_seconds=10.0, limit_seconds=30.0)
    assert {(leg.price_type, leg.limit_offset) for leg in terms.legs} == {("MARKET", 0.0)}


def test_an_unchanged_draft_makes_no_version_and_a_change_makes_one(factory: DeskFactory, desk: Desk) -> None:
    view = desk.save_strategy(straddle())
    assert desk.save_strategy(straddle(), strategy_id=view.id).version == 1
    changed = desk.save_strategy(straddle(product="MIS"), strategy_id=view.id)
    assert (changed.version, changed.draft.limits.square_off_time) == (2, "15:10")
    assert desk.save_strategy(straddle(product="MIS"), strategy_id=view.id).version == 2
    with factory.database.read() as session:
        assert [row.product for row in session.exec(select(StrategyVersion))] == ["NRML", "MIS"]


def test_a_new_name_alone_makes_no_version(desk: Desk) -> None:
    view = desk.save_strategy(straddle())
    renamed = desk.save_strategy(straddle(name="Other"), strategy_id=view.id)
    assert (renamed.name, renamed.version) == ("Other", 1)


def test_a_save_over_a_newer_version_is_refused(desk: Desk) -> None:
    view = desk.save_strategy(straddle())
    desk.save_strategy(straddle(product="MIS"), strategy_id=view.id, expected_version=1)
    with pytest.raises(Refused, match="saved elsewhere as version 2"):
        desk.save_strategy(straddle(description="mine"), strategy_id=view.id, expected_version=1)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": ""}),
        ("legs", {"legs": []}),
        ("product", {"product": "BO"}),
        ("percentage of funds", {"sizing_percentage": 120.0}),
        ("percentage of funds", {"sizing_percentage": float("nan")}),
        ("fixed lots", {"fixed_lots": 0}),
        ("market condition", {"market_condition": "rain"}),
        ("leg 2, ratio", {"legs": [CE, PE.model_copy(update={"ratio": 0})]}),
        ("leg 2, action", {"legs": [CE, PE.model_copy(update={"action": "HOLD"})]}),
        ("leg 1, underlying", {"legs": [CE.model_copy(update={"underlying": "; drop"})]}),
        ("leg 1, expiry", {"legs": [CE.model_copy(update={"underlying": "BANKNIFTY"})]}),
        ("leg 1, type", {"legs": [CE.model_copy(update={"instrument_type": "FUT"})]}),
        ("leg 2, type", {"legs": [CE, PE.model_copy(update={"instrument_type": "EQ"})]}),
        ("leg 1, type", {"legs": [CE.model_copy(update={"instrument_type": "INDEX"})]}),
        ("leg 2, underlying", {"legs": [CE, PE.model_copy(update={"underlying": "SENSEX"})]}),
        ("leg 3, action", {"legs": [CE, PE, CE.model_copy(update={"action": "BUY"})]}),
        ("legs", {"legs": [CE] * 21}),
        ("leg 1, ratio", {"legs": [CE.model_copy(update={"ratio": 1_001})]}),
        ("fixed lots", {"fixed_lots": 10_001}),
        ("percentage of funds", {"sizing_percentage": 0.001}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_kind": "itm", "strike_value": 51.0})]}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_kind": "otm", "strike_value": 1e300})]}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_kind": "exact", "strike_value": 1.01e7})]}),
        (
            "leg 1, strike value",
            {"legs": [CE.model_copy(update={"strike_kind": "premium_near", "strike_value": 0.001})]},
        ),
        ("max loss", {"limits": LimitsDraft(max_loss=1.1e9)}),
        ("max loss", {"limits": LimitsDraft(max_loss=1e300)}),
        ("max loss", {"limits": LimitsDraft(max_loss=0.004)}),
        ("max loss", {"limits": LimitsDraft(max_loss=0.004, max_loss_unit="per_lot")}),
        ("max profit", {"limits": LimitsDraft(max_profit=1_001.0, max_profit_unit="percent_of_premium")}),
        ("trailing stop, value", {"limits": LimitsDraft(trailing_kind="amount", trailing_value=1.1e9)}),
        ("trailing stop, value", {"limits": LimitsDraft(trailing_kind="points", trailing_value=100_001.0)}),
        ("trailing stop, value", {"limits": LimitsDraft(trailing_kind="percent_of_premium", trailing_value=1_001.0)}),
        (
            "trailing stop, activate at",
            {"limits": LimitsDraft(trailing_kind="amount", trailing_value=5.0, trailing_activate_at=1e300)},
        ),
        ("name", {"name": "Stra\x00ddle"}),
        ("name", {"name": "Straddle \u202eelddarts"}),
        ("name", {"name": "Straddle \ud800"}),
        ("description", {"description": "two\u2066 ways"}),
        ("description", {"description": "a bell\x07 rings"}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_kind": "otm", "strike_value": 2.5})]}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_kind": "exact"})]}),
        ("leg 1, strike value", {"legs": [CE.model_copy(update={"strike_value": float("inf")})]}),
        ("leg 1, price type", {"legs": [CE.model_copy(update={"price_type": "SL-M"})]}),
        ("leg 1, price type", {"legs": [CE.model_copy(update={"price_type": "limit"})]}),
        ("leg 2, limit offset", {"legs": [CE, limit_leg(-0.5)]}),
        ("leg 2, limit offset", {"legs": [CE, limit_leg(float("nan"))]}),
        ("leg 2, limit offset", {"legs": [CE, limit_leg(float("inf"))]}),
        ("leg 2, limit offset", {"legs": [CE, limit_leg(10_001.0)]}),
        ("leg 1, limit offset", {"legs": [CE.model_copy(update={"limit_offset": 0.5})]}),
        ("hedge seconds", {"hedge_seconds": float("nan")}),
        ("hedge seconds", {"hedge_seconds": -10.0}),
        ("hedge seconds", {"hedge_seconds": 0.0}),
        ("hedge seconds", {"hedge_seconds": 3_601.0}),
        ("limit seconds", {"limit_seconds": float("inf")}),
        ("limit seconds", {"limit_seconds": 0.5}),
        ("limit time-out", {"limit_timeout": "wait"}),
        ("hedge failure", {"hedge_failure": "pray"}),
        ("sold leg failure", {"sold_leg_failure": ""}),
        ("leg 1, type", {"product": "CNC"}),
        ("max loss", {"limits": LimitsDraft(max_loss=-5.0)}),
        ("max loss", {"limits": LimitsDraft(max_loss=float("nan"))}),
        ("max profit, unit", {"limits": LimitsDraft(max_profit_unit="lakh")}),
        ("trailing stop, value", {"limits": LimitsDraft(trailing_kind="amount")}),
        ("trailing stop", {"limits": LimitsDraft(trailing_value=5.0)}),
        ("trailing stop, activate at", {"limits": LimitsDraft(trailing_kind="percent_of_profit", trailing_value=20.0)}),
        ("exit time", {"limits": LimitsDraft(exit_time="3 pm")}),
        ("square-off time", {"limits": LimitsDraft(square_off_time="23:10")}),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(desk: Desk, field: str, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        desk.save_strategy(straddle(**changes))
    assert caught.value.field == field
    assert desk.strategies() == []


NAN, INF = float("nan"), float("inf")
LOCK = {"trailing_kind": "lock_and_trail", "lock_reach": 100.0, "lock_keep": 50.0, "lock_step": 20.0, "lock_rise": 10.0}


def second_leg(**changes: object) -> dict[str, object]:
    return {"legs": [CE, PE.model_copy(update=changes)]}


def limited(**changes: object) -> dict[str, object]:
    return {"limits": LimitsDraft().model_copy(update=changes)}


def trending(**changes: object) -> dict[str, object]:
    return limited(supertrend=SupertrendDraft().model_copy(update=changes))


def ruled(name: str, **changes: object) -> dict[str, object]:
    return limited(rules={name: RuleDraft().model_copy(update=changes)})


def scheduled(**changes: object) -> dict[str, object]:
    draft = ScheduleDraft(enabled=True, entry_time="09:30").model_copy(update=changes)
    return {"schedule": draft, "account_ids": [1]}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("leg 2, stop", second_leg(stop_kind="atr", stop_value=1.0)),
        ("leg 2, stop", second_leg(stop_value=30.0)),
        ("leg 2, stop", second_leg(stop_kind="percent")),
        ("leg 2, stop", second_leg(stop_kind="percent", stop_value=NAN)),
        ("leg 2, stop", second_leg(stop_kind="percent", stop_value=True)),
        ("leg 2, stop", second_leg(stop_kind="percent", stop_value=1_000.1)),
        ("leg 2, stop", second_leg(stop_kind="percent", stop_value=100.0, action="BUY")),
        ("leg 2, stop", second_leg(stop_kind="points", stop_value=-5.0)),
        ("leg 2, stop", second_leg(stop_kind="points", stop_value=INF)),
        ("leg 2, stop", second_leg(stop_kind="premium", stop_value=0.0)),
        ("leg 2, target", second_leg(target_kind="percent", target_value=100.0)),
        ("leg 2, target", second_leg(target_kind="premium", target_value=1.1e7)),
        ("leg 3, stop", {"legs": [CE, PE, CE.model_copy(update={"stop_kind": "percent", "stop_value": 30.0})]}),
        ("leg 2, re-entry", second_leg(reentry="again", reentry_most=1)),
        ("leg 2, re-entry", second_leg(reentry="fresh", reentry_most=1)),
        ("leg 2, re-entry", second_leg(stop_kind="points", stop_value=5.0, reentry="fresh")),
        ("leg 2, re-entry", second_leg(stop_kind="points", stop_value=5.0, reentry="fresh", reentry_most=11)),
        ("leg 2, re-entry", second_leg(stop_kind="points", stop_value=5.0, reentry="at_cost", reentry_most=True)),
        ("leg 2, re-entry", second_leg(stop_kind="points", stop_value=5.0, reentry_most=2)),
        ("max loss", limited(max_loss=True)),
        ("max loss of an account", limited(account_max_loss=NAN)),
        ("max loss of an account, unit", limited(account_max_loss_unit="lots")),
        ("max profit of an account", limited(account_max_profit=-1.0)),
        ("trailing stop, kind", limited(trailing_kind="moving")),
        ("trailing stop, lock keep", limited(**LOCK | {"lock_keep": None})),
        ("trailing stop, activate at", limited(**LOCK | {"trailing_activate_at": 5_000.0})),
        ("trailing stop, lock keep", limited(**LOCK | {"lock_keep": 100.0})),
        ("trailing stop, lock reach", limited(**LOCK | {"lock_reach": INF})),
        ("trailing stop, lock rise", limited(**LOCK | {"lock_rise": 21.0})),
        ("trailing stop, lock step", limited(**LOCK | {"lock_step": True})),
        ("trailing stop, value", limited(**LOCK | {"trailing_value": 5.0})),
        ("trailing stop, lock step", limited(trailing_kind="amount", trailing_value=5.0, lock_step=1.0)),
        ("Supertrend, series", trending(series="vix")),
        ("Supertrend, leg", trending(series="leg")),
        ("Supertrend, leg", trending(series="leg", leg=3)),
        ("Supertrend, leg", trending(leg=1)),
        ("Supertrend, interval", trending(interval="2m")),
        ("Supertrend, period", trending(period=0)),
        ("Supertrend, period", trending(period=501)),
        ("Supertrend, multiplier", trending(multiplier=0.05)),
        ("Supertrend, multiplier", trending(multiplier=NAN)),
        ("Supertrend, multiplier", trending(multiplier=20.5)),
        ("Supertrend, exit on", trending(exit_on="noon")),
        ("Supertrend, test", trending(test="both")),
        ("rules", ruled("stop_loss")),
        ("max loss, action", ruled("max_loss", action="close")),
        ("max loss, action", ruled("max_loss", action="close_partial")),
        ("max loss, share", ruled("max_loss", share=50.0)),
        ("max loss, legs", ruled("max_loss", legs=[1])),
        ("trailing stop, legs", ruled("trailing_sl", action="close_partial", legs=[3])),
        ("trailing stop, legs", ruled("trailing_sl", action="close_partial", legs=[1, 1])),
        ("exit time, share", ruled("exit_time", action="close_partial", share=100.0)),
        ("exit time, share", ruled("exit_time", action="close_partial", share=NAN)),
        ("exit time, share", ruled("exit_time", action="close_partial", share=True)),
        ("exit time, accounts", ruled("exit_time", action="close_partial", account_ids=[77])),
        ("leg stop, accounts", ruled("leg_sl", action="close_partial", account_ids=[1])),
        ("entry time", scheduled(entry_time=None)),
        ("entry time", scheduled(entry_time="9:30")),
        ("entry time", scheduled(entry_time="09:14")),
        ("entry time", scheduled(entry_time="16:00")),
        ("last entry time", scheduled(last_entry_time="09:29")),
        ("last entry time", scheduled(last_entry_time="never")),
        ("weekdays", scheduled(weekdays=[7])),
        ("weekdays", scheduled(weekdays=[1, 1])),
        ("grace", scheduled(grace_seconds=True)),
        ("grace", scheduled(grace_seconds=0.5)),
        ("grace", scheduled(grace_seconds=NAN)),
        ("grace", scheduled(grace_seconds=3_601.0)),
        ("entry time", scheduled() | limited(exit_time="09:30")),
        ("entry time", scheduled(entry_time="15:10") | {"product": "MIS"}),
        ("hedge seconds", {"hedge_seconds": True}),
        ("percentage of funds", {"sizing_percentage": True}),
        ("fixed lots", {"fixed_lots": True}),
    ],
)
def test_a_rule_that_is_wrong_is_named_and_nothing_is_stored(
    desk: Desk, field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        desk.save_strategy(straddle(**changes))
    assert caught.value.field == field
    assert desk.strategies() == []


def test_every_rule_comes_back_as_it_was_saved(factory: DeskFactory, desk: Desk) -> None:
    accounts = [row.id for row in factory.family(desk)]
    sold = {"stop_kind": "percent", "stop_value": 30.0, "target_kind": "percent", "target_value": 99.99}
    bought = PE.model_copy(
        update={"action": "BUY", "stop_kind": "percent", "stop_value": 99.99, "reentry": "at_cost", "reentry_most": 10}
    )
    limits = LimitsDraft(
        **LOCK, account_max_loss=20.0, account_max_loss_unit="percent_of_premium", account_max_profit=500.0,
        account_max_profit_unit="per_lot", move_to_cost=True, exit_time="15:40",
        supertrend=SupertrendDraft(series="leg", leg=2, interval="1h", period=500, multiplier=20.0, test="level"),
        rules={
            "max_loss": RuleDraft(enabled=False),
            "trailing_sl": RuleDraft(action="close_partial", legs=[2], account_ids=accounts[:1], share=50.0),
            "leg_sl": RuleDraft(action="close_partial"),
            "square_off": RuleDraft(action="alert_only"),
        },
    )  # fmt: skip
    schedule = ScheduleDraft(
        enabled=True, entry_time="09:15", weekdays=[0, 4], last_entry_time="14:00", grace_seconds=3_600.0
    )
    draft = straddle(account_ids=accounts, legs=[CE.model_copy(update=sold), bought], limits=limits, schedule=schedule)
    view = desk.save_strategy(draft)
    assert desk.strategy(view.id).draft == draft


def test_a_strategy_of_a_special_session_may_leave_in_its_hours(desk: Desk) -> None:
    draft = straddle(limits=LimitsDraft(exit_time="19:00"))
    assert desk.save_strategy(draft).draft == draft
    with pytest.raises(InvalidInput, match="special"):
        desk.save_strategy(straddle(limits=LimitsDraft(exit_time="19:16")))


def test_at_a_paper_exchange_which_never_closes_any_time_of_day_will_do(factory: DeskFactory, desk: Desk) -> None:
    asha = factory.family(desk)[0]
    live = desk.add_account(AccountDraft(name="Kiran", host="http://127.0.0.1:5000", api_key="live-kiran", grade="B"))
    schedule = ScheduleDraft(enabled=True, entry_time="22:05", last_entry_time="23:59")
    limits = LimitsDraft(exit_time="00:00", square_off_time="05:30")
    draft = straddle(account_ids=[asha.id], schedule=schedule, limits=limits)
    view = desk.save_strategy(draft)
    assert desk.strategy(view.id).draft == draft
    for account_ids in ([], [live.id], [asha.id, live.id]):
        with pytest.raises(InvalidInput, match="must be inside the session"):
            desk.save_strategy(draft.model_copy(update={"account_ids": account_ids}), strategy_id=view.id)
    assert desk.strategy(view.id).version == 1


def test_figures_at_their_bounds_are_stored(desk: Desk) -> None:
    legs = [
        CE.model_copy(update={"strike_kind": "otm", "strike_value": float(n), "ratio": 1_000}) for n in range(1, 21)
    ]
    limits = LimitsDraft(
        max_loss=1e9, max_profit=1_000.0, max_profit_unit="percent_of_premium",
        trailing_kind="points", trailing_value=100_000.0, trailing_activate_at=1e9,
    )  # fmt: skip
    draft = straddle(legs=legs, limits=limits, fixed_lots=10_000, name="Größte ₹ 😀")
    assert desk.save_strategy(draft).draft == draft
    least = straddle(name="Least", limits=LimitsDraft(max_loss=0.01, trailing_kind="points", trailing_value=0.01))
    assert desk.save_strategy(least).draft == least


def test_a_contract_bought_and_sold_is_refused_and_two_contracts_are_not(desk: Desk) -> None:
    bought = CE.model_copy(update={"action": "BUY"})
    with pytest.raises(InvalidInput, match="leg 2, action: leg 1 has the same contract with SELL"):
        desk.save_strategy(straddle(legs=[CE, bought]))
    further = bought.model_copy(update={"strike_kind": "otm", "strike_value": 4.0})
    calendar = bought.model_copy(update={"expiry_choice": "next_week"})
    assert desk.save_strategy(straddle(legs=[CE, further, calendar, CE])).version == 1


def test_accounts_of_two_venues_are_refused(factory: DeskFactory, desk: Desk) -> None:
    paper = factory.family(desk)[0]
    live = desk.add_account(_live_draft())
    with pytest.raises(InvalidInput, match="different venues"):
        desk.save_strategy(straddle(account_ids=[paper.id, live.id]))


def test_strategies_are_own_only(factory: DeskFactory, desk: Desk) -> None:
    view = desk.save_strategy(straddle(account_ids=[row.id for row in factory.family(desk)]))
    other = factory.desk(factory.person("ravi"))
    assert other.strategies() == []
    with pytest.raises(NotFound):
        other.strategy(view.id)
    with pytest.raises(NotFound):
        other.save_strategy(straddle(name="Mine"), strategy_id=view.id)
    with pytest.raises(InvalidInput, match="accounts"):
        other.save_strategy(view.draft)


def test_a_viewer_saves_nothing(factory: DeskFactory) -> None:
    with pytest.raises(NotAllowed):
        factory.desk(factory.person("guest", Role.VIEWER)).save_strategy(straddle())


def test_a_strategy_with_an_open_run_is_not_archived(factory: DeskFactory, desk: Desk) -> None:
    view = desk.save_strategy(straddle())
    run = StrategyExecution(
        id=9, owner_id=desk.caller.user_id, strategy_id=view.id, version_id=view.version_id, venue="live",
        state="open", created_at=NOW,
    )  # fmt: skip
    with factory.database.write() as session:
        session.add(run)
    assert desk.strategy(view.id).open_run_ids == [9]
    with pytest.raises(Refused, match="open run"):
        desk.archive_strategy(view.id)
    with factory.database.write() as session:
        row = session.get_one(StrategyExecution, 9)
        row.state = "closed"
        session.add(row)
    desk.archive_strategy(view.id)
    assert desk.strategies() == []
    assert desk.save_strategy(straddle()).name == "Straddle"


def _legs(factory: DeskFactory):
    from engine.store.tables import StrategyLeg

    with factory.database.read() as session:
        return session.exec(select(StrategyLeg)).all()


def _live_draft():
    from engine.services.views import AccountDraft

    return AccountDraft(name="Broker", host="http://localhost:5000", api_key="live-key")
