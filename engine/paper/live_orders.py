"""Order calls of a live account: what its broker takes, and the words in which OpenAlgo passes a refusal on.

The broker looks at the instrument and the lot at once and answers 400. Everything it learns later (funds, freeze
quantity, price bands, shares) becomes a rejected order behind an answer that said success.
"""

from __future__ import annotations

from engine.paper.accounts import Account, Token
from engine.paper.exchange import PaperExchange
from engine.paper.orders import WORKING, OrderRequest, PaperOrder, Treatment
from engine.paper.wire import Refusal

BROKER_URL = "https://api.broker.invalid"
"""How refusals name the broker: a name that resolves nowhere."""
REASONS = {400: "Bad Request", 403: "Forbidden"}
BAD_TOKEN = "Incorrect `api_key` or `access_token`."  # noqa: S105 - the broker's words
NO_INSTRUMENT = "The instrument you are placing an order for has either expired or does not exist."
NO_FUNDS_IN_DETAIL = "Insufficient funds. Required:"
NO_FUNDS = "Insufficient funds. Required margin is higher than available."
FINISHED = "Order cannot be modified or cancelled as it is being processed or is already complete."
UNKNOWN = "Order does not exist."


def client_error(status_code: int, path: str, *, before: str = "") -> Refusal:
    """Return the 500 in which OpenAlgo repeats its HTTP client's words about a broker that refused."""
    return Refusal(
        500,
        f"{before}Client error '{status_code} {REASONS[status_code]}' for url '{BROKER_URL}/{path}'\n"
        f"For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/{status_code}",
    )


def place(exchange: PaperExchange, account: Account, request: OrderRequest, treatment: Treatment) -> PaperOrder:
    """Return the order that was taken, perhaps rejected already. Raises Refusal if nothing was taken."""
    require_token(account)
    contract = exchange.listing.resolve(request.symbol, request.exchange)
    if contract is None:
        raise Refusal(400, NO_INSTRUMENT)
    if contract.lot_size and request.quantity % contract.lot_size:  # an index has none: refused as one below
        raise Refusal(400, f"Quantity should be in multiples of {contract.lot_size}")
    try:
        return exchange.place(account, request, treatment)
    except Refusal as refusal:
        order_id = refusal.fields.get("orderid")
        if isinstance(order_id, str):
            return account.orders[order_id]
        raise


def modify(exchange: PaperExchange, account: Account, order_id: str, request: OrderRequest) -> PaperOrder:
    """Return the changed order. Raises Refusal (400 unknown or finished, 403 expired token)."""
    require_token(account)
    order = account.orders.get(order_id)
    if order is None or order.is_hidden(exchange.clock()):
        raise Refusal(400, UNKNOWN)
    if order.status not in WORKING:
        raise Refusal(400, FINISHED)
    return exchange.modify(account, order_id, request)


def cancel(exchange: PaperExchange, account: Account, order_id: str) -> PaperOrder:
    """Return the cancelled order. Raises Refusal (500): the HTTP client's words, whatever the reason was."""
    path, before = f"orders/regular/{order_id}", "Failed to cancel order: "
    if account.token is Token.DEAD:
        raise client_error(403, path, before=before)
    try:
        return exchange.cancel(account, order_id)
    except Refusal as refusal:
        raise client_error(400, path, before=before) from refusal


def require_token(account: Account) -> None:
    """Raise Refusal (403) if the broker refuses the session."""
    if account.token is Token.DEAD:
        raise Refusal(403, BAD_TOKEN)
