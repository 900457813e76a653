"""The form and preview of how a strategy enters: what is typed is saved, what is wrong is named, limits are shown."""

from __future__ import annotations

from tests.desk_factory import NOW, sample_preview
from tests.pages.scene import Scene, texts


def test_how_a_strategy_enters_is_saved_as_typed_and_limit_legs_stay(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    first, second = strategy.draft.legs
    legs = [first.model_copy(update={"price_type": "LIMIT", "limit_offset": 0.5}), second]
    scene.desk.save_strategy(
        strategy.draft.model_copy(update={"legs": legs}), strategy_id=strategy.id, expected_version=1
    )
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-2"
    at.number_input(key=f"{key}-hedge-seconds").set_value(20.0)
    at.number_input(key=f"{key}-limit-seconds").set_value(-5.0)
    at.selectbox(key=f"{key}-limit-timeout").set_value("market")
    at.button(key=f"{key}-save").click().run()
    assert at.error[0].value == "1 to 3,600 seconds"
    assert scene.desk.strategy(strategy.id).version == 2
    at.number_input(key=f"{key}-limit-seconds").set_value(45.0)
    at.button(key=f"{key}-save").click().run()
    saved = scene.desk.strategy(strategy.id).draft
    assert (saved.hedge_seconds, saved.limit_seconds, saved.limit_timeout) == (20.0, 45.0, "market")
    assert saved.legs == legs


def test_preview_shows_the_limit_of_each_order(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id)
    one = preview.accounts[0]
    orders = [
        order.model_copy(update={"price": 100.55 if place == 0 else None}) for place, order in enumerate(one.orders)
    ]
    shown = preview.model_copy(update={"accounts": [one.model_copy(update={"orders": orders})]})
    scene.answer("preview", {"preview": shown.model_dump(mode="json")})
    at.run()
    (table,) = [frame.value for frame in at.table if "Slice" in frame.value.columns]
    assert list(table["Price"]) == ["100.55", "market"]
    assert "with limits reckoned anew" in texts(at)
