"""The clock of pipes: the machine's, plus what a test has added, so that 14 days pass at once."""

from __future__ import annotations

import datetime
import threading


class Clock:
    """The time in UTC. Tokens are checked by the machine's own clock, which a test cannot move."""

    def __init__(self) -> None:
        self._ahead = datetime.timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime.datetime:
        with self._lock:
            return datetime.datetime.now(datetime.UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._ahead += datetime.timedelta(seconds=seconds)


def iso(time: datetime.datetime) -> str:
    """As the reports write times: ISO 8601 in milliseconds, UTC."""
    return time.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime.datetime:
    """A time of a request; without a zone it is UTC. Raises ValueError."""
    time = datetime.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
