"""``semrob train``: train a classifier on rendered views and judge it on held-out shapes."""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lightning_semrob.commands import console
from lightning_semrob.commands.evaluate import JobCLI
from lightning_semrob.commands.parsing import program_name, quiet
from lightning_semrob.evaluation.folder import RunFolder, versions
from lightning_semrob.report.page.training import format_verdicts, gains_table, training_table, write_training_report
from lightning_semrob.report.tables import Table, format_summary, format_table
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.job import train_run
from lightning_semrob.training.judging import (
    CLASS_TABLE_FILE,
    Judging,
    Verdicts,
    compare,
    held_out_environment,
    shapes_to_map,
)
from lightning_semrob.training.module import SemanticTraining
from lightning_semrob.training.views import ViewSampler
from lightning_semrob.utilities.distributed import connected
from lightning_semrob.utilities.files import write_text

#: Parts of the configuration that do not decide the numbers.
_NOT_IN_RESULTS = ("output", "overwrite", "config", "ckpt_path")
#: What only fit reads. In a configuration the other commands leave it alone, so that one file serves all three.
_OF_FIT = ("output", "overwrite", "before", "judging")
#: What fit writes into its folder, beside what an evaluation writes.
_WRITTEN = ("*.pth", "*/last.ckpt", "*.json", "maps.png")
_TRAINER_DECIDES = ("max_epochs", "precision", "gradient_clip_val", "accumulate_grad_batches")


_TRAINER_DEFAULTS = {
    "accelerator": "auto",
    "devices": 1,
    "max_epochs": 10,
    "logger": False,
    "enable_checkpointing": True,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 10,
    "reload_dataloaders_every_n_epochs": 1,
}


class TrainCLI(JobCLI):
    """LightningCLI with an output folder that the same command goes on in, and a comparison at the end."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self.result: Verdicts | None = None
        refuse_settings_of_fit(sys.argv[1:] if args is None else args)
        super().__init__(
            "train",
            SemanticTraining,
            RenderedViews,
            args,
            _TRAINER_DEFAULTS,
            run=True,
            description="Train a classifier on rendered views and judge it on held-out shapes. Start with: "
            f"{program_name('train')} fit --config configs/train_demo.yaml",
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """fit, validate and test."""
        known = LightningCLI.subcommands()
        return {name: known[name] for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--output",
            type=str | None,
            default=None,
            help="folder of fit; outputs/train-<hash of the configuration> if not given, so the same command goes on",
        )
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="of fit: train anew, drop what the folder holds"
        )
        parser.add_argument(
            "--before",
            type=ViewSampler | None,
            default=None,
            help="of fit: views of a run that is trained first, all else equal, to compare the result with",
        )
        parser.add_class_arguments(Judging, "judging")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer; checkpoints go to the output folder, beside those that the configuration asks for."""
        trainer = super().instantiate_trainer(**kwargs)
        asked = self.config_init[str(self.subcommand)].trainer.callbacks or []
        asked = asked if isinstance(asked, list) else [asked]
        trainer.callbacks = [  # type: ignore[attr-defined]
            callback
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if not isinstance(callback, ModelCheckpoint) or callback in asked
        ]
        return trainer

    # ---- fit

    def result_config(self) -> str:
        """The resolved configuration that decides the numbers, as yaml."""
        resolved = self.resolved()
        resolved = resolved.get(str(self.subcommand), resolved)
        trainer = {key: resolved["trainer"].get(key) for key in _TRAINER_DECIDES}
        deciding = {key: value for key, value in resolved.items() if key not in (*_NOT_IN_RESULTS, "trainer")}
        deciding["data"] = {key: value for key, value in deciding["data"].items() if key != "num_workers"}
        text: str = yaml.safe_dump(deciding | {"trainer": trainer})
        return text

    def fit(self, model: SemanticTraining, datamodule: RenderedViews, ckpt_path: Any = None, **_: Any) -> None:
        """Train the run to compare with, then the run itself, and judge both on the held-out shapes.

        Raises:
            ValueError: the folder belongs to another configuration, is no training's, or another job works in it.
        """
        settings = self.config[str(self.subcommand)]
        config = self.result_config()
        folder = RunFolder(settings.output or f"outputs/train-{hashlib.sha256(config.encode()).hexdigest()[:8]}")
        judging: Judging = self.config_init[str(self.subcommand)].judging
        datamodule.setup()
        warning = judging.warning(len(datamodule.space))
        if warning is not None and self.trainer.is_global_zero:
            print(f"warning: {warning}", file=sys.stderr)
        start = time.perf_counter()
        with folder.locked() if self.trainer.is_global_zero else nullcontext():
            if self.trainer.is_global_zero:
                folder.open(config, overwrite=settings.overwrite, also=_WRITTEN)
            self._fit(model, datamodule, folder, judging, start, ckpt_path)

    def _fit(
        self,
        model: SemanticTraining,
        datamodule: RenderedViews,
        folder: RunFolder,
        judging: Judging,
        start: float,
        ckpt_path: Any,
    ) -> None:
        output = folder.path
        before: ViewSampler | None = self.config_init[str(self.subcommand)].get("before")
        runs = [(model, self.trainer)]
        if before is not None:
            if before.name == model.views.name:
                raise ValueError(f"--before names the views '{before.name}' that the run itself has: choose others")
            first = SemanticTraining(model.network, before, model.learning_rate, model.weight_decay, model.warmup)
            runs.insert(0, (first, self._instantiate_trainer_again()))
        costs, weights = {}, {}
        for module, trainer in runs:
            name = module.views.name
            weights[name] = output / f"{name}.pth"
            resume = ckpt_path if module is model else None
            costs[name] = train_run(module, trainer, datamodule, output, resume)
        self._finish_processes()
        if not self.trainer.is_global_zero:
            return
        progress = self.trainer.progress_bar_callback is not None
        renderer = self._renderer_config(datamodule)
        found = compare(datamodule, model.network, weights, output, judging, renderer, progress=progress)
        found = replace(found, costs=costs, seconds=time.perf_counter() - start)
        self.result = found
        folder.write_json("training.json", {key: value for key, value in found.items() if key != "srvr"})
        folder.write_json("versions.json", versions())
        table, findings, names = training_table(found), format_verdicts(found), list(found.networks)
        gains = gains_table(found.gains, names[0], names[-1]) if found.gains else None
        print_result(found, table, gains, findings)
        evaluation = Path(found.evaluation)
        write_text(evaluation / "tables.txt", format_summary(found.srvr, evaluation))
        if judging.maps:
            shapes = shapes_to_map(datamodule.splits["held_out"], judging.maps)
            environment = held_out_environment(datamodule, list(found.networks.values()), shapes, output)
            write_training_report(environment, output, evaluation, table, gains, findings.splitlines(), names)

    def before_test(self) -> None:
        """A checkpoint of ``fit`` remembers callbacks of that command, which this one does not have."""
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")

    def before_validate(self) -> None:
        """As :meth:`before_test`."""
        self.before_test()

    def _instantiate_trainer_again(self) -> pl.Trainer:
        """A Trainer like the one of the command line, with callbacks and loggers of its own."""
        self.config_init = self.parser.instantiate_classes(self.config)
        trainer: pl.Trainer = self.instantiate_trainer()
        return trainer

    def _renderer_config(self, data: RenderedViews) -> dict[str, Any]:
        given = self.config[str(self.subcommand)].data.renderer
        if given is not None:
            plain: dict[str, Any] = given.as_dict() if hasattr(given, "as_dict") else dict(given)
            return plain
        return {
            "class_path": "lightning_semrob.rendering.raster.Rasterizer",
            "init_args": {"image_size": data.renderer.image_size, "supersampling": 1},
        }

    def _finish_processes(self) -> None:
        """Judging is done by one process."""
        if connected():
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


def refuse_settings_of_fit(words: Sequence[str]) -> None:
    """Raise where ``validate`` or ``test`` is given a setting on the command line that only ``fit`` reads.

    Raises:
        ValueError: such a setting.
    """
    if not words or words[0] not in ("validate", "test"):
        return
    for word in words[1:]:
        name = word.partition("=")[0]
        if name.startswith("--") and name[2:].partition(".")[0] in _OF_FIT:
            raise ValueError(
                f"{name} is a setting of fit, and {words[0]} does not read it: leave it out; {words[0]} prints what "
                "--ckpt_path scores and writes nothing"
            )


def print_result(found: Verdicts, table: Table, gains: Table | None, findings: str) -> None:
    """The table of the runs, what the last gained over the first, and where the files are."""
    shapes = next(iter(found.verified.values())).shapes
    print(f"\nHeld-out shapes ({shapes}), percent; images count everything that was rendered for training")
    print(format_table(*table, left=1))
    if gains is not None:
        print("\nGained, points of percent, paired by shape")
        print(format_table(*gains, left=1))
    print(f"\nBy verified volume\n{findings}")
    for name, network in found.networks.items():
        table_of_classes = f"{found.output}/{CLASS_TABLE_FILE}"
        print(f"{name}: python evaluate.py --data.networks='[{network}]' --data.class_table={table_of_classes}")
    evaluation = Path(found.evaluation).name
    print(f"{found.seconds:.0f} s; results in {found.output}/: *.pth, training.json, {evaluation}/")


def train(args: Sequence[str] | None = None) -> Verdicts | None:
    """Run ``train.py`` with the given arguments (``sys.argv`` if None); returns what ``fit`` found."""
    quiet()
    # The folder of the job's own checkpoints is meant to be there when a run goes on.
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    return TrainCLI(args).result


def main(args: Sequence[str] | None = None) -> None:
    """``semrob train``; also ``train.py`` and ``semrob-train``."""
    console.main(["train", *(sys.argv[1:] if args is None else args)])
