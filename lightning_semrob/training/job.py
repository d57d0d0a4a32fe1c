"""One training run in its folder, which keeps its checkpoint, weights and costs."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.sharing.strategies import value_of_first
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.module import SemanticTraining, TrainingSpeed
from lightning_semrob.utilities.files import read_json, write_atomically
from lightning_semrob.utilities.record import Record


@dataclass(frozen=True, eq=False)
class TrainingCost(Record):
    """What a training run spent.

    Attributes:
        rendered: images, including those of the finder.
        finder_images: images of the finder.
        steps: steps of the optimizer.
        seconds: of the training steps of the last start; so are the following numbers.
        images_per_second: of the loader.
        rendering_images_per_second: of one loader worker.
        network_images_per_second: without waiting for the loader.
        waiting_share: part of the seconds that was spent waiting for the loader.
    """

    rendered: int
    finder_images: int
    steps: int
    seconds: float = 0.0
    images_per_second: float = 0.0
    rendering_images_per_second: float = 0.0
    network_images_per_second: float = 0.0
    waiting_share: float = 0.0


def epoch_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keeps ``last.ckpt`` of the last finished epoch in a folder."""
    return ModelCheckpoint(
        dirpath=folder, filename="last", save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
    )


def check_checkpoint(path: str | Path) -> None:
    """Read a checkpoint through before any work.

    Raises:
        ValueError: it is missing, cut off or damaged; the message has the remedy.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        damaged = str(error)
    if damaged:
        raise ValueError(
            f"the checkpoint '{path}' cannot be read ({damaged}): delete it and the run begins anew, or give another "
            "--ckpt_path"
        )


def train_run(
    module: SemanticTraining,
    trainer: pl.Trainer,
    data: RenderedViews,
    output: Path,
    ckpt_path: str | None = None,
    say: Callable[[str], None] = print,
) -> TrainingCost:
    """Train one run in its folder ``output/<views>``, from its checkpoint if there is one; write ``<views>.pth``.

    Args:
        module: the run.
        trainer: fresh.
        data: set up.
        output: folder of the job.
        ckpt_path: start from this checkpoint instead of the folder's own.
        say: called by the first process with sentences: what was taken over, and how fast the training was.
    """
    name = module.views.name
    weights, report, last = output / f"{name}.pth", output / f"{name}.json", output / name / "last.ckpt"

    def read() -> tuple[TrainingCost | None, str | None]:
        if weights.exists() and report.exists():
            say(f"views '{name}': taken over from '{weights}'")
            return TrainingCost(**read_json(report)), None
        start = ckpt_path
        if start is None and last.exists():
            start = str(last)
            say(f"views '{name}': going on from '{last}'")
        if start is not None:
            check_checkpoint(start)
        return None, start

    known, ckpt_path = value_of_first(trainer, read)
    if known is not None:
        return known
    speed = TrainingSpeed()
    trainer.callbacks += [speed, epoch_checkpoint(output / name)]  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    assert module.classifier is not None
    spent = TrainingCost(
        int(module.rendered),
        int(module.finder_images),
        trainer.global_step,
        speed.seconds,
        speed.rate,
        speed.rendering_rate,
        speed.network_rate,
        speed.waiting_share,
    )
    if trainer.is_global_zero and not trainer.interrupted:
        state = {
            key: value.detach().cpu().contiguous() for key, value in module.classifier.backbone.state_dict().items()
        }
        write_atomically(weights, lambda path: torch.save(state, path))
        RunFolder(output).write_json(report.name, spent)
        say(f"views '{name}': {speed.describe()}")
    return spent
