"""What OpenAlgo's servers answer, as frozen values: amounts in paise, prices in ₹, times aware UTC.

A field that a broker plugin leaves out is None, never zero. Where the wire gives a number that means "none" (bid and
ask of an index are 0), it stays as it is: what counts as a price is decided where prices are used (RULES 6).
"""

from engine.broker.models.account import (
    AnalyzerStatus,
    Book,
    Funds,
    Holding,
    Holdings,
    MarginFigure,
    Mode,
    OpenPosition,
    OrderReading,
    OrderRow,
    OrderStatus,
    PnlBook,
    Pong,
    PositionRow,
    SymbolPnl,
    TradeRow,
)
from engine.broker.models.calendar import (
    Holiday,
    HolidayKind,
    Holidays,
    SessionTimes,
    Timings,
)
from engine.broker.models.gtt import (
    GttLeg,
    GttRow,
    TriggerType,
)
from engine.broker.models.market import (
    Depth,
    DepthLevel,
    Interval,
    Intervals,
    Quote,
    SymbolRow,
)
from engine.broker.models.options import (
    ChainGreeks,
    ChainRow,
    ChainSide,
    OptionChain,
    OptionGreeks,
    OptionSymbol,
    SyntheticFuture,
)

__all__ = [
    "AnalyzerStatus",
    "Book",
    "ChainGreeks",
    "ChainRow",
    "ChainSide",
    "Depth",
    "DepthLevel",
    "Funds",
    "GttLeg",
    "GttRow",
    "Holding",
    "Holdings",
    "Holiday",
    "HolidayKind",
    "Holidays",
    "Interval",
    "Intervals",
    "MarginFigure",
    "Mode",
    "OpenPosition",
    "OptionChain",
    "OptionGreeks",
    "OptionSymbol",
    "OrderReading",
    "OrderRow",
    "OrderStatus",
    "PnlBook",
    "Pong",
    "PositionRow",
    "Quote",
    "SessionTimes",
    "SymbolPnl",
    "SymbolRow",
    "SyntheticFuture",
    "Timings",
    "TradeRow",
    "TriggerType",
]
