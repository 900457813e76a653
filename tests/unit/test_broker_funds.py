"""How much of the funds may be used, by what the broker means with them (RULES 2)."""

from datetime import UTC, datetime

import pytest

from engine.broker.funds import FundsModel, available_paise, model_for_broker
from engine.broker.models import Funds, Mode
from engine.domain.errors import SizingError

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NET, INSIDE, GROSS = FundsModel.NET, FundsModel.NET_WITH_COLLATERAL, FundsModel.GROSS


def funds(cash: int, *, used: int = 0, collateral: int = 0) -> Funds:
    return Funds(cash, collateral, used, 0, 0, Mode.LIVE, NOW, NOW)


@pytest.mark.parametrize(
    ("broker", "model"),
    [(name, NET) for name in ("paper", "analyzer", "Shoonya", "flattrade", "Zebu", "firstock", "tradesmart")]
    + [(name, NET) for name in ("5paisa", "fivepaisa", "samco", "tradejini", "dhan", "pocketful")]
    + [(name, INSIDE) for name in ("fivepaisaxts", "5paisa XTS", "jainamxts", "compositedge", "iifl")]
    + [(name, INSIDE) for name in ("wisdom", "rmoney", "ibulls", "IndiaBulls")]
    + [(name, GROSS) for name in ("zerodha", "angel", "fyers", "groww", "definedge", "kotak", "upstox", "")],
)
def test_the_funds_model_of_a_broker(broker: str, model: FundsModel) -> None:
    assert model_for_broker(broker) is model


@pytest.mark.parametrize(
    ("model", "haircut", "available"),
    [(NET, 0.0, 1000), (NET, 0.5, 1150), (INSIDE, 0.5, 1000), (GROSS, 0.0, 600), (GROSS, 1.0, 900)],
)
def test_available_by_model(model: FundsModel, haircut: float, available: int) -> None:
    assert available_paise(funds(1000, used=400, collateral=300), model, haircut) == available


def test_more_used_than_there_is_leaves_nothing() -> None:
    assert available_paise(funds(1000, used=1500), GROSS) == 0


@pytest.mark.parametrize("haircut", [-0.1, 1.1, float("nan")])
def test_a_haircut_that_is_no_share_is_refused(haircut: float) -> None:
    with pytest.raises(SizingError, match="haircut"):
        available_paise(funds(1000), NET, haircut)
