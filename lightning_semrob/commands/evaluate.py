"""``semrob evaluate``: measure the semantic robustness of networks."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import yaml
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies import DDPStrategy

from lightning_semrob.commands import console
from lightning_semrob.commands.parsing import OneSentence, program_name, quiet, with_packaged_configs
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.estimate import Estimate
from lightning_semrob.evaluation.folder import versions
from lightning_semrob.evaluation.job import DATA_DEFAULTS, MODEL_DEFAULTS, TRAINER_DEFAULTS, Job, JobInterrupted
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.evaluation.summary import Summary
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.loggers import Dashboard
from lightning_semrob.report.page.html import missing_packages, write_report
from lightning_semrob.report.page.pictures import MAPS_FILE, map_evaluations
from lightning_semrob.report.tables import format_summary
from lightning_semrob.report.trust import format_trust
from lightning_semrob.sharing.strategies import SharedTableStrategy, check_devices, device_of
from lightning_semrob.trust.mapper import TrustSettings
from lightning_semrob.utilities.distributed import usable_cores

#: Parts of the configuration that do not decide the numbers.
_NOT_IN_RESULTS = ("trainer", "output", "overwrite", "dry_run", "report_grid", "config")


class _Parser(OneSentence, LightningArgumentParser):
    """Lightning's parser, which answers a mistake with one sentence."""


class JobCLI(LightningCLI):
    """LightningCLI that also finds the configurations of the package, without optimizers and files of its own.

    ``run`` says whether the words name one of Lightning's subcommands; ``parser`` are arguments of the parser.
    """

    def __init__(
        self,
        command: str,
        model: type[pl.LightningModule],
        data: type[pl.LightningDataModule],
        args: Sequence[str] | None,
        trainer_defaults: Mapping[str, Any],
        run: bool,
        **parser: Any,
    ) -> None:
        with warnings.catch_warnings():
            # Arguments given from Python are meant, whatever the command line of the caller is.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
            super().__init__(
                model,
                data,
                save_config_callback=None,
                seed_everything_default=0,
                run=run,
                args=with_packaged_configs(sys.argv[1:] if args is None else args),
                auto_configure_optimizers=False,
                parser_kwargs={"prog": program_name(command), **parser},
                trainer_defaults=dict(trainer_defaults),
            )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = _Parser(**kwargs)
        parser.add_argument("-c", "--config", action="config", help="configuration file, YAML or JSON")
        return parser

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer; ValueError if its devices are not there."""
        trainer = self._get(self.config, "trainer")
        check_devices(trainer.accelerator, trainer.devices, "trainer.devices")
        return super().instantiate_trainer(**kwargs)

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain data."""
        found: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_validation=True))
        return found


class EvaluateCLI(JobCLI):
    """LightningCLI with the output folder, the dry run and a Trainer that shares rows between processes."""

    def __init__(self, args: Sequence[str] | None = None, devices: int | str = 1) -> None:
        super().__init__(
            "evaluate",
            FinderSuite,
            SemanticEnvironment,
            args,
            TRAINER_DEFAULTS | {"devices": devices},
            run=False,
            usage=f"{program_name('evaluate')} [--config FILE] [--data.NAME VALUE ...] [--model.NAME VALUE ...] "
            "[--trust.NAME VALUE ...] [--trainer.NAME VALUE ...] [--output FOLDER] [--dry_run true] [--print_config]",
            description="Map where in the semantic space a network can be trusted and where it fails, and measure its "
            "robust regions (SRVR). Defaults are a small job on embedded shapes; configs/ holds larger ones.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--output",
            type=str | None,
            default=None,
            help="output folder; outputs/<hash of the configuration> if not given, so the same command resumes",
        )
        parser.add_argument("--overwrite", type=bool, default=False, help="drop the finished runs of the output folder")
        parser.add_argument(
            "--dry_run", type=bool, default=False, help="print runs, evaluations, expected hours and disk, then stop"
        )
        parser.add_argument(
            "--report_grid",
            type=list[int] | None,
            default=None,
            help="samples of the maps of report.html along the first one or two axes, e.g. [36,18]; null for 24 x 11 "
            "(48 on one axis), [] for no report",
        )
        parser.add_class_arguments(TrustSettings, "trust")
        parser.set_defaults({f"data.{name}": value for name, value in DATA_DEFAULTS.items()})
        parser.set_defaults({f"model.{name}": value for name, value in MODEL_DEFAULTS.items()})
        # In the help the Trainer's many flags come last.
        groups: Any = parser._action_groups
        groups.sort(key=lambda group: "every aspect of training" in (group.title or ""))
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer. If Lightning picks DDP by itself, processes share the table of runs. W&B stays offline unless
        ``WANDB_MODE`` says otherwise."""
        if "wandblogger" in str(self.config.trainer.logger).lower():
            os.environ.setdefault("WANDB_MODE", "offline")
        if str(self.config.trainer.precision) not in ("None", "32", "32-true"):
            raise ValueError(
                f"trainer.precision={self.config.trainer.precision} would round the bounds: leave it out, and use "
                "--data.precision=bf16 (or 16) for the networks"
            )
        # What torchrun or SLURM has started is all there is: Lightning counts it.
        launched = TorchElasticEnvironment.detect() or SLURMEnvironment.detect()
        on_cpu = device_of(self.config.trainer.accelerator).type == "cpu"
        if self.config.trainer.devices == "auto" and on_cpu and not launched:
            groups = len(self.config.data.networks) * len(self.config.data.shapes)
            kwargs["devices"] = 1 if self.config.dry_run else min(usable_cores(), groups)
        trainer = super().instantiate_trainer(**kwargs)
        strategy = trainer.strategy
        if isinstance(strategy, DDPStrategy) and not isinstance(strategy, SharedTableStrategy):
            if self.config.trainer.strategy != "auto":
                raise ValueError(
                    f"trainer.strategy={self.config.trainer.strategy} would average the bounds of different runs: "
                    "leave it at 'auto'"
                )
            trainer = super().instantiate_trainer(strategy=SharedTableStrategy(), **kwargs)
        return trainer

    def result_config(self) -> str:
        """The resolved configuration that decides the numbers, as yaml."""
        text: str = yaml.safe_dump({k: value for k, value in self.resolved().items() if k not in _NOT_IN_RESULTS})
        return text


def run(args: Sequence[str]) -> None:
    """Run the command on the GPU, or on all cores of a CPU, unless its words say otherwise."""
    evaluate(args, devices="auto")


def evaluate(args: Sequence[str] | None = None, devices: int | str = 1) -> Summary | Estimate:
    """Run a job with the given words (``sys.argv`` if None).

    Args:
        args: the words.
        devices: of the Trainer if the words name none; ``auto`` starts on a CPU as many processes as have work.

    Returns:
        The summary that is also written to ``summary.json``; of a dry run the estimate.
    """
    start = time.perf_counter()
    quiet()
    cli = EvaluateCLI(args, devices)
    environment, trainer, config = cli.datamodule, cli.trainer, cli.result_config()
    job = Job(
        environment, cli.model, trainer, config, cli.config.output, cli.config.overwrite, start, cli.config_init.trust
    )
    warning = job.prepare()
    if warning is not None and trainer.is_global_zero:
        print(f"warning: {warning}", file=sys.stderr)
    grid: list[int] | None = cli.config.report_grid
    with_report = grid != []
    maps = map_evaluations(environment, grid) if with_report else 0  # raises on a grid that does not match
    output = job.folder.path
    if cli.config.dry_run:
        estimate = job.estimate()
        print(f"{estimate.describe()} in '{output}'")
        if with_report:
            few = "at most " if grid is None and job.trust.max_evaluations != 0 else ""
            print(f"report: {missing_packages() or f'{few}{maps} evaluations of f for its maps'}")
        return estimate
    dashboard = Dashboard() if trainer.loggers else None
    try:
        result = job.run([dashboard] if dashboard else [], say=print)
    except JobInterrupted as error:
        if trainer.is_global_zero:
            print(f"\n{error}", file=sys.stderr)
        raise SystemExit(128 + error.signal) from error  # what shells make of a signal
    summary = result.summary
    if not trainer.is_global_zero:
        return summary
    print(format_summary(summary, output, "" if result.trust is None else format_trust(result.trust)))
    print_start(summary)
    unmeasured = all(run.status in ("not_measured", "invalid_score") for run in result.runs)
    if with_report:
        write_report(environment, output, grid)
    if dashboard:
        settings = {"config": yaml.safe_load(config), "versions": versions(), "output": str(output)}
        maps_file = output / MAPS_FILE
        saved = SemanticMaps.load(maps_file) if with_report and maps_file.exists() else None
        dashboard.finish(trainer, result.runs, summary, settings, saved)
    if unmeasured:
        print(f"error: none of the {len(result.runs)} runs was measured", file=sys.stderr)
        raise SystemExit(1)
    return summary


def main(args: Sequence[str] | None = None) -> None:
    """``semrob evaluate``; also ``evaluate.py`` and ``semrob-evaluate``."""
    console.main(["evaluate", *(sys.argv[1:] if args is None else args)])


def print_start(summary: Summary) -> None:
    """Print what this start of the job measured and how fast."""
    labels = labels_by_name(summary.networks)
    for network, runtime in summary.runtimes.items():
        print(runtime.reason or f"{labels[network]}: {runtime.describe()}")
    for network, change in summary.precision_change.items():
        print(
            f"f of {labels[network]} against float32: {change['mean']:.2g} mean, {change['largest']:.2g} largest change"
        )
    if summary.probe_pictures:
        print(probe_in_words(summary.probe_pictures))
    computed = summary.computed_evaluations + summary.computed_verification_evaluations
    computed += summary.computed_audit_evaluations
    processes, measuring = summary.processes, summary.measuring_seconds
    print(
        f"{processes} process{'es' if processes > 1 else ''}: start-up {summary.startup_seconds:.1f} s, then "
        f"{computed} evaluations in {measuring:.1f} s, {computed / max(measuring, 1e-9):.1f} a second; "
        f"{summary.remembered_evaluations} of them were known already"
        + (f"; each is {draws} renderings" if (draws := summary.renderings_per_evaluation) > 1 else "")
    )
