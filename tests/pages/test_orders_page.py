"""Orders, hand-overs and quarantine on the pages: what is shown in words, what a press writes, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.orders import OrderState
from engine.domain.runs import AccountState
from engine.services.views import TruthRowView, UnknownOrderView
from engine.store.tables import Order, Role
from pages.components import gate
from pages.components.adopting import AskedAdoption
from pages.components.declaring import AskedDeclaration
from pages.components.doubt import evidence
from pages.components.order_tables import difference
from pages.components.quarantine import GENERAL, what_to_do
from pages.components.taking_over import AskedTakeOver
from tests.desk_factory import NOW, add_order, add_run, sample_doubt, sample_live
from tests.pages.scene import Scene, tables, texts

KEY = "k" * 32


class Trouble:
    """A scene with a run and two orders in doubt in the database, as the figures show them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.accounts = scene.in_trouble()
        strategy = scene.desk.create_from_template("short_straddle", [account.id for account in self.accounts])
        states = {account.id: AccountState.ENTERED for account in self.accounts}
        for _run in range(2):
            run = add_run(scene.factory, scene.caller, strategy, states)
        self.first, self.second = self.accounts[0], self.accounts[1]
        self.order = add_order(scene.factory, run, self.first.id, OrderState.UNKNOWN)
        view = sample_doubt(sample_live(self.accounts, as_of=NOW))
        unknown = [view.unknown[0].model_copy(update={"order_id": self.order}), view.unknown[1]]
        scene.show(view.model_copy(update={"unknown": unknown}))

    def open(self) -> AppTest:
        return self.scene.open("orders")

    def declare(self, at: AppTest, **fields: object) -> AppTest:
        """Open the dialog for the order with these fields chosen and typed."""
        asked = AskedDeclaration(KEY, self.order)
        at.session_state["orders-asked"] = asked
        for name, value in fields.items():
            at.session_state[asked.field(name)] = value
        return at.run()

    def payloads(self, kind: str) -> list[dict[str, object]]:
        return [row.payload for row in self.scene.rows(kind)]


@pytest.fixture
def trouble(scene: Scene) -> Trouble:
    return Trouble(scene)


def press(at: AppTest, label: str) -> None:
    next(button for button in at.button if button.label == label).click().run()


def test_an_order_in_doubt_is_shown_with_its_evidence_and_ages(trouble: Trouble) -> None:
    shown = texts(trouble.open())
    assert "**SELL 195 NIFTY23NOV2626400CE on Asha · exit of run 2**" in shown
    assert "**Sent** 12 s ago · no answer for 3 s" in shown
    assert "**Quiet** until 12:00:48 (in 48 s): that the books lack it proves nothing before" in shown
    assert "**May be it** at the broker: 261120000017" in shown
    assert "**Position** the net moved by −195 that nothing else explains" in shown
    assert "**Books** read 2 s ago" in shown
    assert "**Waits for** the quiet time to end, and two valid reads of all books after it" in shown
    assert "**Queued** at its server, which holds it for a person to approve or to reject" in shown
    assert "**Books** none that count have been read" in shown


def test_books_from_before_the_sending_are_no_evidence_and_say_so() -> None:
    order = UnknownOrderView(
        order_id=1, run_id=1, account_id=1, account="Asha", purpose="exit", state="unknown", action="BUY", quantity=65,
        filled_quantity=0, symbol="X", exchange="NFO", product="NRML", orderid=None, words="", age_seconds=1.0,
        sent_at=NOW - timedelta(seconds=1), quiet_until=NOW - timedelta(seconds=5), absent_since=None, moved=0,
        books_age_seconds=13.0,
    )  # fmt: skip
    lines = evidence(order, NOW, behind=0.0)
    assert "**Books** read 13 s ago, before it was sent: they say nothing of it" in lines
    assert not [line for line in lines if "has not moved" in line or "no order at the broker" in line]
    later = evidence(order.model_copy(update={"age_seconds": 20.0}), NOW, behind=0.0)
    assert {"**Position** the net has not moved", "**May be it** no order at the broker"} <= set(later)
    named = order.model_copy(update={"orderid": "2611", "state": "working", "age_seconds": 20.0})
    assert "**Named** 2611 by its server, but no order book lists it" in evidence(named, NOW, behind=0.0)


def test_without_doubt_the_page_says_so(scene: Scene) -> None:
    scene.family_with_runs()
    at = scene.open("orders")
    assert "What became of every order is known." in texts(at)
    assert "No order is working." in texts(at)
    assert not [button for button in at.button if "Declare" in button.label]


def test_working_orders_show_what_filled_what_is_asked_and_the_brokers_words(trouble: Trouble) -> None:
    table = next(table.value for table in trouble.open().table if "Limit" in table.value)
    row = {str(name).replace("\u00a0", " "): str(cell).replace("\u00a0", " ") for name, cell in table.iloc[0].items()}
    assert row == {
        "Account": "Asha", "Side": "BUY", "Contract": "NIFTY23NOV2626000PE", "Qty": "195", "Filled": "65",
        "Limit": "132.05", "Re-priced": "2 ×", "State": "working", "Sent": "8 s ago", "For": "exit of run 2",
        "Broker id": "261120000019", "Broker says": "open",
    }  # fmt: skip


def test_the_ledger_stands_beside_the_books_with_differences_in_words(trouble: Trouble) -> None:
    at = trouble.open()
    shown = tables(at)
    assert "65 bought outside, of no run" in shown
    assert "35 sold outside, of no run" in shown
    assert "an order is in doubt\\: not compared" in shown
    assert "agreed when last read" in shown  # the books of this account are not known any more
    said = texts(at)
    assert "Books read 2 s ago" in said
    assert "Books read 1 min ago" in said
    assert "the order book lacks 1 of our orders" in said


def test_differences_are_told_apart() -> None:
    row = TruthRowView(
        symbol="X", exchange="NFO", product="NRML", owned=-195, entitled=-195, net=-195, outside=0, pending=0,
        in_doubt=False,
    )  # fmt: skip
    assert difference(row) == "agrees"
    assert difference(row.model_copy(update={"entitled": -130, "net": -130})) == "65 of ours closed outside"
    assert difference(row.model_copy(update={"net": None})) == "the broker's books are not known"
    assert difference(row.model_copy(update={"in_doubt": True})) == "an order is in doubt: not compared"
    assert difference(row.model_copy(update={"net": -260})) == "−65 unexplained"


def test_a_dead_engine_leaves_the_last_orders_with_their_age(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat(age=240)
    scene.show(sample_doubt(sample_live(accounts, as_of=NOW - timedelta(minutes=4))))
    at = scene.open("orders")
    said = texts(at)
    assert "The engine is not running" in said
    assert "What stands here was read 4 min ago." in said
    assert "SELL 195 NIFTY23NOV2626400CE" in said
    assert "**Books** read 4 min ago" in said
    assert "2 s ago" not in said
    assert "NIFTY23NOV2626000PE" in tables(at)


def test_declaring_asks_what_became_of_it_and_says_what_follows(trouble: Trouble) -> None:
    at = trouble.declare(trouble.open(), state="not_received")
    assert "there are then two of them" in texts(at)
    assert "The books show something that may be this order." in texts(at)
    button = next(button for button in at.button if button.label == "Declare")
    assert button.disabled  # nobody has looked into the broker's books yet
    assert trouble.payloads("declare_order") == []


def test_declaring_a_fill_writes_one_command_with_what_was_typed(trouble: Trouble) -> None:
    at = trouble.declare(trouble.open(), state="filled", looked=True, price=131.25, orderid=" 261120000017 ")
    assert "Run 2 counts 195 as sold at this price." in texts(at)
    press(at, "Declare")
    (payload,) = trouble.payloads("declare_order")
    assert payload == {
        "order_id": trouble.order, "state": "filled", "quantity": 65, "price": 131.25, "orderid": "261120000017",
    }  # fmt: skip
    assert "Waiting for the engine" in texts(at)
    at = trouble.declare(at, state="filled", looked=True, price=131.25)  # pressed twice: the same key
    press(at, "Declare")
    assert len(trouble.payloads("declare_order")) == 1


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"state": "filled"}, "price"),
        ({"state": "filled", "price": -1.0}, "price"),
        ({"state": "working"}, "orderid"),
        ({"state": "cancelled", "quantity": 65, "price": 5.0}, "quantity"),
        ({"state": "cancelled", "quantity": 30}, "price"),
    ],
)
def test_a_wrong_field_is_said_in_the_dialog_which_stays_with_what_was_typed(
    trouble: Trouble, typed: dict[str, object], field: str
) -> None:
    at = trouble.declare(trouble.open(), looked=True, **typed)
    press(at, "Declare")
    assert trouble.payloads("declare_order") == []
    assert any(field in str(error.proto) for error in at.error)
    assert at.radio(key=AskedDeclaration(KEY, trouble.order).field("state")).value == typed["state"]


def test_an_order_that_became_known_is_not_asked_about(trouble: Trouble) -> None:
    at = trouble.open()
    view = trouble.scene.desk.live()
    trouble.scene.show(view.model_copy(update={"unknown": [], "problem": ""}))
    at = trouble.declare(at, state="filled")
    assert f"Order {trouble.order} is in doubt no more." in texts(at)


def test_what_is_known_by_the_time_of_the_press_is_refused_in_words(trouble: Trouble) -> None:
    at = trouble.declare(trouble.open(), state="rejected", looked=True)
    with trouble.scene.factory.database.write() as session:
        row = session.get_one(Order, trouble.order)
        row.state = OrderState.FILLED
        session.add(row)
    press(at, "Declare")
    assert trouble.payloads("declare_order") == []
    assert "there is nothing to declare" in texts(at)


def test_adopting_takes_a_price_and_names_the_run(trouble: Trouble) -> None:
    at = trouble.open()
    labels = [button.label for button in at.button]
    assert "Adopt +65 26000 CE…" in labels
    assert not [label for label in labels if "58000" in label]  # no run trades it
    asked = AskedAdoption(KEY, trouble.first.id, "Asha", "NIFTY23NOV2626000CE", "NFO", "NRML", 65)
    at.session_state["orders-asked"] = asked
    at.run()
    assert "**+65 NIFTY23NOV2626000CE** (NRML) stands on **Asha**" in texts(at)
    press(at, "Adopt")
    assert trouble.payloads("adopt") == []  # without a price nothing is adopted, and it says so
    assert any("price" in str(error.proto) for error in at.error)
    at.session_state[asked.field("price")] = 120.5
    at.session_state["orders-asked"] = asked
    at.run()
    press(at, "Adopt")
    assert trouble.payloads("adopt") == [
        {
            "run_id": 1, "account_id": trouble.first.id, "symbol": "NIFTY23NOV2626000CE", "exchange": "NFO",
            "product": "NRML", "quantity": 65, "price": 120.5,
        }
    ]  # fmt: skip


def test_taking_over_says_what_stops_and_orders_it_once(trouble: Trouble) -> None:
    at = trouble.scene.open("positions")
    asked = AskedTakeOver(KEY, 1, trouble.first.id, "Asha")
    at.session_state["orders-asked"] = asked
    at.run()
    said = texts(at)
    assert "From then on the engine sends nothing for run 1 (Short straddle, NIFTY) on Asha" in said
    assert "no stop, no target, no square-off time" in said
    assert "The engine goes on for Meera." in said
    assert trouble.payloads("take_over") == []
    press(at, "Take over run 1 on Asha")
    assert trouble.payloads("take_over") == [{"run_id": 1, "account_id": trouble.first.id}]


def test_positions_tell_who_was_taken_over_and_how_far_an_exit_is(trouble: Trouble) -> None:
    at = trouble.scene.open("positions")
    said = texts(at)
    assert "**Taken over by hand** on Ravi" in said
    assert "taken over by hand" in tables(at)
    assert "**Asha** is leaving (max loss, begun 31 s ago)" in said
    assert "waits for certainty about SELL 195 NIFTY23NOV2626400CE" in said
    assert "3 sent, 1 filled, :red[1 failed], re-priced 2 ×" in said


def test_the_desk_lists_doubt_hand_overs_held_up_exits_and_quarantine_with_links(trouble: Trouble) -> None:
    said = texts(trouble.scene.open())
    assert "1 order with unknown fate" in said
    assert "taken over by hand on Ravi" in said
    assert "the exit on Asha is held up" in said
    assert "set its order mode to auto" in said


def test_a_quarantine_is_told_with_what_to_do(trouble: Trouble) -> None:
    at = trouble.scene.open("accounts")
    assert "quarantined" in tables(at)
    (error,) = at.error
    assert "Nothing is sent there, neither entries nor exits." in error.value
    assert "set its order mode to auto" in error.value


def test_an_account_without_a_broker_session_is_said_to_need_one(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat()
    view = sample_live(accounts, as_of=NOW)
    why = "needs a new broker session (Invalid session)"
    dead = view.accounts[0].model_copy(update={"armed": False, "waits_for": why, "health": "refused"})
    scene.show(view.model_copy(update={"accounts": [dead, *view.accounts[1:]]}))
    at = scene.open("accounts")
    assert "waits for needs" not in tables(at)
    assert "needs a new broker session" in tables(at)
    assert any("Log the server in to the broker again" in error.value for error in at.error)
    assert "Log the server in to the broker again" in texts(scene.open())


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        ("an order waits for approval: the account is in semi-auto mode", "order mode to auto"),
        ("the server speaks for angel, the account was armed with zerodha", "broker it had before"),
        ("its server is in live mode, it was armed in analyze mode", "mode it was armed in"),
        ("needs a new broker session (Invalid session)", "Log the server in"),
        ("something else", GENERAL),
    ],
)
def test_every_quarantine_has_an_advice(why: str, advice: str) -> None:
    assert advice in what_to_do(why)


def test_todays_ended_orders_are_listed_with_who_declared_them(trouble: Trouble) -> None:
    factory, caller = trouble.scene.factory, trouble.scene.caller
    add_order(factory, 2, trouble.first.id, OrderState.REJECTED, words="RMS: margin *exceeds*")
    add_order(factory, 2, trouble.first.id, OrderState.FILLED, filled=65, declared_by=caller)
    shown = tables(trouble.open())
    assert "RMS: margin *exceeds*".replace("*", "\\*").replace(":", "\\:") in shown
    assert "never received" not in shown
    assert caller.username in shown
    assert "100.00" in shown


def test_a_viewer_sees_orders_and_presses_nothing(trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = trouble.scene.factory
    guest = factory.person("guest", Role.VIEWER)
    view = sample_doubt(sample_live(trouble.accounts, as_of=NOW))
    factory.write_live(guest, view)
    monkeypatch.setattr(gate, "provide", lambda: factory.desk(guest))
    at = trouble.open()
    pressable = [button for button in at.button if "Declare" in button.label or "Adopt" in button.label]
    assert pressable
    assert all(button.disabled for button in pressable)
    at = trouble.declare(at, state="filled", looked=True, price=5.0)
    with_rights = [button for button in at.button if button.label == "Declare"]
    for button in with_rights:
        button.click().run()
    assert trouble.payloads("declare_order") == []


def test_another_persons_order_is_not_found(trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = trouble.scene.factory
    ravi = factory.person("ravi")
    view = trouble.scene.desk.live()
    factory.write_live(ravi, view.model_copy(update={"problem": ""}))  # as if a page had been forged
    monkeypatch.setattr(gate, "provide", lambda: factory.desk(ravi))
    at = trouble.declare(trouble.open(), state="rejected", looked=True)
    press(at, "Declare")
    assert trouble.payloads("declare_order") == []
    assert f"There is no order {trouble.order}." in texts(at)
