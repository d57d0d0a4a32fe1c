"""The device of a job, the strategy by which processes share the table of runs, and values that rank 0 read."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.strategies import DDPStrategy

Value = TypeVar("Value")


def device_of(accelerator: str) -> torch.device:
    """The device that a Trainer would use for ``cpu``, ``gpu`` or ``auto``.

    Raises:
        ValueError: there is no such device here.
    """
    try:
        trainer = pl.Trainer(
            accelerator=accelerator, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
    except (MisconfigurationException, ValueError) as error:
        raise ValueError(f"accelerator '{accelerator}': {error}") from error
    return trainer.strategy.root_device


def check_devices(accelerator: Any, devices: Any, name: str = "devices") -> None:
    """Refuse devices that a Trainer cannot be made with; ``name`` is that of the setting.

    Raises:
        ValueError: no such accelerator here, or not 1 device or more (on a GPU also -1 for all, or a list of indices).
    """
    kind = device_of(accelerator).type if isinstance(accelerator, str) else None
    text = str(devices)
    whole = int(text) if text.removeprefix("-").isdecimal() else None
    wrong = whole is not None and whole < 1 and (whole != -1 or kind == "cpu")
    if wrong or (isinstance(devices, str) and whole is None and text != "auto" and kind == "cpu"):
        raise ValueError(f"{name}={devices}: give the number of processes, 1 or more")


def refuse_cuts(trainer: pl.Trainer) -> None:
    """Refuse settings of a Trainer that would end a job before its runs have ended; a job is one epoch.

    Raises:
        ValueError: such a setting, by name.
    """
    asked: Any = trainer
    cuts = {
        "fast_dev_run": bool(asked.fast_dev_run),
        "overfit_batches": bool(asked.overfit_batches),
        "max_steps": trainer.max_steps != -1,
        "max_epochs": trainer.max_epochs == 0,
        "max_time": any(isinstance(callback, Timer) for callback in asked.callbacks),
    }
    for name in ("limit_train_batches", "limit_test_batches", "limit_predict_batches"):
        share = getattr(asked, name)  # the number 1 is one batch, 1.0 is all of them
        cuts[name] = isinstance(share, int) or share < 1
    found = [name for name, cut in cuts.items() if cut]
    if found:
        raise ValueError(
            f"trainer.{found[0]} would cut the job short: leave it out; a job that Ctrl-C stops goes on where it was"
        )
    trainer.fit_loop.max_epochs = 1


class SharedTableStrategy(DDPStrategy):
    """Lightning's DDP launcher and process group without the DDP wrapper.

    Every process holds the whole table of bounds and updates rows of its own. The stock wrapper would broadcast the
    parameters of rank 0 over them and average gradients that belong to different rows.
    """

    def configure_ddp(self) -> None:
        """Leave the module unwrapped."""


def value_of_first(trainer: pl.Trainer, make: Callable[[], Value]) -> Value:
    """What rank 0 makes, on every rank; the other processes are launched first and start while it is made.

    Ranks that each read a folder may see different files: rank 0 may not have emptied it yet, or a network file system
    may show old ones. So only rank 0 reads. What ``make`` raises is raised on rank 0, and the others exit.
    """
    launcher = trainer.strategy.launcher
    if launcher is None:
        return make()
    try:
        told: Value = launcher.launch(_make_and_tell, trainer, make)
    except (KeyboardInterrupt, SystemExit):
        launcher.kill(signal.SIGKILL)  # the others wait for this process to connect and hear of nothing else
        raise
    return told


def _make_and_tell(trainer: pl.Trainer, make: Callable[[], Value]) -> Value:
    made: Value | None = None
    failure: Exception | None = None
    if trainer.is_global_zero:
        try:
            made = make()
        except Exception as error:
            failure = error
    trainer.strategy.setup_environment()
    failed, told = trainer.strategy.broadcast((failure is not None, made))
    if failure is not None:
        raise failure
    if failed:
        raise SystemExit(0)  # Lightning kills the first process if another one ends with an error
    return cast("Value", told)
