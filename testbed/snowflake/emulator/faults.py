"""What goes wrong on request: answers and loads, each a number of times."""

from __future__ import annotations

import threading
from dataclasses import dataclass

#: `lost`: the request is carried out, and its answer never arrives. `dropped`: it is not even carried out.
ANSWERS = ("429", "500", "503", "lost", "dropped")
LOADS = ("LOAD_FAILED", "PARTIALLY_LOADED")
ENDPOINTS = ("insertFiles", "insertReport", "loadHistoryScan", "statements", "load")


@dataclass
class Fault:
    """One fault: at an endpoint (`load`: when a file is loaded), of a kind, for so many times."""

    endpoint: str
    kind: str
    times: int = 1
    #: Of loads: those alone whose path contains this.
    path: str = ""

    def __post_init__(self) -> None:
        kinds = LOADS if self.endpoint == "load" else ANSWERS
        if self.endpoint not in ENDPOINTS or self.kind not in kinds:
            raise ValueError(f"no such fault: {self.endpoint} {self.kind}; endpoints: {ENDPOINTS}, kinds: {kinds}")


class Faults:
    """The faults that wait."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, endpoint: str, path: str = "") -> str | None:
        """The kind of the first fault that applies, which is then used up by one."""
        with self._lock:
            for fault in self._waiting:
                if fault.endpoint == endpoint and fault.path in path:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault.kind
        return None

    def left(self) -> int:
        """How many are still to come."""
        with self._lock:
            return sum(fault.times for fault in self._waiting)
