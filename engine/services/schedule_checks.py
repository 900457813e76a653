"""What a schedule may ask for; a field that makes no sense is refused by name, and nothing is stored."""

from __future__ import annotations

from engine.services.drafts import LimitsDraft, ScheduleDraft
from engine.services.errors import InvalidInput
from engine.services.field_checks import clock, figure, whole

MOST_GRACE_SECONDS = 3_600
"""An entry an hour late is another entry: that much grace at most."""


def check_schedule(schedule: ScheduleDraft, limits: LimitsDraft, *, always_open: bool = False) -> None:
    """Refuse what is no time, no weekday and no grace, and times that contradict each other; InvalidInput names it.

    An exit at the very time of the entry would be due on the next trading day: nobody means that.
    ``always_open``: its venue has no session that a time could miss.
    """
    if schedule.enabled and schedule.entry_time is None:
        raise InvalidInput("entry time", "must say when it enters, HH:MM in Indian time; or switch the schedule off")
    first, latest = schedule.entry_time, schedule.last_entry_time
    entry = None if first is None else clock("entry time", first, opening=True, always_open=always_open)
    last = None if latest is None else clock("last entry time", latest, always_open=always_open)
    if entry is not None and last is not None and entry > last:
        raise InvalidInput("last entry time", "must not be before the entry time")
    if len(set(schedule.weekdays)) < len(schedule.weekdays):
        raise InvalidInput("weekdays", "must name each day once")
    for day in schedule.weekdays:
        whole("weekdays", day, 0, 6, ": 0 for Monday to 6 for Sunday, none for every trading day")
    words = f"1 to {MOST_GRACE_SECONDS:,} seconds"
    if not 1 <= figure("grace", schedule.grace_seconds, words) <= MOST_GRACE_SECONDS:
        raise InvalidInput("grace", words)
    for name, time in (("exit time", limits.exit_time), ("square-off time", limits.square_off_time)):
        if schedule.enabled and time is not None and time == schedule.entry_time:
            raise InvalidInput(
                "entry time", f"must differ from the {name}: the run would stay until the next trading day"
            )
