"""Fault scripts: what can go wrong between a client and its broker, on request, call by call.

``POST /control/faults`` takes a kind, the calls it concerns and the kind's own fields (``FAULTS``). A kind of a call is
a coroutine that gets the call in hand and answers in its own way; of a call that carries several orders (basket, split,
multi-leg) it befalls each of them. Kinds of the websocket happen at once; the same again with 0 seconds ends one.

====================  ========================================================  =======================================
kind                  what happens                                              what the client sees
====================  ========================================================  =======================================
drop_before           nothing                                                   connection cut
drop_after            everything                                                connection cut
delay                 everything, ``seconds`` later                             the answer, late
late                  everything, ``seconds`` after the client left             no answer (the answer if it stays)
bad_gateway           everything                                                502 with a proxy's page
garbage               everything                                                200, half of a JSON text
wrong_content_type    everything                                                200 with a page of a login
slow_body             everything                                                headers at once, body over ``seconds``
half_body             everything                                                cut in the middle of the body
rate_limit_429        nothing                                                   429 of OpenAlgo, without ``status``
broker_429            nothing                                                   429 of the broker (``message``)
error_500             nothing                                                   500 (``message``)
broker_error          nothing                                                   500, the broker's text (``message``)
broker_error_after    everything                                                500, "internal error" (``message``)
null_orderid          everything                                                200 with null for each order id
reject                the order is recorded as rejected (``message``)           400 with an order id; live: 200
clip                  ``fraction`` of it fills, the rest is held                200
duplicate             two orders                                                200, the id of the first
late_visibility       the order; books, status, pushes show it ``seconds``      200
                      later, the position at once
market_as_limit       the order, shown as LIMIT at its protected price          200
moving_timestamp      the order, shown with the time of each look               200
validation            the order waits ``seconds`` before it is matched          200
stale_status          as ``validation``; a live row meanwhile repeats the       200
                      status of the row before it
mode_toggled          the account's server is switched to its other mode,       the answer of that mode
                      then everything
queued                the call waits for approval, which comes after            200, ``pending_order_id``, no order id
                      ``seconds`` (0: never by itself)
empty_book            everything                                                200 without rows
smaller_book          everything                                                200 without the last row
old_book              everything                                                200, the rows of ``seconds`` ago
stream_silence        ticks and pushes are lost for ``seconds``                 sockets stay open and say nothing
stream_frozen         ticks repeat the first frame from now on for ``seconds``  old prices with old times
pushes_lost           pushes are lost for ``seconds``                           ticks only
pushes_twice          pushes come twice for ``seconds``                         each of them twice
stream_cut            sockets are reset; with ``code`` closed with it;          a cut; BROKER_ERROR when it comes back
                      authentication is refused for ``seconds``
====================  ========================================================  =======================================
"""

from __future__ import annotations

from typing import Any

from engine.paper import book_faults, order_faults, schemas, wire_faults
from engine.paper.fault_script import ANY, Fault, Kind
from engine.paper.schemas import Field, Invalid, Schema

KINDS: dict[str, Kind] = {
    kind.__name__: kind for module in (wire_faults, order_faults, book_faults) for kind in module.KINDS
}
STREAM_KINDS = frozenset({"stream_silence", "stream_frozen", "pushes_lost", "pushes_twice", "stream_cut"})
LONGEST_SECONDS = 86_400.0
CLOSE_CODES = (1000, 4999)


def _seconds(given: Any) -> float:
    value = schemas.price(given)
    if value > LONGEST_SECONDS:
        raise Invalid([f"Must be at most {LONGEST_SECONDS:.0f}."])
    return value


def _close_code(given: Any) -> int:
    low, high = CLOSE_CODES
    return 0 if given == 0 else schemas.whole(low, high)(given)


FAULTS: Schema = {
    "kind": Field(schemas.one_of((*KINDS, *sorted(STREAM_KINDS)))),
    "endpoint": Field(schemas.sized(1, 50), required=False, default=ANY),
    "api_key": Field(schemas.sized(1, 256), required=False),
    "count": Field(schemas.whole(1, 1_000_000), required=False, default=1),
    "after": Field(schemas.whole(0, 1_000_000), required=False, default=0),
    "symbol": Field(schemas.sized(1, 50), required=False),
    "action": Field(schemas.one_of(("BUY", "SELL")), required=False),
    "seconds": Field(_seconds, required=False, default=0.0),
    "fraction": Field(schemas.price, required=False, default=0.5),
    "message": Field(schemas.text, required=False, default=""),
    "code": Field(_close_code, required=False, default=0),
    "clear": Field(schemas.boolean, required=False, default=False),
}


def scripted(values: dict[str, Any]) -> Fault:
    """Return the fault of a request that ``FAULTS`` read."""
    return Fault(**{name: value for name, value in values.items() if name != "clear"})
