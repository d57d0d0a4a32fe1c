"""How processes share the rows of the task table during a job: an idle process gets rows of a busy one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from lightning_semrob.sharing.shares import DONE, GROWN, OPEN, STARTED, loads, share, share_again
from lightning_semrob.utilities.distributed import all_reduce

#: Shortest and longest time, in seconds, that a process works before it meets the others.
_SHORTEST, _LONGEST = 1.0, 20.0


@dataclass(frozen=True)
class TaskBatch:
    """Rows (R,) of one (network, shape) group that travel together; networks and shapes are indices."""

    network: int
    shape: int
    rows: Tensor


class RoundLoader:
    """Endless numbers of rounds; :meth:`Work.meet` decides what each round does."""

    def __iter__(self) -> Iterator[int]:
        return count()


class Work:
    """The rows of this process, and who owns the others.

    Lightning's ``fit`` waits for all processes in every batch, even if they do not have the same amount to do. So a
    batch is a round of some seconds in which each process works alone. A process that has no rows left then gets rows
    that others have not begun, or whose boxes they have not verified
    (:func:`~lightning_semrob.sharing.shares.share_again`). Who works on a row does not change its numbers. With a
    single process a round is one step.

    Args:
        shape, network: of each row, (N,) int64, rows ordered by shape, then by network.
        rank, processes: the rank of this process, and how many there are.
        device: where tensors of collectives live.

    Attributes:
        owners: the owner of each row, (N,) int64, the same on every process.
        remaining: rows that had not ended at the last meeting, over all processes.
        evaluations: carried out until then, on all processes.
        handed_over: rows whose boxes are verified by another process than the one that grew them from this round on,
            (N,) bool, the same on every process.
    """

    def __init__(
        self, shape: Tensor, network: Tensor, rank: int = 0, processes: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        self.shape, self.network = shape, network
        self.group = shape * (int(network.max()) + 1) + network
        self.rank, self.processes, self.device = rank, processes, torch.device(device)
        self.owners = share(torch.ones(len(shape), dtype=torch.float64), shape, self.group, processes)
        self.remaining = len(shape)
        self.evaluations = 0
        self.handed_over = torch.zeros(len(shape), dtype=torch.bool)
        self._begun = torch.zeros(len(shape), dtype=torch.bool)
        self._first = True
        self._deadline = 0.0
        networks = int(network.max()) + 1
        # Seconds of each network, evaluations of each network, and the number of rows that ended.
        self._spent = torch.zeros(2 * networks + 1, dtype=torch.float64)

    @property
    def owned(self) -> Tensor:
        """Which rows this process owns, (N,) bool."""
        return self.owners == self.rank

    def meet(self, pending: Tensor, growing: Tensor) -> bool:
        """Tell the others which of this process's rows are left, and share the rows anew; a collective.

        Args:
            pending: rows with something left to do, (N,) bool. It counts for the own rows only, except at the first
                meeting, where it counts for all (an earlier start may have ended some).
            growing: the pending rows with a run that still grows, (N,) bool.

        Returns:
            Whether any process has something left.

        Raises:
            ValueError: at the first meeting, processes that do not have the same rows left.
        """
        if self._first:
            self._first = False
            self._agree(torch.cat([pending, growing]))
            self.owners = share(pending.double(), self.shape, self.group, self.processes)
            self._spent[-1] = 0
        state = torch.full_like(self.owners, OPEN)
        state[self._begun] = torch.where(growing, STARTED, GROWN)[self._begun]
        state[~pending] = DONE
        state[~self.owned] = OPEN
        ended = (self._begun & ~pending).sum()
        self._spent[-1] = ended
        spent = self._spent.clone()
        if self.processes > 1:
            state = all_reduce(state, largest=True, device=self.device)
            spent = all_reduce(spent, device=self.device)
        self.evaluations = round(float(spent[len(spent) // 2 : -1].sum()))
        self.remaining = int((state != DONE).sum())
        cost = self._cost(spent)
        before, self.owners = self.owners, share_again(self.owners, state, cost, self.shape, self.group, self.processes)
        self.handed_over = (before != self.owners) & (state == GROWN)
        self._begun |= self.handed_over & self.owned
        if self.processes > 1:
            left = loads(self.owners, state, cost, self.processes)
            soonest = float(left[left > 0].min()) if bool((left > 0).any()) else 0.0
            self._deadline = time.perf_counter() + min(max(soonest, _SHORTEST), _LONGEST)
        return self.remaining > 0

    def _agree(self, rows: Tensor) -> None:
        """Raise on every process if ``rows`` differ between them: a row that one takes for ended would be lost."""
        if self.processes == 1:
            return
        digest = int.from_bytes(hashlib.sha256(rows.numpy().tobytes()).digest()[:7], "big")
        ends = all_reduce(torch.tensor([digest, -digest]), largest=True, device=self.device)
        if int(ends.sum()) != 0:
            raise ValueError(
                "the processes disagree about which runs have ended: start the same command again; if that does not "
                "help, let them see the same files"
            )

    def _cost(self, spent: Tensor) -> Tensor:
        """Expected seconds of a whole row, (N,): seconds per evaluation of its network times evaluations per row."""
        networks = len(spent) // 2
        seconds, evaluations = spent[:networks], spent[networks : 2 * networks]
        rate = seconds / evaluations
        known = rate.isfinite() & (rate > 0)
        mean = float(rate[known].mean()) if bool(known.any()) else 1.0
        rate = torch.where(known, rate, mean)
        a_row = float(evaluations.sum()) / max(float(spent[-1]), 1.0)
        return rate[self.network] * max(a_row, 1.0)

    def batches(self, pending: Callable[[Tensor], Tensor], evaluations: Callable[[], int]) -> Iterator[TaskBatch]:
        """Groups of own rows with something left, until the round is over. A single process gets one group.

        Rows that end stay in the batch of their group until the last of them has ended.

        Args:
            pending: picks those of some rows that have something left to do.
            evaluations: evaluations of f so far, for the measured cost.
        """
        while True:
            mine = pending(self.owned.nonzero().flatten())
            if not len(mine):
                return
            # A group that was begun is brought to its end before the next one.
            begun = mine[self._begun[mine]]
            first = int(begun[0] if len(begun) else mine[0])
            own = self.owned & (self.group == self.group[first])
            self._begun[mine[own[mine]]] = True
            rows = (own & self._begun).nonzero().flatten()
            network, shape = int(self.network[first]), int(self.shape[first])
            start, before = time.perf_counter(), evaluations()
            yield TaskBatch(network, shape, rows)
            now = time.perf_counter()
            self._spent[network] += now - start
            self._spent[len(self._spent) // 2 + network] += evaluations() - before
            if self.processes == 1 or now > self._deadline:
                return
