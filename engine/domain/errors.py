"""Errors of the domain: each names the field and the reason.

DomainError
├── SymbolError        a symbol that does not follow OpenAlgo's form
├── ContractError      a contract, lot, freeze or quantity that cannot be traded
├── CalendarError      a date or session that the calendar does not know
├── CandleError        a bar, interval or candle setting that makes no sense
├── IndicatorError     bars or settings from which no indicator can be computed
├── SizingError        figures from which no lots can be derived
├── RuleError          a limit or exit rule that makes no sense
└── TransitionError    an order state that may not follow the present one
"""

from __future__ import annotations


class DomainError(ValueError):
    """A value that breaks a rule: ``field`` says which, the message says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SymbolError(DomainError):
    """A symbol that does not follow OpenAlgo's form."""


class ContractError(DomainError):
    """A contract, lot, freeze or quantity that cannot be traded."""


class CalendarError(DomainError):
    """A date or session that the calendar does not know."""


class CandleError(DomainError):
    """A bar, interval or candle setting that makes no sense."""


class IndicatorError(DomainError):
    """Bars or settings from which no indicator can be computed; of bars the reason names the index."""


class SizingError(DomainError):
    """Figures from which no lots can be derived."""


class RuleError(DomainError):
    """A limit or exit rule that makes no sense."""


class TransitionError(DomainError):
    """An order state that may not follow the present one."""
