"""What an account can be asked: funds, books, holdings, margin, and the mode of its server."""

from __future__ import annotations

from collections.abc import Sequence

from engine.broker.caller import Answer, Caller
from engine.broker.errors import BadAnswerError
from engine.broker.models import (
    AnalyzerStatus,
    Book,
    Funds,
    GttRow,
    Holdings,
    MarginFigure,
    OpenPosition,
    OrderReading,
    OrderRow,
    PnlBook,
    Pong,
    PositionRow,
    TradeRow,
)
from engine.broker.parsing import account, gtt, mode
from engine.broker.requests import MarginPosition
from engine.domain.instruments import Exchange, Product


class AccountReads(Caller):
    """Reads of the account; every one raises ``errors.BrokerError`` where there is no usable answer."""

    def ping(self) -> Pong:
        """Whether key and broker session are good."""
        return self._read("ping", {}, account.ping)

    def analyzer_status(self) -> AnalyzerStatus:
        """Whether the server trades in its sandbox."""
        return self._read("analyzer", {}, account.analyzer_status)

    def analyzer_toggle(self, *, analyze: bool, confirm_whole_server: bool) -> AnalyzerStatus:
        """Switch the **whole server** to its sandbox (``analyze``) or to real trading, for every user of it.

        The engine never calls this. Raises ValueError without the confirmation; asked for what is already set, nothing
        changes. After an error the mode is unknown: ask ``analyzer_status``.
        """
        if confirm_whole_server is not True:
            raise ValueError("confirm_whole_server: must be True, everything on this server changes its mode")
        if not isinstance(analyze, bool):
            raise ValueError("analyze: must be True or False")  # noqa: TRY004 - one kind of error for arguments

        def parse(answer: Answer) -> AnalyzerStatus:
            status = account.analyzer_status(answer)
            if status.analyze_mode is not analyze:
                raise BadAnswerError("data.analyze_mode: not the mode that was asked for")
            return status

        return self._read("analyzer/toggle", {"mode": analyze}, parse)

    def funds(self) -> Funds:
        """Funds in paise, with the times of the read."""
        begun = self._clock()
        return self._read("funds", {}, lambda answer: account.funds(answer, begun, self._clock()))

    def orderbook(self) -> Book[OrderRow]:
        """Every order of the day, as the server lists them."""
        return self._book("orderbook", account.orders)

    def tradebook(self) -> Book[TradeRow]:
        """Every trade of the day."""
        return self._book("tradebook", account.trades)

    def positionbook(self) -> Book[PositionRow]:
        """Every position of the day, flat ones included."""
        return self._book("positionbook", account.positions)

    def gtt_orderbook(self) -> Book[GttRow]:
        """Every active trigger; finished ones are not listed."""
        return self._book("gttorderbook", gtt.triggers)

    def holdings(self) -> Holdings:
        """Delivery holdings with the server's sums."""
        begun = self._clock()
        return self._read("holdings", {}, lambda answer: account.holdings(answer, begun, self._clock()))

    def symbol_pnl(self) -> PnlBook:
        """P of the day by symbol, as the server computes it."""
        begun = self._clock()
        return self._read("pnl/symbols", {}, lambda answer: account.symbol_pnl(answer, begun, self._clock()))

    def order_status(self, orderid: str, *, strategy: str = "algomirror") -> OrderReading:
        """One order by its id; RefusedError with 404 if the server does not know it.

        ``strategy`` is required by the wire and not compared by the server.
        """
        begun = self._clock()

        def parse(answer: Answer) -> OrderReading:
            row = account.order(answer)
            if row.orderid != orderid:
                raise BadAnswerError("data.orderid: another order than the one asked for")
            return OrderReading(row, mode(answer), begun, self._clock())

        return self._read("orderstatus", {"strategy": strategy, "orderid": orderid}, parse)

    def open_position(
        self, symbol: str, exchange: Exchange, product: Product, *, strategy: str = "algomirror"
    ) -> OpenPosition:
        """Return a net quantity by name. Never used by the engine (RULES 5): an unknown symbol answers 0 too."""
        payload = {"strategy": strategy, "symbol": symbol, "exchange": exchange.value, "product": product.value}
        return self._read("openposition", payload, account.open_position)

    def margin(self, positions: Sequence[MarginPosition]) -> MarginFigure:
        """Return the broker's margin of a basket of 1 to 50 legs, also in analyzer mode.

        Raises ValueError for another number of legs.
        """
        if not 1 <= len(positions) <= 50:
            raise ValueError("positions: 1 to 50 legs can be asked for")
        return self._read("margin", {"positions": [leg.payload() for leg in positions]}, account.margin)
