"""The table of tasks of a job: shape x network x initial point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_semrob.networks import NetworkSpec, network_spec
from lightning_semrob.networks.sources import UserCallable
from lightning_semrob.shapes import ShapeSpec, resolve_shapes
from lightning_semrob.shapes.classes import CLASS_TABLE, read_class_table
from lightning_semrob.space import SemanticSpace
from lightning_semrob.utilities.random import named_seed

#: The four constant initial points of the paper's runs, (azimuth, elevation) in degrees.
PAPER_INITIAL_POINTS = ((130.0, 30.0), (50.0, 20.0), (200.0, 15.0), (310.0, 50.0))

#: Initial points from the trust maps of the job; before there are maps they are the middle of the space.
TRUSTED = "trusted"


@dataclass(frozen=True)
class Tasks:
    """The tasks, ordered by shape, then network, then initial point; ``u0`` (N, n) float64 are their initial points."""

    shapes: list[ShapeSpec]
    networks: int
    points: int
    u0: Tensor

    def describe(self, row: int) -> tuple[int, int, int]:
        """Shape, network and initial point of a row of the table."""
        group, point = divmod(row, self.points)
        shape, network = divmod(group, self.networks)
        return shape, network, point

    def groups(self) -> tuple[Tensor, Tensor]:
        """Shape and network of every row, each (N,) int64."""
        group = torch.arange(len(self.u0)) // self.points
        return group // self.networks, group % self.networks


def make_tasks(
    networks: Sequence[str],
    shapes: Sequence[str],
    space: SemanticSpace,
    initial_points: int | str | list[list[float]],
    seed: int,
    class_table: str | Path | None = None,
) -> Tasks:
    """Resolve names and make the table; the arguments are those of the environment.

    ValueError: an unknown name, a class that a network has no output for, or a point outside the space.
    """
    specs = [network_spec(name) for name in networks]
    resolved = resolve_shapes(shapes, CLASS_TABLE | ({} if class_table is None else read_class_table(class_table)))
    _check_targets(specs, resolved)

    def points_of(shape: ShapeSpec) -> Tensor:
        if isinstance(initial_points, int):
            if initial_points < 1:
                raise ValueError(f"initial_points must be at least 1, got {initial_points}")
            return space.sobol(initial_points, named_seed(seed, shape.class_name, shape.shape_id))
        if initial_points == TRUSTED:
            return ((space.low + space.high) / 2)[None]
        if isinstance(initial_points, str):
            if initial_points != "paper":
                raise ValueError(
                    f"initial_points must be a number, 'paper', '{TRUSTED}' or points, got '{initial_points}'"
                )
            if set(space.names) != {"azimuth", "elevation"}:
                raise ValueError(f"the paper's points need azimuth and elevation; the space is {space.names}")
            order = [space.names.index(name) for name in ("azimuth", "elevation")]
            return torch.tensor(PAPER_INITIAL_POINTS, dtype=torch.float64)[:, order]
        points = torch.tensor(initial_points, dtype=torch.float64)
        if points.dim() != 2 or points.shape[1] != len(space):
            raise ValueError(
                f"initial_points must be a list of points ({', '.join(space.names)}), got {initial_points}"
            )
        return points

    points = torch.stack([points_of(shape) for shape in resolved])  # shapes, points, axes
    space.validate(points.flatten(0, 1))
    return Tasks(resolved, len(specs), points.shape[1], points[:, None].expand(-1, len(specs), -1, -1).flatten(0, 2))


def _check_targets(specs: Sequence[NetworkSpec], shapes: Sequence[ShapeSpec]) -> None:
    """Refuse a class that a network has no output for. Callables are not checked: only the network itself knows."""
    for spec, shape in itertools.product(specs, shapes):
        if max(shape.target) >= spec.num_classes and not isinstance(spec.build, UserCallable):
            raise ValueError(
                f"class '{shape.class_name}' is output {max(shape.target)}, and network '{spec.name}' has "
                f"{spec.num_classes} outputs: give the indices of its classes in data.class_table, or leave one out"
            )
