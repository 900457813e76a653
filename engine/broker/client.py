"""The REST client of one account on one OpenAlgo server: every endpoint, typed.

Reads return typed answers or raise ``errors.BrokerError``. Orders return what their answer proves (``answers``,
``children``, ``account_wide``, ``triggers``) and never raise; nothing is ever sent twice. One client may be used from
several threads.
"""

from __future__ import annotations

from engine.broker.account_reads import AccountReads
from engine.broker.caller import utc_now
from engine.broker.gtt_calls import GttCalls
from engine.broker.market_reads import MarketReads
from engine.broker.multi_order_calls import MultiOrderCalls
from engine.broker.option_reads import OptionReads
from engine.broker.order_calls import OrderCalls

__all__ = ["OpenAlgoClient", "utc_now"]


class OpenAlgoClient(AccountReads, MarketReads, OptionReads, OrderCalls, MultiOrderCalls, GttCalls):
    """Asks and orders on one account.

    ``host`` is the server's base URL, ``label`` names the account in errors, ``transport`` replaces the network in
    tests, ``clock`` dates the reads (aware UTC). Raises ValueError naming ``host`` or ``api_key``. A read waits
    ``read_timeout`` seconds between bytes; connecting takes at most ``connect_timeout``.
    """
