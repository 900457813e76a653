"""From OpenAlgo's JSON to typed answers: pure, one function per endpoint, one module per subject."""

from engine.broker.parsing.answer import Answer, mode

__all__ = ["Answer", "mode"]
