"""Accounts: whose they are, whether they may trade, what they wait for; add, test, choose the primary, retire."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, InvalidInput, ServiceError
from engine.services.views import AccountDraft, AccountView
from pages.components import formats
from pages.components.gate import fragment_desk
from pages.components.live import read_now
from pages.components.notes import note
from pages.components.quarantine import held_back, what_to_do
from pages.components.shell import require_desk
from pages.components.tables import accounts_table

GRADES = {"A": "A · 95 % of funds", "B": "B · 65 % of funds", "C": "C · 36 % of funds"}
FIELDS = {
    "name": "Name",
    "host": "OpenAlgo server",
    "api_key": "API key",
    "ws_url": "Price stream",
    "relation": "Relation",
    "group": "Family or group",
    "grade": "Grade",
    "max_lots": "Most lots in one run",
}
ROUND = "new-account-round"


@st.fragment(run_every=1.0)
def live() -> None:
    """Show the accounts with health and funds."""
    now = read_now(fragment_desk())
    if now.live.problem:
        st.warning(now.live.problem, icon=":material/history:")
    accounts_table(now.live.accounts, now.at, halted=now.live.halted_accounts)
    for account in now.live.accounts:
        if why := held_back(account):
            st.error(
                f"{formats.plain(why[:1].upper() + why[1:])}. Nothing is sent there, neither entries nor exits. "
                f"{what_to_do(why)}",
                title=f"Nothing is sent for {formats.plain(account.name)}",
                icon=":material/block:",
            )


def change(desk: Desk, accounts: list[AccountView]) -> None:
    """Test, make primary or retire one account."""
    names = {account.id: f"{account.name} · {account.broker} · {account.host}" for account in accounts}
    st.subheader("Change an account", anchor=False)
    account_id = st.selectbox("Account", list(names), format_func=lambda key: names.get(key, ""), key="chosen-account")
    chosen = next((account for account in accounts if account.id == account_id), None)
    if chosen is None:
        return
    with st.container(horizontal=True):
        test = st.button(
            "Test connection", key="test-account", icon=":material/network_check:", disabled=not desk.may_trade
        )
        primary = st.button(
            "Make primary",
            key="make-primary",
            icon=":material/star:",
            disabled=chosen.is_primary or not desk.may_trade,
            help="★ primary: the prices of an exchange come from this account, or from the next healthy one",
        )
        retire = st.button(
            "Deactivate", key="deactivate-account", icon=":material/person_off:", disabled=not desk.may_trade
        )
    try:
        if test:
            with st.spinner("Asking the server…"):
                report = desk.test_account(chosen.id)
            if report.ok:
                st.success(
                    f"{formats.plain(chosen.name)} answers: broker {report.broker}, {report.mode}, "
                    f"{formats.rupees(report.funds_paise)} available ({report.funds_model})."
                )
            else:
                st.error(report.problem)
        if primary:
            desk.set_primary(chosen.id)
            st.rerun()
        if retire:
            confirm_retirement(chosen.id, chosen.name)
    except ServiceError as error:
        st.error(str(error))


@st.dialog("Deactivate account")
def confirm_retirement(account_id: int, name: str) -> None:
    """Ask once before an account is taken out of use."""
    st.markdown(
        f"**{formats.plain(name)}** takes part in nothing any more; its history stays. Nothing is sent to the broker. "
        "It is refused while a run is open there."
    )
    if st.button("Deactivate this account", key=f"retire-{account_id}", type="primary"):
        try:
            fragment_desk().deactivate_account(account_id)
        except ServiceError as error:
            st.error(str(error))
            return
        st.rerun()


def add(desk: Desk) -> None:
    """Add an account behind an OpenAlgo server; what is typed stays until it is stored."""
    turn = st.session_state.get(ROUND, 0)  # a stored account makes the next form an empty one
    with st.form("new-account", enter_to_submit=False):
        st.subheader("Add an account", anchor=False)
        st.caption("The connection is tested first; the key is stored encrypted and never shown again.")
        left, right = st.columns(2)
        name = left.text_input("Name", key=f"new-name-{turn}", max_chars=80, placeholder="Asha")
        host = right.text_input("OpenAlgo server", key=f"new-host-{turn}", placeholder="http://127.0.0.1:5000")
        left, right = st.columns(2)
        api_key = left.text_input("API key", key=f"new-key-{turn}", type="password", autocomplete="off")
        ws_url = right.text_input("Price stream (optional)", key=f"new-ws-{turn}", placeholder="ws://127.0.0.1:8765")
        left, right = st.columns(2)
        relation = left.text_input(
            "Relation (optional)", key=f"new-relation-{turn}", max_chars=40, placeholder="spouse"
        )
        group = right.text_input(
            "Family or group (optional)", key=f"new-group-{turn}", max_chars=80, placeholder="Family"
        )
        left, right = st.columns(2)
        grade = left.selectbox("Grade", list(GRADES), index=1, format_func=GRADES.get, key=f"new-grade-{turn}")
        max_lots = right.number_input(
            "Most lots in one run (optional)", min_value=1, value=None, key=f"new-max-{turn}", step=1
        )
        sent = st.form_submit_button("Test and add", key="add-account", type="primary", disabled=not desk.may_trade)
    if not sent:
        return
    draft = AccountDraft(
        name=name or "",
        host=host or "",
        ws_url=ws_url or "",
        api_key=api_key or "",
        relation=relation or "",
        group=group or "",
        grade=grade or "B",
        max_lots=max_lots,
    )
    try:
        with st.spinner("Testing the connection…"):
            added = desk.add_account(draft)
    except InvalidInput as error:
        st.error(error.reason, title=f"Look at: {FIELDS.get(error.field, error.field.replace('_', ' '))}")
    except ServiceError as error:
        st.error(str(error), title="Not added")
    else:
        st.session_state[ROUND] = turn + 1
        note(f"{added.name} is added.")
        st.rerun()


desk = require_desk()
accounts = desk.accounts()
active = [account for account in accounts if account.active]
if active:
    live()
    change(desk, active)
else:
    st.caption("No account yet. Start with paper accounts on the desk, or add one of a broker here.")
add(desk)
retired = [account for account in accounts if not account.active]
if retired:
    with st.expander(formats.count(len(retired), "account that is not active", "accounts that are not active")):
        accounts_table(retired, desk.now)
