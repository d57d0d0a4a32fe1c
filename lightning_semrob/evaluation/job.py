"""A whole evaluation job from Python, without a command line: make it, estimate its cost, run it, or go on with it."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy

from lightning_semrob.evaluation.callbacks import CleanExit, MapProgress, ResultsWriter, RunProgress, Stopwatch
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.estimate import Estimate, estimate_cost
from lightning_semrob.evaluation.folder import RunFolder, versions
from lightning_semrob.evaluation.models import ReadyNetwork
from lightning_semrob.evaluation.profiling import ShareProfiler
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.statements import JobDescription
from lightning_semrob.evaluation.suite import PAPER_METHODS, FinderSuite
from lightning_semrob.evaluation.summary import Summary, summarize
from lightning_semrob.functions.precision import precision_change, set_arithmetic
from lightning_semrob.sharing.strategies import SharedTableStrategy, check_devices, refuse_cuts, value_of_first
from lightning_semrob.trust.mapper import TrustMapper, TrustSettings, load_trust_parts, trusted_start
from lightning_semrob.trust.record import MAPS_FILE, TrustRecord, write_records
from lightning_semrob.trust.summary import TrustSummary, summarize_maps
from lightning_semrob.utilities.distributed import all_gather, keep_threads
from lightning_semrob.utilities.origin import text_sha256
from lightning_semrob.verification.region import named_weights

#: What the default job looks at: eight everyday objects of the embedded classes, one initial point each.
DATA_DEFAULTS: dict[str, Any] = {
    "shapes": ["teapot", "park_bench", "rocking_chair", "coffee_mug", "umbrella", "traffic_light", "drum", "hourglass"],
    "initial_points": 1,
}

#: Arguments of the finders in the default job: at most 3,000 forward and 1,000 gradient evaluations for growing by the
#: paper's finders.
MODEL_DEFAULTS = {"num_iterations": 8, "verified_evaluations": 240}

#: What the Trainer of every job has in common.
TRAINER_DEFAULTS: dict[str, Any] = {
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
}


@dataclass(frozen=True)
class JobConfig:
    """The settings of a job as plain data. They are those of ``evaluate.py``, which can go on with the job's folder.

    Args:
        data: arguments of :class:`~lightning_semrob.evaluation.environment.SemanticEnvironment`.
        model: arguments of :class:`~lightning_semrob.evaluation.suite.FinderSuite`.
        seed: of everything random.
        output: output folder; ``outputs/<hash of the configuration>`` if None.
        overwrite: drop the finished runs of the output folder.
        accelerator, devices, progress: of the Trainer.
        trust: arguments of :class:`~lightning_semrob.trust.mapper.TrustSettings`.

    Examples:
        >>> job = JobConfig(data={"networks": ["small_resnet"], "shapes": ["teapot"]}).make()
        >>> [finder.name for finder in job.suite]
        ['naive', 'oir_b', 'oir_w', 'verified']
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    output: str | Path | None = None
    overwrite: bool = False
    accelerator: str = "auto"
    devices: int = 1
    progress: bool = True
    trust: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Job:
        """The job, with a Trainer of its own; seeds the global generators, as the command line does.

        Raises:
            ValueError: unknown arguments, or values that the environment or the finders refuse.
        """
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--seed_everything", type=int)
        parser.add_class_arguments(FinderSuite, "model")
        parser.add_class_arguments(SemanticEnvironment, "data")
        parser.add_class_arguments(TrustSettings, "trust")
        parser.link_arguments("seed_everything", "data.seed")
        parser.set_defaults({f"data.{name}": value for name, value in DATA_DEFAULTS.items()})
        parser.set_defaults({f"model.{name}": value for name, value in MODEL_DEFAULTS.items()})
        pl.seed_everything(self.seed, verbose=False)
        settings = deepcopy({name: dict(getattr(self, name)) for name in ("model", "data", "trust")})
        try:
            parsed = parser.parse_object({"seed_everything": self.seed} | settings)
            made = parser.instantiate_classes(parsed)
        except (ArgumentError, TypeError, KeyError) as error:
            raise ValueError(f"the job cannot be made: {error}") from error
        trainer = make_trainer(accelerator=self.accelerator, devices=self.devices, enable_progress_bar=self.progress)
        config = yaml.safe_dump(yaml.safe_load(parser.dump(parsed, skip_none=False, skip_validation=True)))
        return Job(made.data, made.model, trainer, config, self.output, self.overwrite, trust=made.trust)


def make_trainer(**settings: Any) -> pl.Trainer:
    """The Trainer of a job; with several devices, its processes share the table of runs."""
    settings = TRAINER_DEFAULTS | settings
    check_devices(settings["accelerator"], settings["devices"])
    trainer = pl.Trainer(**settings)
    if isinstance(trainer.strategy, DDPStrategy):
        trainer = pl.Trainer(**settings, strategy=SharedTableStrategy())
    return trainer


class JobInterrupted(Exception):
    """A signal ended the job after an update; the finished runs are in its folder.

    Attributes:
        signal: the signal.
        kept: number of finished runs in the folder.
    """

    def __init__(self, signal: Signals, kept: int, output: Path, maps: int = 0) -> None:
        trust = f"{maps} trust maps and " if maps else ""
        super().__init__(f"interrupted: {trust}{kept} runs are kept in '{output}'; the same command goes on")
        self.signal, self.kept = signal, kept


@dataclass(frozen=True)
class JobResult:
    """The results of a job: ``runs``, and what ``summary.json`` and ``trust_maps.jsonl`` in the folder ``output`` hold.

    ``trust`` is what the trust maps say together; None if the job makes none.
    """

    output: Path
    runs: list[Run]
    summary: Summary
    trust_maps: list[TrustRecord] = field(default_factory=list)
    trust: TrustSummary | None = None


@dataclass
class Job:
    """Environment, finders and Trainer of a job, and where its results go.

    Args:
        environment: what f is made of, and the tasks.
        suite: what is measured.
        trainer: drives the suite over the tasks.
        config: yaml of everything that decides the numbers, as ``config.yaml`` keeps it.
        output: folder; ``outputs/<hash of config>`` if None.
        overwrite: drop the finished runs of the folder.
        began: ``time.perf_counter()`` at the start of the program.
        trust: the trust maps of the job.
    """

    environment: SemanticEnvironment
    suite: FinderSuite
    trainer: pl.Trainer
    config: str
    output: str | Path | None = None
    overwrite: bool = False
    began: float = field(default_factory=time.perf_counter)
    trust: TrustSettings = field(default_factory=TrustSettings)

    def __post_init__(self) -> None:
        name = f"outputs/{hashlib.sha256(self.config.encode()).hexdigest()[:8]}"
        self.folder = RunFolder(self.output or name, self.config)

    def prepare(self) -> str | None:
        """Resolve names and make the tasks; every mistake in names, files or points is raised here.

        Returns:
            A warning in one sentence if a budget is too small to verify anything, else None.
        """
        refuse_cuts(self.trainer)
        if self.trainer.strategy.launcher is not None:
            keep_threads(self.trainer.num_devices)
        self.environment.trainer = self.trainer  # whose device also an estimate is measured on
        set_arithmetic(self.environment.precision)
        self.environment.setup()
        self.trust.check(self.environment.space)
        if self.environment.starts_trusted and self.trust.max_evaluations == 0:
            raise ValueError("data.initial_points=trusted starts from trust maps: trust.max_evaluations must not be 0")
        return self.suite.warning(self.environment)

    def estimate(self) -> Estimate:
        """What the job will cost, from a short measurement."""
        self.prepare()
        return estimate_cost(self.environment, self.suite, self.trust)

    def run(self, callbacks: Sequence[Callback] = (), say: Callable[[str], None] | None = None) -> JobResult:
        """Measure every run that the folder does not hold yet, and write its tables; ``say`` hears what was taken over.

        Returns:
            Runs and summary, on every process. The first process writes the files, and only its summary has the costs.

        Raises:
            ValueError: the folder belongs to another configuration, is no job's, is in use by another job, or holds
                results that cannot be read or are not of what is there now.
            OSError: the folder cannot be written.
            JobInterrupted: a signal came.
        """
        self.prepare()
        with self.folder.locked() if self.trainer.is_global_zero else nullcontext():
            return self._run(callbacks, say)

    def _run(self, callbacks: Sequence[Callback], say: Callable[[str], None] | None) -> JobResult:
        suite, environment, watch = self.suite, self.environment, Stopwatch()
        suite.check(environment)
        description, finished, mapped = self._open()
        maps = self._map(mapped, description, say)
        suite.prepare(environment)
        taken = suite.restore(environment, finished)
        if say is not None and self.trainer.is_global_zero and taken:
            say(f"{taken} finished runs taken over from '{self.folder.path}'")
        before = suite.counts()
        self._measure([watch, *callbacks])
        seconds = time.perf_counter() - self.began
        places = itertools.product(range(len(suite.finders)), range(len(environment)))
        runs = [suite.run(environment, *place) for place in places]
        left = sum(run.status == "running" for run in runs)
        if left:
            raise ValueError(
                f"the Trainer stopped while {left} of {len(runs)} runs were left (does a callback stop it?): those "
                f"that ended are kept in '{self.folder.path}', nothing is said about the job; the same command goes on"
            )
        trust = summarize_maps(maps)
        summary = summarize(runs, PAPER_METHODS, eps_m=suite.eps_m, eps_v=suite.eps_v)
        remembered = sum(all_gather(environment.models.remembered))
        if self.trainer.is_global_zero:
            spent = {name: count - before[name] for name, count in suite.counts().items()}
            profiler: Any = self.trainer.profiler  # type: ignore[attr-defined]
            summary = replace(
                summary,
                trust=trust,
                seconds=seconds,
                startup_seconds=watch.began - self.began,
                measuring_seconds=watch.ended - watch.began,
                processes=self.trainer.world_size,
                executed_evaluations=environment.work.evaluations,
                computed_evaluations=spent["evaluations"],
                computed_gradient_evaluations=spent["gradient_evaluations"],
                computed_audit_evaluations=spent["audit_evaluations"],
                computed_verification_evaluations=spent["verification_evaluations"],
                remembered_evaluations=remembered,
                renderings_per_evaluation=environment.draws,
                probe_pictures=environment.models.probed,
                runtimes=description.runtimes,
                precision_change=precision_change(environment),
                not_measured=environment.failures,
                notes=environment.notes(),
                reach=suite.reach(environment),
                space=environment.space.as_dict(),
                profile=profiler.shares() if isinstance(profiler, ShareProfiler) else None,
            )
            if maps:
                write_records(self.folder.path / MAPS_FILE, maps)
            self.folder.finish(runs, environment.space, summary, description)
        return JobResult(self.folder.path, runs, summary, maps, trust)

    def _open(self) -> tuple[JobDescription, list[Run], list[TrustRecord]]:
        """Open the folder; what all statements share, finished runs and maps as the first process finds them."""
        folder, models = self.folder, self.environment.models

        def read() -> tuple[JobDescription, list[Run], list[TrustRecord], dict[int, ReadyNetwork]]:
            ready = models.make_ready()  # before the folder is a job: a wrong network leaves it free
            if any(finder.needs_gradient for finder in self.suite):
                for network in range(len(models.networks)):
                    models.check_gradient(network)
            folder.open(self.config, overwrite=self.overwrite)
            folder.check_space()
            description = self._description()
            folder.check_runtimes(description)
            finished, mapped = folder.load_parts(), load_trust_parts(folder.path)
            self._check_origins(mapped)
            return folder.note_job(description), finished, mapped, ready

        description, finished, mapped, models.ready = value_of_first(self.trainer, read)
        return description, finished, mapped

    def _map(
        self, finished: list[TrustRecord], job: JobDescription, say: Callable[[str], None] | None
    ) -> list[TrustRecord]:
        """The trust map of every network and shape, those of an earlier start taken over."""
        if self.trust.max_evaluations == 0:
            return []
        environment, trainer, leaving = self.environment, self.trainer, CleanExit()
        about = {"fixed": job.fixed, "renderer": job.renderer, "nuisances": job.nuisances, "versions": job.versions}
        runtimes = {network: runtime.name for network, runtime in job.runtimes.items()}
        about |= {"config": text_sha256(self.config), "runtimes": runtimes}
        mapper = TrustMapper(self.trust, about, self.folder.path, leaving.leave)
        taken = mapper.restore(environment, finished)
        if say is not None and trainer.is_global_zero and taken:
            say(f"{taken} trust maps taken over from '{self.folder.path}'")
        with self._driving(MapProgress(), leaving):
            trainer.predict(mapper, datamodule=environment, return_predictions=False)
        if environment.starts_trusted:
            starts = {place: trusted_start(record) for place, record in mapper.records.items()}
            environment.start_from(starts)
        self.suite.judge.known_views = {
            place: (record.map.tiles.count, record.top1, record.map.first_mean)
            for place, record in mapper.records.items()
            if record.top1 is not None
        }
        return [mapper.records[place] for place in sorted(mapper.records)]

    def _interrupted(self, leaving: CleanExit, error: BaseException) -> None:
        """Say what is kept, if a signal ended the work; raise the error otherwise."""
        trainer = self.trainer
        if leaving.signal is None:
            raise error
        if trainer.local_rank != 0 and trainer.strategy.launcher is not None:
            raise SystemExit(0) from error  # Lightning kills the first process if another one ends with an error
        kept, maps = len(self.folder.load_parts()), len(load_trust_parts(self.folder.path))
        raise JobInterrupted(leaving.signal, kept, self.folder.path, maps) from error

    def _check_origins(self, mapped: Sequence[TrustRecord]) -> None:
        """Refuse finished runs and maps of other weights, meshes or outputs than those that are there now."""
        found = [(part.origin, part.path) for part in self.folder.parts()]
        found += [(record.origin, self.folder.path / "parts") for record in mapped]
        for origin, path in found:
            self.environment.models.check_origin(origin, self.config, path)

    def _description(self) -> JobDescription:
        suite, environment, renderer = self.suite, self.environment, self.environment.renderer
        return JobDescription(
            suite.eps_m,
            suite.eps_v,
            suite.simultaneous,
            suite.statements_together(environment),
            environment.seed,
            environment.score,
            environment.precision,
            {finder.name: finder.adversarial for finder in suite},
            named_weights(environment.space, environment.density),
            environment.fixed,
            {
                "name": type(renderer).__name__,
                "version": renderer.version,
                "image_size": renderer.image_size,
                "settings": yaml.safe_load(self.config)["data"]["renderer"],
            },
            [versions()],
            {name: environment.models.ready[k].runtime for k, name in enumerate(environment.networks)},
            environment.nuisances.as_dict() if environment.nuisances else {},
        )

    def _measure(self, callbacks: Sequence[Callback]) -> None:
        """Drive the suite over the tasks; every run is kept in the folder as soon as it ends."""
        with self._driving(RunProgress(), CleanExit(), *callbacks, ResultsWriter(self.folder)):
            self.trainer.fit(self.suite, datamodule=self.environment)
            self.trainer.test(self.suite, datamodule=self.environment, verbose=False)

    @contextmanager
    def _driving(self, bar: Callback, leaving: CleanExit, *more: Callback) -> Iterator[None]:
        """Our callbacks for loops of the Trainer, our bar in place of Lightning's; a signal ends them cleanly.

        ``leaving`` comes last, so that the others have kept what ended in the update.
        """
        trainer: Any = self.trainer
        before, old = list(trainer.callbacks), trainer.progress_bar_callback
        kept = [callback for callback in before if callback is not old]
        trainer.callbacks = [*kept, *([bar] if old is not None else []), *more, leaving]
        try:
            yield
        except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
            self._interrupted(leaving, error)
        trainer.callbacks = before
