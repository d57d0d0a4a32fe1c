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
from lightning_semrob.evaluation.records import read_runs_table
from lightning_semrob.evaluation.summary import Summary, read_summary
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap, find_traps, robust_boxes
from lightning_semrob.space import Box
from lightning_semrob.utilities.files import read_json
from lightning_semrob.utilities.origin import text_sha256

__all__ = ["FinishedJob"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FinishedJob:
    """What the output folder of a finished job holds.

    Args:
        rows: runs as in :func:`lightning_semrob.evaluation.records.run_schema`.
        summary: as of :func:`lightning_semrob.evaluation.summary.summarize`.
        config: the configuration that decides the numbers, as yaml.
        versions: of the packages that the numbers depend on.
    """

    rows: list[dict[str, Any]]
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
            table = read_runs_table(folder / "runs.parquet", "delete it, and run evaluate.py again")
            config = (folder / "config.yaml").read_text(encoding="utf-8")
            versions = read_json(folder / "versions.json")
        except (OSError, ValueError) as error:
            raise ValueError(f"'{folder}' does not hold a finished job ({error}): run evaluate.py again") from error
        about = (table.schema.metadata or {}).get(b"config")
        if about is not None and about.decode() != text_sha256(config):
            raise ValueError(f"'{folder / 'config.yaml'}' has changed since the runs beside it were written: undo that")
        return cls(table.to_pylist(), summary, config, versions)

    def check(self, environment: SemanticEnvironment, weights: bool) -> None:
        """Refuse an environment that is not the one that the runs are of: new pictures would lie under old boxes.

        Args:
            environment: set up.
            weights: load the networks and compare their weights as well.

        Raises:
            ValueError: outputs of a class, a mesh or weights that have changed; it is named.
        """
        shapes = {(spec.class_name, spec.shape_id): number for number, spec in enumerate(environment.shapes)}
        columns = ("network", "class_name", "shape_id", "target", "weights_sha256", "mesh_sha256")
        for network, class_name, name, *known in {tuple(row[column] for column in columns) for row in self.rows}:
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
                if after is not None and before != after:
                    raise ValueError(
                        f"{title} changed since the runs of this job (then {before[:12]}, now {after[:12]}): undo "
                        "that, or evaluate anew in another --output"
                    )

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain data."""
        import yaml

        return yaml.safe_load(self.config) or {}

    def _model(self, name: str, default: float) -> float:
        value = (self.settings.get("model") or {}).get(name)
        return default if value is None else float(value)

    @property
    def seed(self) -> int:
        """The seed of everything random in the job."""
        return int(self.settings.get("seed_everything") or 0)

    @property
    def adversarial(self) -> bool:
        """Whether its boxes are about 1 - f."""
        return bool(self._model("adversarial", 0))

    @property
    def eps_m(self) -> float:
        """Eq. 2 asks for a mean of at least 1 - eps_m ..."""
        return self._model("eps_m", 0.3)

    @property
    def eps_v(self) -> float:
        """... and a variance of at most eps_v."""
        return self._model("eps_v", 0.05)

    @property
    def confidence(self) -> float:
        """That of a verdict, in (0, 1)."""
        return self._model("confidence", 0.95)

    @property
    def demand(self) -> dict[str, Any]:
        """Eq. 2 and the seed, as :func:`~lightning_semrob.maps.traps.find_traps` takes them."""
        return {"eps_m": self.eps_m, "eps_v": self.eps_v, "confidence": self.confidence, "seed": self.seed}

    def robust_boxes(self, maps: SemanticMaps) -> tuple[Box, Tensor]:
        """The boxes in which f satisfies Eq. 2; none of a job whose boxes are about 1 - f."""
        return robust_boxes([] if self.adversarial else self.rows, maps)

    def traps(self, maps: SemanticMaps) -> list[Trap]:
        """The traps on maps of the job, inside its robust boxes and beside them."""
        return find_traps(maps, *self.robust_boxes(maps), **self.demand)
