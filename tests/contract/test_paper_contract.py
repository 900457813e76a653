"""The paper exchange answers as the recorded server did: status, shape, names, types, messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contract.paper_stage import Stage, ask, difference, prepared, recordings
from tests.paper_server import PaperServer

ENDPOINTS = (
    "ping",
    "analyzerstatus",
    "analyzertoggle",
    "funds",
    "positionbook",
    "orderbook",
    "tradebook",
    "orderstatus",
    "quotes",
    "multiquotes",
    "symbol",
    "expiry",
    "optionchain",
    "margin",
    "placeorder",
    "modifyorder",
    "cancelorder",
    "holidays",
    "timings",
    "transport",
)
LATER = ("live", "semi-auto", "revoked", "broker-", "token-expired", "no-quote", "rate-limited")
"""Told by test_paper_contract_live.py and by the faults' tests; the limits by test_paper_limits.py."""
DIFFERENT = {
    "placeorder.above-freeze-quantity": "freeze quantities are enforced here",
    "placeorder.index-not-tradable": "indices cannot be traded here",
    "placeorder.insufficient-funds": "its quantity is above the freeze quantity",
    "placeorder.mis-after-square-off": "this exchange never closes",
}
FIGURES = {
    "expiry.success-options": "Found ",
    "expiry.success-bfo": "Found ",
    "expiry.success-futures": "Found ",
    "optionchain.bad-api-key": "Failed to fetch LTP for NIFTY: Invalid openalgo apikey",
}


def _recordings() -> list[str]:
    return [name for name in recordings(ENDPOINTS) if name not in DIFFERENT and not any(word in name for word in LATER)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with PaperServer(seed=3) as paper:
        yield Stage(paper)


@pytest.mark.parametrize("name", _recordings())
def test_answer_has_the_recorded_form(stage: Stage, name: str) -> None:
    recorded = json.loads(prepared(stage, name))
    answer = ask(stage, recorded, name)
    assert answer.status_code == recorded["status_code"], answer.text
    assert answer.headers["content-type"] == "application/json"
    given = answer.json()
    assert difference(recorded["response"], given) is None
    if isinstance(recorded["response"], dict) and "message" in recorded["response"]:
        expected = FIGURES.get(name, recorded["response"]["message"])
        assert given["message"] == expected or (name in FIGURES and given["message"].startswith(expected))


def test_every_endpoint_of_this_exchange_has_recordings() -> None:
    covered = {name.split(".")[0] for name in _recordings()}
    assert covered == set(ENDPOINTS)
