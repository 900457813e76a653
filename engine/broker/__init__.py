"""OpenAlgo's REST and WebSocket, typed: clients, streams, outcomes of orders, send limit, funds models.

What a user needs is here; the other outcomes of orders are in ``answers``, ``children``, ``account_wide`` and
``triggers``, the errors of reads in ``errors``.
"""

from engine.broker.answers import (
    Acknowledged,
    NoAnswer,
    NothingToDo,
    NotSent,
    OutcomeOpen,
    Placed,
    Queued,
    RateLimited,
    Refused,
    Unclear,
)
from engine.broker.client import OpenAlgoClient
from engine.broker.errors import BrokerError
from engine.broker.feed import StreamMode
from engine.broker.gtt_requests import GttModifyRequest, GttRequest
from engine.broker.models import TriggerType
from engine.broker.multi_requests import (
    BasketRequest,
    OptionLeg,
    OptionsMultiOrderRequest,
    OptionsOrderRequest,
    SplitRequest,
)
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest, SmartOrderRequest
from engine.broker.stream import OpenAlgoStream
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product

__all__ = [
    "Acknowledged", "Action", "BasketRequest", "BrokerError", "Exchange", "GttModifyRequest", "GttRequest",
    "InstrumentType", "MarginPosition", "ModifyRequest", "NoAnswer", "NotSent", "NothingToDo", "OpenAlgoClient",
    "OpenAlgoStream", "OptionLeg", "OptionsMultiOrderRequest", "OptionsOrderRequest", "OrderRequest", "OutcomeOpen",
    "Placed", "PriceType", "Product", "Queued", "RateLimited", "Refused", "SmartOrderRequest", "SplitRequest",
    "StreamMode", "TriggerType", "Unclear",
]  # fmt: skip
