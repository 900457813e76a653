"""What this exchange trades: indices with their derivatives, a few shares, and the figures their paths start from."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.instruments import Exchange


@dataclass(frozen=True, slots=True)
class Index:
    """An index. ``base`` in ₹ (points), ``volatility`` a year as a fraction.

    ``beta`` is the share of its moves that it has in common with the whole market; ``derivatives`` says whether futures
    and options on it are traded.
    """

    symbol: str
    exchange: Exchange
    full_name: str
    base: float
    volatility: float
    beta: float = 0.92
    derivatives: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """A share, in the units of ``Index``."""

    symbol: str
    base: float
    volatility: float
    beta: float = 0.6
    exchange: Exchange = Exchange.NSE


INDICES = {
    index.symbol: index
    for index in (
        Index("NIFTY", Exchange.NSE_INDEX, "NIFTY 50", 26_000.0, 0.13, 0.95),
        Index("BANKNIFTY", Exchange.NSE_INDEX, "NIFTY BANK", 59_000.0, 0.14, 0.85),
        Index("FINNIFTY", Exchange.NSE_INDEX, "NIFTY FIN SERVICE", 27_500.0, 0.14, 0.85),
        Index("MIDCPNIFTY", Exchange.NSE_INDEX, "NIFTY MID SELECT", 13_800.0, 0.15, 0.8),
        Index("SENSEX", Exchange.BSE_INDEX, "SENSEX", 85_000.0, 0.13, 0.95),
        Index("BANKEX", Exchange.BSE_INDEX, "BANKEX", 66_000.0, 0.14, 0.85),
        Index("INDIAVIX", Exchange.NSE_INDEX, "INDIA VIX", 13.0, 0.7, -0.7, derivatives=False),
    )
}

SHARES = {
    share.symbol: share
    for share in (
        Share("RELIANCE", 1_545.0, 0.22),
        Share("SBIN", 972.0, 0.22),
        Share("INFY", 1_512.0, 0.24),
        Share("ICICIBANK", 1_371.0, 0.2),
        Share("TCS", 3_142.0, 0.21),
        Share("HDFCBANK", 1_002.0, 0.18),
    )
}
