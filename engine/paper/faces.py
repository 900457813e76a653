"""How an account looks on the wire: one face for OpenAlgo's analyzer, one for its live mode.

A face turns the exchange's books into OpenAlgo's rows, takes orders in its mode's words and knows what else the modes
do differently. Accounts name theirs; both have the same methods.
"""

from __future__ import annotations

from engine.paper.accounts import ANALYZE, LIVE
from engine.paper.analyzer_face import AnalyzerFace
from engine.paper.live_face import LiveFace

Face = AnalyzerFace | LiveFace
FACES: dict[str, Face] = {ANALYZE: AnalyzerFace(), LIVE: LiveFace()}
DEFAULT_FACE = ANALYZE
