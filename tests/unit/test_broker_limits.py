"""The edges of what may be asked, and the key in the odd places of what comes back."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from engine.broker import MarginPosition, OpenAlgoClient
from engine.broker.frames import Failure, read_frame
from engine.broker.scrub import MASK, Secret, decode_json
from engine.domain.instruments import Action, Exchange, Product

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
LEG = MarginPosition("NIFTY01DEC2626000CE", Exchange.NFO, Action.SELL, 65, Product.NRML)


def client() -> OpenAlgoClient:
    return OpenAlgoClient("http://127.0.0.1:1", "made-up-key", transport=httpx.MockTransport(pytest.fail))


@pytest.mark.parametrize("legs", [0, 51])
def test_a_margin_is_asked_for_1_to_50_legs(legs: int) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        client().margin([LEG] * legs)


@pytest.mark.parametrize("confirmation", [False, 1, "yes"])
def test_only_true_confirms_a_change_of_the_whole_server(confirmation: Any) -> None:
    with pytest.raises(ValueError, match="confirm_whole_server"):
        client().analyzer_toggle(analyze=False, confirm_whole_server=confirmation)


@pytest.mark.parametrize("echo", ["k/12", "k%2F12", "k&#47;12", "%6b/12"])
def test_a_frame_shows_no_form_of_the_key(echo: str) -> None:
    frame = json.dumps({"status": "error", "code": "E", "message": f"no {echo}"})
    assert read_frame(frame, 0.0, NOW, secret=Secret("k/12")) == Failure("E", f"no {MASK}")


def test_a_name_of_a_field_shows_no_key_either() -> None:
    assert decode_json(b'{"errors": {"k-12": ["bad"]}}', secret=Secret("k-12")) == {"errors": {MASK: ["bad"]}}
