"""Callbacks of a job: results are kept as runs end, signals end it cleanly, bars show its progress."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Callback, ProgressBar
from pytorch_lightning.strategies import ParallelStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException
from tqdm import tqdm

from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.measurement import Place
from lightning_semrob.sharing.rounds import UpdateCallback
from lightning_semrob.sharing.work import TaskBatch, Work


class ResultsWriter(UpdateCallback):
    """Keeps every result in the output folder as soon as it has ended, and again when it is complete.

    A (network, shape) group of this process has one file, rewritten whenever a result of it ends.

    Args:
        folder: the output folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        #: What is in the file of some rows: result -> whether it is complete.
        self._kept: dict[str, Mapping[Place, bool]] = {}

    def on_update_start(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        """Results that were taken over are in the folder already."""
        if self._name(batch) not in self._kept:
            self._kept[self._name(batch)] = module.finished(batch.rows.tolist())

    def on_update_end(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        """Save the results of the rows that have ended, if there are new ones."""
        finished, name = module.finished(batch.rows.tolist()), self._name(batch)
        if finished != self._kept.get(name):
            self._kept[name] = finished
            module.keep(self.folder, finished, name)

    @staticmethod
    def _name(batch: TaskBatch) -> str:
        rows = "-".join(map(str, batch.rows.tolist()))
        return hashlib.sha256(f"{batch.network} {batch.shape} {rows}".encode()).hexdigest()[:20]


class CleanExit(UpdateCallback):
    """SIGTERM and Ctrl-C end the job after the update under way: every finished run is in the output folder already.

    Compiled kernels do not survive an exception from a signal handler, and Lightning's handler of SIGTERM waits for a
    collective of all processes. So the handlers here only note the signal; a second Ctrl-C does not wait. Under SLURM's
    automatic requeueing Lightning's own handler of SIGTERM stays.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Take the signals over; Lightning restores SIGTERM after the fit, :meth:`on_train_end` the other."""
        if threading.current_thread() is not threading.main_thread():
            return

        def note(signum: int, frame: Any) -> None:
            self.signal = signal.Signals(signum)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if trainer.strategy.launcher is not None and signum == signal.SIGTERM:
                trainer.strategy.launcher.kill(self.signal)

        signal.signal(signal.SIGINT, note)
        plugin = trainer.strategy.cluster_environment if isinstance(trainer.strategy, ParallelStrategy) else None
        if not (isinstance(plugin, SLURMEnvironment) and plugin.auto_requeue):
            signal.signal(signal.SIGTERM, note)

    def on_update_end(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        self.leave()

    def leave(self) -> None:
        """Leave, if a signal came."""
        if self.signal is not None:
            raise KeyboardInterrupt if self.signal == signal.SIGINT else SIGTERMException

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Ctrl-C is Python's again."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    on_predict_start, on_predict_end = on_train_start, on_train_end


class Stopwatch(Callback):
    """The times at which the first round began and the last one ended.

    Attributes:
        began, ended: ``time.perf_counter()``; 0 before.
    """

    began = ended = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Processes are connected, the first round follows."""
        self.began = self.ended = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Rows and statements of all processes are merged."""
        self.ended = time.perf_counter()


class _Line(ProgressBar):
    """A bar on the first process, which is closed when the work ends in whatever way."""

    _bar: Any = None
    _enabled = True

    def disable(self) -> None:  # Lightning calls it on every process but the first
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def _open(self, total: float, unit: str, text: str, **more: Any) -> None:
        if self._enabled:
            form = f"{{l_bar}}{{bar}}| {{n_fmt}}/{{total_fmt}} {text} [{{elapsed}}<{{remaining}}]{{postfix}}"
            self._bar = tqdm(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, bar_format=form, **more)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()


class MapProgress(_Line):
    """One line: the number of shapes whose trust maps this process has made."""

    def on_predict_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._open(trainer.num_predict_batches[0], "shape", "shapes", desc="mapping")

    def on_predict_batch_end(self, *arguments: Any, **named: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_predict_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()


class RunProgress(_Line, UpdateCallback):
    """One line: tasks that have ended on all processes, and this process's methods, runs and evaluations per second.

    A task is one network, shape and initial point with all its finders and the verification of their boxes.
    """

    _start, _evaluations = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        work: Work = trainer.datamodule.work  # type: ignore[attr-defined]
        self._evaluations, self._start = pl_module.spent(), time.perf_counter()
        self._open(len(work.owners), "task", "tasks")

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Tasks that have ended; other processes' as of the last meeting."""
        if self._bar is not None:
            work: Work = trainer.datamodule.work  # type: ignore[attr-defined]
            self._bar.n = len(work.owners) - work.remaining
            self._bar.refresh()

    def on_update_end(self, trainer: pl.Trainer, module: Any, batch: TaskBatch) -> None:
        if self._bar is not None:
            active = {finder.name: len(finder.active(batch.rows)) for finder in module}
            rate = (module.spent() - self._evaluations) / max(time.perf_counter() - self._start, 1e-9)
            growing = "+".join(name for name, count in active.items() if count)
            self._bar.set_description(growing or "verifying", refresh=False)
            self._bar.set_postfix_str(f"{sum(active.values())} active, {rate:.0f} evaluations/s", refresh=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._bar is not None:
            self._bar.n = self._bar.total
            self._bar.set_description("measured", refresh=True)
        self._close()
