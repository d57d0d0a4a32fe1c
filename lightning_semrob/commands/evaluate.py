"""The command line: ``evaluate.py`` on LightningCLI."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies import DDPStrategy

from lightning_semrob.evaluation.callbacks import CleanExit, ResultsWriter, RunProgress, Stopwatch
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.estimate import estimate_cost
from lightning_semrob.evaluation.profiling import ShareProfiler
from lightning_semrob.evaluation.results import Row, RunFolder, versions
from lightning_semrob.evaluation.statements import describe_job
from lightning_semrob.evaluation.suite import PAPER_METHODS, FinderSuite
from lightning_semrob.functional.srvr import MINIMUM_SHAPES
from lightning_semrob.functions.precision import precision_change, set_arithmetic
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.loggers import Dashboard
from lightning_semrob.report.page.html import missing_packages, write_report
from lightning_semrob.report.page.pictures import MAPS_FILE, map_evaluations
from lightning_semrob.report.tables import (
    format_comparisons,
    format_cost_table,
    format_curve,
    format_gradient_audit,
    format_srvr_table,
    format_stability,
    format_status_table,
    format_verified_table,
    summarize,
)
from lightning_semrob.sharing.strategies import SharedTableStrategy, value_of_first

__all__ = ["EvaluateCLI", "config_folder", "evaluate", "main", "quiet_lightning", "with_packaged_configs"]

#: Parts of the configuration that do not decide the numbers.
_NOT_IN_RESULTS = ("trainer", "output", "overwrite", "dry_run", "report_grid", "config")


def config_folder() -> Path:
    """Where the configurations are: in the installed package, or in the repository for a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


class EvaluateCLI(LightningCLI):
    """LightningCLI with the output folder, the dry run and a Trainer that shares rows between processes."""

    def __init__(self, args: Sequence[str] | None = None) -> None:
        words = with_packaged_configs(sys.argv[1:] if args is None else args)
        with warnings.catch_warnings():
            # Arguments given from Python are meant, whatever the command line of the caller is.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter is intended")
            super().__init__(
                FinderSuite,
                SemanticEnvironment,
                save_config_callback=None,
                seed_everything_default=0,
                run=False,
                args=words,
                auto_configure_optimizers=False,
                parser_kwargs={
                    "usage": "evaluate.py [--config FILE] [--data.NAME VALUE ...] [--model.NAME VALUE ...] "
                    "[--trainer.NAME VALUE ...] [--output FOLDER] [--dry_run true] [--print_config]",
                    "description": "Measure in how much of the semantic space a network keeps working (SRVR). "
                    "Defaults are a small job on embedded shapes; configs/ holds larger ones.",
                },
                trainer_defaults={
                    "accelerator": "auto",
                    "devices": 1,
                    "max_epochs": 1,
                    "logger": False,
                    "enable_checkpointing": False,
                    "enable_model_summary": False,
                    "use_distributed_sampler": False,
                    "inference_mode": False,
                    "num_sanity_val_steps": 0,
                    "log_every_n_steps": 1,
                },
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Flags beside those of Trainer, model and data."""
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
        # The default job: at most 3,000 forward and 1,000 gradient evaluations for growing by the paper's finders.
        parser.set_defaults({"model.num_iterations": 23, "model.verified_evaluations": 400})
        # In the help the Trainer's many flags come last.
        groups: Any = parser._action_groups
        groups.sort(key=lambda group: "every aspect of training" in (group.title or ""))
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The Trainer; where Lightning picks DDP by itself, processes share the table of runs. W&B stays offline
        unless ``WANDB_MODE`` says otherwise."""
        if "wandblogger" in str(self.config.trainer.logger).lower():
            os.environ.setdefault("WANDB_MODE", "offline")
        if str(self.config.trainer.precision) not in ("None", "32", "32-true"):
            raise ValueError(
                f"trainer.precision={self.config.trainer.precision} would round the bounds: leave it out, and use "
                "--data.precision=bf16 (or 16) for the networks"
            )
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
        resolved = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_validation=True))
        deciding = {key: value for key, value in resolved.items() if key not in _NOT_IN_RESULTS}
        text: str = yaml.safe_dump(deciding)
        return text


def with_packaged_configs(args: Sequence[str]) -> list[str]:
    """``--config configs/x.yaml`` or ``--config x.yaml`` also finds the configurations that the package carries."""
    result: list[str] = []
    for position, word in enumerate(args):
        flag, separator, value = word.partition("=")
        is_value = position > 0 and args[position - 1] == "--config"
        name = word if is_value else value if flag == "--config" and separator else None
        if name is not None and not Path(name).exists():
            candidate = config_folder() / Path(name).name
            if candidate.exists():
                name = str(candidate)
            else:
                known = sorted(path.name for path in config_folder().glob("*.yaml"))
                raise SystemExit(f"no configuration '{name}'; the package carries {known}")
            word = name if is_value else f"--config={name}"
        result.append(word)
    return result


def quiet_lightning() -> None:
    """Leave out what Lightning says about itself."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 asks torch's pytree a question in a form that newer torch deprecates.
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\).*")


def evaluate(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Run ``evaluate.py`` with the given arguments (``sys.argv`` if None).

    Returns:
        The summary that is also written to ``summary.json``; of a dry run the estimate.
    """
    start = time.perf_counter()
    quiet_lightning()
    if "OMP_NUM_THREADS" not in os.environ:
        # Rendering and small batches are slower on several threads; processes (--trainer.devices) use the cores.
        torch.set_num_threads(1)
    cli = EvaluateCLI(args)
    suite, environment, trainer = cli.model, cli.datamodule, cli.trainer
    assert isinstance(suite, FinderSuite)
    assert isinstance(environment, SemanticEnvironment)
    environment.trainer = trainer  # whose device also the estimate is measured on
    set_arithmetic(environment.precision)
    config = cli.result_config()
    output = Path(cli.config.output or f"outputs/{hashlib.sha256(config.encode()).hexdigest()[:8]}")
    environment.setup()
    grid: list[int] | None = cli.config.report_grid
    with_report = grid != []
    maps = map_evaluations(environment, grid) if with_report else 0  # raises on a grid that does not match
    warning = suite.warning(environment)
    if warning is not None and trainer.is_global_zero:
        print(f"warning: {warning}", file=sys.stderr)
    if cli.config.dry_run:
        estimate = estimate_cost(environment, suite, output, say=print)
        if with_report:
            print(f"report: {missing_packages() or f'{maps} evaluations of f for its maps'}")
        return estimate
    folder = RunFolder(output)
    job = _go_on(cli, folder, config)
    before = suite.counts()
    watch, dashboard = Stopwatch(), Dashboard() if trainer.loggers else None
    _measure(cli, folder, [watch, *([dashboard] if dashboard else [])])
    seconds = time.perf_counter() - start
    rows = [
        suite.row(environment, number, row) for number in range(len(suite.finders)) for row in range(len(environment))
    ]
    summary = summarize(rows, PAPER_METHODS, eps_m=suite.eps_m, eps_v=suite.eps_v)
    if not trainer.is_global_zero:
        return summary
    summary |= {
        "seconds": seconds,
        "startup_seconds": watch.began - start,
        "measuring_seconds": watch.ended - watch.began,
        "processes": trainer.world_size,
        "executed_evaluations": environment.work.evaluations,
        **{f"computed_{name}": count - before[name] for name, count in suite.counts().items() if name != "active"},
        "precision_change": precision_change(environment),
        "not_measured": environment.failures,
        "space": environment.space.as_dict(),
    }
    if isinstance(trainer.profiler, ShareProfiler):  # type: ignore[attr-defined]
        summary["profile"] = trainer.profiler.shares()  # type: ignore[attr-defined]
    folder.finish(rows, environment.space, summary, job)
    print_summary(summary, output)
    print_start(summary)
    if with_report:
        write_report(environment, output, grid)
    if dashboard:
        settings = {"config": yaml.safe_load(config), "versions": versions(), "output": str(output)}
        maps_file = output / MAPS_FILE
        saved = SemanticMaps.load(maps_file) if with_report and maps_file.exists() else None
        dashboard.finish(trainer, rows, summary, settings, saved)
    return summary


def _go_on(cli: EvaluateCLI, folder: RunFolder, config: str) -> dict[str, Any]:
    """Open the output folder and give every process the finished runs that the first one finds in it.

    Returns:
        What all statements of the job share.
    """
    suite, environment, trainer = cli.model, cli.datamodule, cli.trainer
    suite.prepare(environment)
    found: tuple[dict[str, Any], list[Row]] | None = None
    if trainer.is_global_zero:
        folder.open(config, overwrite=cli.config.overwrite)
        _check_disk(folder.path)
        finished = folder.load_parts()
        renderer = yaml.safe_load(config)["data"]["renderer"]
        found = folder.note_job(describe_job(environment, suite, versions(), renderer)), finished
    found = value_of_first(trainer, found)
    assert found is not None
    job, finished = found
    taken = suite.restore(environment, finished)
    if trainer.is_global_zero and taken:
        print(f"{taken} finished runs taken over from '{folder.path}'")
    return job


def _measure(cli: EvaluateCLI, folder: RunFolder, callbacks: Sequence[Callback]) -> None:
    """Run the job, every run kept in the folder as soon as it ends; a signal ends it with one sentence.

    Raises:
        SystemExit: a signal came.
    """
    trainer, leaving = cli.trainer, CleanExit()
    progress = [RunProgress()] if trainer.progress_bar_callback is not None else []
    others = [callback for callback in trainer.callbacks if callback is not trainer.progress_bar_callback]  # type: ignore[attr-defined]
    trainer.callbacks = [*others, *progress, ResultsWriter(folder), leaving, *callbacks]  # type: ignore[attr-defined]
    try:
        trainer.fit(cli.model, datamodule=cli.datamodule)
        trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
        if leaving.signal is None:
            raise
        if trainer.local_rank != 0 and trainer.strategy.launcher is not None:
            raise SystemExit(0) from error  # Lightning kills the first process if another one ends with an error
        if trainer.is_global_zero:
            kept = len(folder.load_parts())
            print(f"\ninterrupted: {kept} runs are kept in '{folder.path}'; the same command goes on", file=sys.stderr)
        raise SystemExit(128 + leaving.signal) from error  # what shells make of a signal


def main() -> None:
    """``evaluate.py`` as a program: a mistake is one sentence and exit code 2.

    The environment variable LIGHTNING_SEMROB_TRACEBACK=1 shows where it came from.
    """
    try:
        evaluate()
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("LIGHTNING_SEMROB_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def print_summary(summary: dict[str, Any], output: Path) -> None:
    """The tables, what is not distinguishable, and what was spent."""
    print(
        "\nSRVR, percent of the space: mean volume of the boxes, intersected with it, over shapes and initial points."
    )
    print("SRVR is the mean of naive, oir_b and oir_w, as in the paper; verified counts only boxes that satisfy Eq. 2.")
    print(format_srvr_table(summary))
    level = f"{100 * summary['confidence']:g} %"
    print(f"\nVerified SRVR over all classes [{level} interval over shapes, from {MINIMUM_SHAPES} shapes on]")
    print(format_verified_table(summary))
    comparisons = format_comparisons(summary)
    if comparisons:
        print(f"\nWho is more robust, by verified volume\n{comparisons}")
    curve, stability = format_curve(summary), format_stability(summary)
    if curve:
        print(f"\nVerified SRVR against eps_m, eps_v = {summary['eps_m_curve']['eps_v']:g}")
        print(curve)
    if stability:
        print(f"\nStability of the order of the networks, by intersected volume\n{stability}")
    print("\nHow the runs ended; verdicts of Eq. 2")
    print(format_status_table(summary))
    limited = sum(counts.get("iteration_limit", 0) for counts in summary["status"].values())
    if limited:
        print(f"\n{limited} runs were still moving at the limit of updates; --model.num_iterations=60 lets them go on")
    for name, reason in summary["not_measured"].items():
        print(f"not measured: {name}: {reason}")
    audit = format_gradient_audit(summary)
    if audit:
        print(f"\nGradients against slopes of f around initial points\n{audit}")
    print("\nEvaluations of f")
    print(format_cost_table(summary))
    print(f"\n{summary['runs']} runs in {summary['seconds']:.0f} s; results in {output}/: runs.parquet, runs.csv, …")


def print_start(summary: dict[str, Any]) -> None:
    """What this start of the job measured and how fast; a table of merged jobs has no such line."""
    for network, change in summary["precision_change"].items():
        print(f"f of {network} against float32: {change['mean']:.2g} mean, {change['largest']:.2g} largest change")
    kinds = ("evaluations", "verification_evaluations", "audit_evaluations")
    computed = sum(summary[f"computed_{kind}"] for kind in kinds)
    processes, measuring = summary["processes"], summary["measuring_seconds"]
    print(
        f"{processes} process{'es' if processes > 1 else ''}: start-up {summary['startup_seconds']:.1f} s, then "
        f"{computed} evaluations in {measuring:.1f} s, {computed / max(measuring, 1e-9):.1f} a second"
    )


def _check_disk(output: Path, needed: int = 50 * 2**20) -> None:
    free = shutil.disk_usage(output).free
    if free < needed:
        raise OSError(f"'{output}' has {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB are needed")
