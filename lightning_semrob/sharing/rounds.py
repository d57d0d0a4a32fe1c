"""What a Trainer drives: modules that work on rows of the task table in rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lightning_semrob.sharing.work import TaskBatch, Work

if TYPE_CHECKING:
    from lightning_semrob.evaluation.environment import SemanticEnvironment

__all__ = ["RoundModule", "UpdateCallback"]


class UpdateCallback(Callback):
    """A callback that hears of every update; a batch of Lightning's loop may hold many."""

    def on_update_start(self, trainer: pl.Trainer, module: RoundModule, batch: TaskBatch) -> None:
        """Before the rows of ``batch`` are updated."""

    def on_update_end(self, trainer: pl.Trainer, module: RoundModule, batch: TaskBatch) -> None:
        """After the rows of ``batch`` were updated."""


class RoundModule(pl.LightningModule):
    """Works on the rows of this process until the round is over (:class:`~lightning_semrob.sharing.work.Work`)."""

    _spent = 0

    def pending(self, rows: Tensor) -> Tensor:
        """Those of the rows (R,) that have something left to do."""
        raise NotImplementedError

    def growing(self, rows: Tensor) -> Tensor:
        """Those of the rows (R,) with a run that has not ended."""
        return self.pending(rows)

    def merge(self, owned: Tensor) -> None:
        """Give every process what the others know about the rows that they own, (N,) bool; a collective."""
        raise NotImplementedError

    def advance(self, batch: TaskBatch) -> int:
        """One step of the rows of a group; returns evaluations of f."""
        raise NotImplementedError

    def spent(self) -> int:
        """Evaluations of f in the rounds of this process so far."""
        return self._spent

    @property
    def environment(self) -> SemanticEnvironment:
        """The datamodule of the Trainer."""
        environment: SemanticEnvironment = self.trainer.datamodule  # type: ignore[attr-defined]
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
