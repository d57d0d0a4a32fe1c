"""Where the time of a job goes: ``--trainer.profiler=lightning_semrob.evaluation.profiling.ShareProfiler``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pytorch_lightning.profilers import SimpleProfiler

from lightning_semrob.evaluation.environment import PROFILED

__all__ = ["SECTIONS", "ShareProfiler", "format_shares"]

#: What a job has to do: rendering, networks forward, and gradients through both.
SECTIONS = ("rendering", "network", "gradient")


class ShareProfiler(SimpleProfiler):
    """How much of the time, from the first round to the end of the last, goes to rendering, networks and gradients.

    The rest is the framework's own share: finders, statistics, Lightning, files. Times are wall times of this process;
    on a CUDA device calls return before they are done, so do not trust the shares there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None
        self._ended = 0.0

    def start(self, action_name: str) -> None:
        """Begin an action; the first round begins the measured time."""
        if action_name == "run_training_batch" and self._began is None:
            self._began = time.perf_counter()
        super().start(action_name)

    def stop(self, action_name: str) -> None:
        """End an action."""
        super().stop(action_name)
        if action_name == "run_training_batch":
            self._ended = time.perf_counter()

    def shares(self) -> dict[str, float]:
        """Seconds of each of ``SECTIONS``, of the ``framework`` and of all (``total``); empty if there was no round."""
        if self._began is None:
            return {}
        total = self._ended - self._began
        seconds = {name: sum(self.recorded_durations.get(PROFILED + name, ())) for name in SECTIONS}
        return seconds | {"framework": total - sum(seconds.values()), "total": total}


def format_shares(shares: Mapping[str, float]) -> str:
    """A line a section: seconds and percent of the total."""
    total = shares["total"]
    return "\n".join(f"{name:<10}{seconds:>9.1f} s{100 * seconds / total:>7.1f} %" for name, seconds in shares.items())
