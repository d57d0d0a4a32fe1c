"""Progress and results while runs go on."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ProgressBar
from tqdm import tqdm

if TYPE_CHECKING:
    from lightning_semrob.environment import SemanticEnvironment, TaskBatch
    from lightning_semrob.finders.suite import FinderSuite
    from lightning_semrob.results import RunFolder

__all__ = ["ResultsWriter", "RunProgress"]


class ResultsWriter(Callback):
    """Keeps the runs of a (network, shape) group in the output folder as soon as they have all ended.

    Args:
        folder: the output folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._saved: set[tuple[int, int]] = set()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Runs that a resumed job brought along are in the folder already."""
        for number, finder in enumerate(pl_module):
            self._saved |= {(number, row) for row in (finder.code != 0).nonzero().flatten().tolist()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: TaskBatch, batch_idx: int
    ) -> None:
        """Save a group that has ended."""
        if len(batch.rows) and not len(pl_module.active(batch.rows)):
            environment: SemanticEnvironment = trainer.datamodule  # type: ignore[attr-defined]
            new = [
                (number, row)
                for number, _ in enumerate(pl_module)
                for row in batch.rows.tolist()
                if (number, row) not in self._saved
            ]
            rows = [pl_module.row(environment, number, row) for number, row in new]
            # A shape that could not be loaded may load next time: it is not kept as finished.
            self.folder.save_part([row for row in rows if row["status"] != "not_measured"], environment.space)
            self._saved |= set(new)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: TaskBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save a group again with its verdicts."""
        environment: SemanticEnvironment = trainer.datamodule  # type: ignore[attr-defined]
        rows = [
            pl_module.row(environment, number, row) for number, _ in enumerate(pl_module) for row in batch.rows.tolist()
        ]
        rows = [row for row in rows if row["status"] != "not_measured" and row["verdict"] != "not verified"]
        self.folder.save_part(rows, environment.space)


class RunProgress(ProgressBar):
    """One line: finished runs, running methods, active runs and evaluations per second of this process.

    A second one counts the (network, shape) groups whose boxes are verified.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._enabled = True
        self._start = 0.0
        self._evaluations = 0

    def disable(self) -> None:
        """Lightning calls it on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        if not self._enabled:
            return
        rows = trainer.datamodule.rows_of(trainer.global_rank, trainer.world_size)  # type: ignore[attr-defined]
        self._rows = rows
        counts = pl_module.counts()
        self._evaluations = counts["evaluations"]
        self._start = time.perf_counter()
        self._bar = tqdm(
            total=len(rows) * len(pl_module.finders),
            unit="run",
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} runs [{elapsed}<{remaining}]{postfix}",
        )
        self._update(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: TaskBatch, batch_idx: int
    ) -> None:
        """Refresh the line."""
        if self._bar is not None:
            self._update(pl_module, batch)

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar of the verification."""
        if self._enabled:
            groups = len(trainer.datamodule.batches())  # type: ignore[attr-defined]
            self._bar = tqdm(total=groups, desc="verifying", unit="group", file=sys.stderr, dynamic_ncols=True)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: TaskBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One group is verified."""
        if self._bar is not None and len(batch.rows):
            self._bar.update()

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _update(self, suite: FinderSuite, batch: TaskBatch | None = None) -> None:
        running = {finder.name: int((finder.code[self._rows] == 0).sum()) for finder in suite}
        active = sum(running.values())
        here = torch.zeros(0, dtype=torch.int64) if batch is None else batch.rows
        methods = [finder.name for finder in suite if len(finder.active(here))]
        seconds = max(time.perf_counter() - self._start, 1e-9)
        rate = (suite.counts()["evaluations"] - self._evaluations) / seconds
        self._bar.set_description("+".join(methods) or "starting", refresh=False)
        self._bar.set_postfix_str(f"{active} active, {rate:.0f} evaluations/s", refresh=False)
        self._bar.n = self._bar.total - active
        self._bar.refresh()
