"""Where a job runs, and how processes share the table of runs."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.strategies import DDPStrategy

__all__ = ["SharedTableStrategy", "device_of"]


def device_of(accelerator: str) -> torch.device:
    """The device that a Trainer takes for ``cpu``, ``gpu`` or ``auto``, for work without one.

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


class SharedTableStrategy(DDPStrategy):
    """Lightning's DDP launcher and process group without the DDP wrapper.

    Every process holds the whole table of bounds and updates rows of its own. The stock wrapper would broadcast the
    parameters of rank 0 over them and average gradients that belong to different rows.
    """

    def configure_ddp(self) -> None:
        """Leave the module unwrapped."""
