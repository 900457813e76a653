"""Placing, changing and withdrawing triggers at the broker."""

from __future__ import annotations

from functools import partial

from engine.broker.answers import NoAnswer, Unclear
from engine.broker.caller import BeforeWrite, Caller
from engine.broker.gtt_requests import GttModifyRequest, GttRequest
from engine.broker.triggers import GttChangeOutcome, GttOutcome, judge_gtt, judge_gtt_change


class GttCalls(Caller):
    """Each call sends once and says what its answer proves; none ever raises. Not every broker has triggers."""

    def place_gtt(
        self, trigger: GttRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 180.0
    ) -> GttOutcome:
        """Send one trigger once."""
        return self._send(
            "placegttorder",
            trigger.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_gtt, secret=self._key),
            unanswered=NoAnswer,
        )

    def modify_gtt(
        self, change: GttModifyRequest, *, before_write: BeforeWrite | None = None, read_timeout: float = 30.0
    ) -> GttChangeOutcome:
        """Send one modification of a trigger once."""
        return self._send(
            "modifygttorder",
            change.payload(),
            before_write,
            read_timeout,
            judge=partial(judge_gtt_change, secret=self._key),
            unanswered=Unclear,
        )

    def cancel_gtt(
        self,
        trigger_id: str,
        *,
        strategy: str = "algomirror",
        before_write: BeforeWrite | None = None,
        read_timeout: float = 30.0,
    ) -> GttChangeOutcome:
        """Send one cancellation of a trigger once."""
        return self._send(
            "cancelgttorder",
            {"strategy": strategy, "trigger_id": trigger_id},
            before_write,
            read_timeout,
            judge=partial(judge_gtt_change, secret=self._key),
            unanswered=Unclear,
        )
