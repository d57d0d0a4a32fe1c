"""LightningModules that work on rows of the table of tasks in rounds."""

from __future__ import annotations

from typing import Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lightning_semrob.functions import SemanticFunction
from lightning_semrob.sharing.work import TaskBatch, Work
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.distributed import all_reduce, connected


class SharedTasks(Protocol):
    """What rounds need of the Trainer's datamodule: the table of tasks, f of each task, and the owner of each row."""

    space: SemanticSpace

    @property
    def u0(self) -> Tensor:
        """Initial points of all tasks, (N, n) float64."""

    @property
    def work(self) -> Work:
        """How the processes of the Trainer share the rows."""

    def function(self, network: int, shape: int) -> SemanticFunction:
        """f of a network and a shape, by index."""

    def mesh(self, shape: int) -> object:
        """The mesh of a shape; raises ValueError or OSError if it cannot be loaded."""

    def report_failure(self, shape: int, error: Exception) -> None:
        """Note that a shape could not be measured."""

    def gather_failures(self) -> None:
        """Note what the other processes could not measure; a collective."""


class UpdateCallback(Callback):
    """A callback around every update; one batch of Lightning's loop may hold many updates."""

    def on_update_start(self, trainer: pl.Trainer, module: RoundModule, batch: TaskBatch) -> None:
        """Before the rows of ``batch`` are updated."""

    def on_update_end(self, trainer: pl.Trainer, module: RoundModule, batch: TaskBatch) -> None:
        """After the rows of ``batch`` were updated."""


class RoundModule(pl.LightningModule):
    """Works on the rows of this process until the round is over (:class:`~lightning_semrob.sharing.work.Work`)."""

    _spent = 0

    def pending(self, rows: Tensor) -> Tensor:
        """Which of the rows (R,) have something left to do."""
        raise NotImplementedError

    def growing(self, rows: Tensor) -> Tensor:
        """Which of the rows (R,) have a run that still grows its box."""
        return self.pending(rows)

    def merge(self, owned: Tensor) -> None:
        """Share what each process knows about the rows that it owns, (N,) bool, with all others; a collective."""
        raise NotImplementedError

    def advance(self, batch: TaskBatch) -> int:
        """One step of the rows of a group; returns evaluations of f."""
        raise NotImplementedError

    def spent(self) -> int:
        """Evaluations of f in the rounds of this process so far."""
        return self._spent

    @property
    def environment(self) -> SharedTasks:
        """The datamodule of the Trainer."""
        environment: SharedTasks = self.trainer.datamodule  # type: ignore[attr-defined]
        return environment

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        """Meet the other processes; -1 ends the epoch when no row is left anywhere."""
        work: Work = self.environment.work
        rows = torch.arange(len(work.owners))
        pending, growing = torch.zeros(2, len(rows), dtype=torch.bool)
        pending[self.pending(rows)] = True
        growing[self.growing(rows)] = True
        owned = work.owned
        remaining = work.meet(pending, growing)
        if bool(work.handed_over.any()):
            self.merge(owned)
        return None if remaining else -1

    def training_step(self, batch: int | TaskBatch, batch_idx: int) -> None:
        """Manual optimization: a round of updates, or one update of the given rows."""
        batches = [batch] if isinstance(batch, TaskBatch) else self.environment.work.batches(self.pending, self.spent)
        callbacks = [callback for callback in self.trainer.callbacks if isinstance(callback, UpdateCallback)]  # type: ignore[attr-defined]
        for part in batches:
            for callback in callbacks:
                callback.on_update_start(self.trainer, self, part)
            self._spent += self.advance(part)
            for callback in callbacks:
                callback.on_update_end(self.trainer, self, part)
            if self.trainer.received_sigterm:
                return


@torch.no_grad()
def merge_owned(tensor: Tensor, owned: Tensor) -> None:
    """Give every process the owners' rows of ``tensor`` (N, ...); a single process changes nothing."""
    if connected():
        mask = owned.view(-1, *[1] * (tensor.dim() - 1))
        tensor.copy_(all_reduce(torch.where(mask, tensor, torch.zeros_like(tensor))))
