"""How processes share the table of runs."""

from __future__ import annotations

from pytorch_lightning.strategies import DDPStrategy

__all__ = ["SharedTableStrategy"]


class SharedTableStrategy(DDPStrategy):
    """Lightning's DDP launcher and process group without the DDP wrapper.

    Every process holds the whole table of bounds and updates rows of its own. The stock wrapper would broadcast the
    parameters of rank 0 over them and average gradients that belong to different rows.
    """

    def configure_ddp(self) -> None:
        """Leave the module unwrapped."""
