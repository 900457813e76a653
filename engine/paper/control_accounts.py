"""The control surface's part about accounts: opening, switches, approvals, and the books as a test oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.domain.money import paise
from engine.paper import schemas, wire
from engine.paper.accounts import DEFAULT_FUNDS, Account, Liquidity, Token
from engine.paper.approvals import Verdict
from engine.paper.exchange import PaperExchange
from engine.paper.faces import DEFAULT_FACE, FACES
from engine.paper.schemas import Field, Schema

Values = dict[str, Any]

API_KEY = Field(schemas.sized(1, 256))
SWITCHES: Schema = {
    "semi_auto": Field(schemas.boolean, required=False),
    "token": Field(schemas.one_of(tuple(Token)), required=False),
    "liquidity": Field(schemas.one_of(tuple(Liquidity)), required=False),
}
ACCOUNTS: Schema = {
    "api_key": API_KEY,
    "name": Field(schemas.sized(1, 100)),
    "funds": Field(schemas.price, required=False, default=DEFAULT_FUNDS / 100),
    "face": Field(schemas.one_of(tuple(FACES)), required=False, default=DEFAULT_FACE),
    **SWITCHES,
}
ACCOUNT: Schema = {"api_key": API_KEY, "face": Field(schemas.one_of(tuple(FACES)), required=False), **SWITCHES}
APPROVALS: Schema = {
    "api_key": API_KEY,
    "approve": Field(schemas.whole(1, 1_000_000_000), required=False),
    "reject": Field(schemas.whole(1, 1_000_000_000), required=False),
}


@dataclass(frozen=True, slots=True)
class AccountControl:
    """Opens and changes accounts and shows their books. Handlers raise Invalid for what cannot be done."""

    exchange: PaperExchange

    async def accounts(self, values: Values) -> Response:
        """Create an account with its switches; the same key again changes nothing."""
        account, created = self.exchange.open_account(
            api_key=values["api_key"], name=values["name"], funds=paise(values["funds"]), face=values["face"]
        )
        if created:
            account = self.exchange.change_account(account.api_key, **{name: values[name] for name in SWITCHES})
        return JSONResponse({"status": "success", "created": created, **_about(account)})

    async def account(self, values: Values) -> Response:
        """Change switches of an account; those that are not named stay. ``face`` changes to the books of that mode."""
        self.known(values)
        switches = {name: values[name] for name in ("face", *SWITCHES)}
        return JSONResponse(
            {"status": "success", **_about(self.exchange.change_account(values["api_key"], **switches))}
        )

    async def approvals(self, values: Values) -> Response:
        """Approve or reject one queued order, or none; returns what still waits and what became of the decided one."""
        account = self.known(values)
        if values["approve"] is not None and values["reject"] is not None:
            raise schemas.Invalid({"approve": ["Give either approve or reject."]})
        decided = None
        try:
            if values["approve"] is not None:
                decided = self.exchange.approve(account.api_key, values["approve"])
            elif values["reject"] is not None:
                decided = self.exchange.reject_pending(account.api_key, values["reject"])
        except wire.Refusal as refusal:
            return wire.error(refusal.status_code, refusal.message)
        queued = self.exchange.approvals.of(account.api_key)
        pending = [call.document() for call in queued if call.verdict is Verdict.PENDING]
        decision = None if decided is None else decided.document()
        return JSONResponse({"status": "success", "pending": pending, "decided": decision})

    async def books(self, values: Values) -> Response:
        """Everything of one account, money in paise: the books of its present mode or those of the named ``face``."""
        account = self.known(values)
        face = values.get("face", account.face)
        if face not in FACES:
            raise schemas.Invalid({"face": [f"Must be one of: {', '.join(FACES)}."]})
        try:
            account = self.exchange.account_of(account.api_key, face)
        except wire.Refusal as refusal:
            raise schemas.Invalid({"face": [str(refusal.message)]}) from refusal
        return JSONResponse(
            {
                "name": account.name,
                "face": account.face,
                "funds_paise": account.funds,
                "realised_paise": account.realised,
                "used_paise": self.exchange.used(account),
                "available_paise": self.exchange.available(account),
                "orders": [order.document() for order in account.orders.values()],
                "trades": [trade.document() for trade in account.trades],
                "positions": [position.document() for position in account.positions.values()],
                "holdings": [holding.document() for holding in self.exchange.holdings(account)],
                "gtts": [gtt.document() for gtt in account.gtts.values()],
            }
        )

    def known(self, values: Values) -> Account:
        """Return the account of a key in its present mode. Raises Invalid if there is none."""
        account = self.exchange.accounts.get(values.get("api_key", ""))
        if account is None:
            raise schemas.Invalid({"api_key": ["There is no account with this key."]})
        return account


def _about(account: Account) -> dict[str, Any]:
    names = ("name", "face", "semi_auto", "token", "liquidity")
    return {name: getattr(account, name) for name in names}
