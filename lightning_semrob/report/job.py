"""A finished job as the report page and the commands read it from its output folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import read_config
from lightning_semrob.evaluation.records import Run, read_runs
from lightning_semrob.evaluation.summary import Summary, read_summary
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap, find_traps, robust_boxes
from lightning_semrob.space import Box
from lightning_semrob.utilities.files import read_json
from lightning_semrob.utilities.record import Record


@dataclass(frozen=True, eq=False)
class Demand(Record):
    """Eq. 2 and the seed of a job, as :func:`~lightning_semrob.maps.traps.find_traps` takes them."""

    eps_m: float = 0.3
    eps_v: float = 0.05
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class FinishedJob:
    """What the output folder of a finished job holds; ``config`` is the yaml that decides the numbers."""

    rows: list[Run]
    summary: Summary
    config: str
    versions: Mapping[str, str]

    @classmethod
    def read(cls, folder: str | Path) -> FinishedJob:
        """Read ``summary.json``, ``runs.parquet``, ``config.yaml`` and ``versions.json``.

        Raises:
            ValueError: the folder holds no finished job.
        """
        folder = Path(folder)
        if not (folder / "runs.parquet").is_file():
            raise ValueError(
                f"there is no '{folder / 'runs.parquet'}': give the output folder of a finished evaluate.py"
            )
        summary = read_summary(folder / "summary.json")
        try:
            runs = read_runs(folder / "runs.parquet", "delete it, and run evaluate.py again")
            read_config(folder)
            config = (folder / "config.yaml").read_text(encoding="utf-8")
            versions = read_json(folder / "versions.json")
        except (OSError, ValueError) as error:
            raise ValueError(f"'{folder}' does not hold a finished job ({error}): run evaluate.py again") from error
        return cls(runs, summary, config, versions)

    def check(self, environment: SemanticEnvironment, weights: bool) -> None:
        """Refuse an environment that the runs were not made in: new pictures would be shown under old boxes.

        With ``weights`` the networks are loaded and compared as well. ValueError names the outputs of a class, the
        mesh or the weights that have changed.
        """
        shapes = {(spec.class_name, spec.shape_id): number for number, spec in enumerate(environment.shapes)}
        stated = {(run.network, *run.shape, run.target, run.weights_sha256, run.mesh_sha256) for run in self.rows}
        for network, class_name, name, *known in stated:
            number = shapes.get((class_name, name))
            if number is None or network not in environment.networks or None in known:
                continue
            now: list[str | None] = [",".join(map(str, environment.shapes[number].target)), None, None]
            if weights:
                environment.classifier(environment.networks.index(network))
                now[1] = environment.weights_sha256[environment.networks.index(network)]
            with contextlib.suppress(ValueError, OSError):  # a shape without pictures
                environment.mesh(number)
                now[2] = environment.mesh_sha256[number]
            what = (f"the outputs of class '{class_name}'", f"network '{network}'", f"shape '{name}'")
            for title, before, after in zip(what, known, now, strict=True):
                if before is not None and after is not None and before != after:
                    raise ValueError(
                        f"{title} changed since the runs of this job (then {before[:12]}, now {after[:12]}): undo "
                        "that, or evaluate anew in another --output"
                    )

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        """The configuration as plain data."""
        import yaml

        return yaml.safe_load(self.config) or {}

    @property
    def adversarial(self) -> bool:
        """Whether its boxes are about 1 - f."""
        return bool((self._settings.get("model") or {}).get("adversarial"))

    @cached_property
    def demand(self) -> Demand:
        """Eq. 2 and the seed of everything random in the job."""
        model = self._settings.get("model") or {}
        given = {name: float(model[name]) for name in ("eps_m", "eps_v", "confidence") if model.get(name) is not None}
        return Demand(**given, seed=int(self._settings.get("seed_everything") or 0))

    def robust_boxes(self, maps: SemanticMaps) -> tuple[Box, Tensor]:
        """The boxes in which f satisfies Eq. 2; none of a job whose boxes are about 1 - f."""
        return robust_boxes([] if self.adversarial else self.rows, maps)

    def traps(self, maps: SemanticMaps) -> list[Trap]:
        """The traps on maps of the job, inside its robust boxes and beside them."""
        return find_traps(maps, *self.robust_boxes(maps), **self.demand)


def boxes_of_run(maps: SemanticMaps, folder: str | Path) -> tuple[Box, Tensor]:
    """The boxes of an output folder of ``evaluate.py`` that were verified as robust, and their rows of the maps.

    Raises:
        ValueError: no results there, or no such box over the mapped axes of a mapped network and shape.
    """
    boxes, index = FinishedJob.read(folder).robust_boxes(maps)
    if not len(index):
        raise ValueError(
            f"'{folder}' has no valid box over {', '.join(maps.axes.names)} of a network and shape of these maps: map "
            "the same ones"
        )
    return boxes, index
