"""How a run of a finder stands, as a code of its table and as a word of its box."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Status codes of the table of runs; ``status.word`` is what boxes and tables print."""

    RUNNING = 0
    CONVERGED = 1
    EDGE = 2
    COLLAPSED = 3
    ITERATION_LIMIT = 4
    INVALID_SCORE = 5
    NOT_MEASURED = 6
    VERIFIED = 7

    @property
    def word(self) -> str:
        """The name in small letters, as in ``Box.status``."""
        return self.name.lower()


#: Words of the status codes, in the order of the codes.
STATUSES = tuple(status.word for status in Status)

#: The codes by the names of version 0.1.
RUNNING, CONVERGED, EDGE, COLLAPSED, ITERATION_LIMIT, INVALID_SCORE, NOT_MEASURED, VERIFIED = Status
