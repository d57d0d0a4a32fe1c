"""Where the time of a job goes: ``--trainer.profiler=lightning_semrob.evaluation.profiling.ShareProfiler``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pytorch_lightning.profilers import SimpleProfiler

from lightning_semrob.evaluation.environment import PROFILED

#: What a job has to do: rendering, networks forward, and gradients through both.
SECTIONS = ("rendering", "network", "gradient")


#: Lightning's names of a step of the trust maps and of a round of the runs, and how they end.
_STEPS = ("predict_step", "run_training_batch")


class ShareProfiler(SimpleProfiler):
    """How much of the time of the trust maps and of the runs goes to rendering, networks and gradients.

    Each of the two is timed from its first step to the end of its last one. What rendering, networks and gradients
    leave is the framework's own share: finders, statistics, Lightning, files. Times are wall times of this process; on
    a CUDA device calls return before they are done, so do not trust the shares there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._spans: dict[str, tuple[float, float]] = {}
        self._open = 0
        self._seconds = dict.fromkeys(SECTIONS, 0.0)

    def start(self, action_name: str) -> None:
        """Begin an action."""
        if action_name.endswith(_STEPS):
            self._open += 1
            now = time.perf_counter()
            self._spans.setdefault(action_name, (now, now))
        super().start(action_name)

    def stop(self, action_name: str) -> None:
        super().stop(action_name)
        if action_name.endswith(_STEPS):
            self._open -= 1
            self._spans[action_name] = self._spans[action_name][0], time.perf_counter()
        elif self._open and action_name.startswith(PROFILED):
            self._seconds[action_name.removeprefix(PROFILED)] += self.recorded_durations[action_name][-1]

    def shares(self) -> dict[str, float]:
        """Seconds of each of ``SECTIONS``, of the ``framework`` and of all (``total``); empty if there was no step."""
        if not self._spans:
            return {}
        total = sum(ended - began for began, ended in self._spans.values())
        return self._seconds | {"framework": total - sum(self._seconds.values()), "total": total}


def format_shares(shares: Mapping[str, float]) -> str:
    """A line a section: seconds and percent of the total."""
    total = shares["total"]
    return "\n".join(f"{name:<10}{seconds:>9.1f} s{100 * seconds / total:>7.1f} %" for name, seconds in shares.items())
