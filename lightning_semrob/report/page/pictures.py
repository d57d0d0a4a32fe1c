"""Small renderings for a page: sheets of them, and the maps that they belong to."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMapper, SemanticMaps
from lightning_semrob.maps.scattered import interpolate_views
from lightning_semrob.rendering import Renderer
from lightning_semrob.trust.record import read_maps

if TYPE_CHECKING:
    from PIL import Image

MAPS_FILE = "maps.nc"
#: Samples of the maps: every 15 and 10 degrees of the default space. Of one axis the first number, doubled.
DEFAULT_GRID = (24, 11)
#: Side of a small rendering in pixels: as large as all of them together may be.
_SIDES = (48, 128)
_PIXELS = 20_000_000
#: Estimated mean error of a map that is drawn from the views of a trust map; where it is larger, f is measured.
_LARGEST_ERROR = 0.1
#: Views of a shape that a page can show.
_MOST_VIEWS = 20_000

# ---- pictures


@dataclass
class Sheet:
    """Small renderings side by side in one picture, so that hundreds of them stay small; ``side`` is in pixels."""

    side: int
    columns: int
    count: int
    image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        from PIL import Image

        self.image = Image.new("RGB", (self.side * self.columns, self.side * self.rows), "white")

    @property
    def rows(self) -> int:
        """Rows of the sheet."""
        return max(1, math.ceil(self.count / self.columns))

    def add(self, images: Tensor, cells: Sequence[int]) -> None:
        """Renderings (B, 3, H, W) in [0, 1], each at its cell, counted row by row."""
        from PIL import Image

        array = (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for picture, cell in zip(array, cells, strict=True):
            small = Image.fromarray(picture).resize((self.side, self.side), Image.Resampling.LANCZOS)
            row, column = divmod(cell, self.columns)
            self.image.paste(small, (column * self.side, row * self.side))

    def data(self) -> dict[str, Any]:
        """For the page: a JPEG in base64 and its layout."""
        return {"jpeg": jpeg(self.image), "columns": self.columns, "rows": self.rows}


def jpeg(image: Image.Image) -> str:
    """A picture as JPEG in base64."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=78, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def sheet_side(views: int) -> int:
    """Side of the small renderings when there are so many views."""
    return int(min(max(math.sqrt(_PIXELS / max(views, 1)), _SIDES[0]), _SIDES[1]))


def map_evaluations(environment: SemanticEnvironment, grid: Sequence[int] | None = None) -> int:
    """How often f is evaluated for the maps of a page where no trust map shows them."""
    environment.setup()
    return math.prod(_steps(environment, grid)) * len(environment.networks) * len(environment.shapes)


@torch.no_grad()
def pictures(environment: SemanticEnvironment, shape: int, points: Tensor, renderer: Renderer | None = None) -> Tensor:
    """Renderings of a shape at points (P, n) of the swept space, by another renderer than the job's if one is given."""
    images: Tensor = (renderer or environment.pictures).to(environment.device)(
        environment.mesh(shape), points.to(environment.device), environment.space.names
    )
    return images


# ---- maps


def _steps(environment: SemanticEnvironment, grid: Sequence[int] | None) -> list[int]:
    """Samples of the one or two mapped axes."""
    axes = min(2, len(environment.space))
    if grid is None:
        return list(DEFAULT_GRID) if axes == 2 else [2 * DEFAULT_GRID[0]]
    steps = [int(count) for count in grid]
    if len(steps) != axes or min(steps) < 2:
        names = ", ".join(environment.space.names[:axes])
        raise ValueError(f"the grid of the report must be {axes} numbers >= 2, samples of {names}; got {list(grid)}")
    if math.prod(steps) > _MOST_VIEWS:
        raise ValueError(f"the grid of the report has {math.prod(steps):,} views of a shape: {_MOST_VIEWS:,} at most")
    return steps


def _load(path: Path) -> SemanticMaps:
    try:
        return SemanticMaps.load(path)
    except ValueError as error:
        raise ValueError(f"{error}: delete '{path}' and the report measures it again") from error


def saved_grid(folder: str | Path) -> tuple[int, ...] | None:
    """Samples of the maps that a folder holds, None where it has none."""
    path = Path(folder) / MAPS_FILE
    return _load(path).grid if path.exists() else None


def _saved_maps(path: Path, environment: SemanticEnvironment, mapper: SemanticMapper) -> SemanticMaps | None:
    """The maps that the folder holds, if they are those that are wanted."""
    if not path.exists():
        return None
    maps = _load(path)
    shapes = tuple((shape.class_name, shape.shape_id) for shape in environment.shapes)
    same = (
        maps.networks == tuple(environment.networks)
        and tuple(zip(maps.class_names, maps.shapes, strict=True)) == shapes
        and maps.axes == mapper.axes
        and maps.grid == tuple(mapper.grid)
        and not maps.averaged
    )
    return maps if same else None


def _settings(folder: Path) -> dict[str, Any]:
    """The arguments of the environment of a job, with which its maps can be made again."""
    import yaml

    path = folder / "config.yaml"
    config = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    return {"seed": int(config.get("seed_everything") or 0)} | dict(config.get("data") or {})


def _draw_trust_maps(mapper: SemanticMapper, environment: SemanticEnvironment, folder: Path) -> set[int]:
    """Fill the table of the mapper from the views that the trust maps evaluated; returns the shapes that are known.

    A shape is known where the estimated error of its maps is at most ``_LARGEST_ERROR`` for every network.
    """
    if mapper.axes != environment.space:
        return set()
    records = {record.key: record for record in read_maps(folder)}
    known: set[int] = set()
    for shape, spec in enumerate(environment.shapes):
        keys = [(network, spec.class_name, spec.shape_id) for network in environment.networks]
        views = [records[key].map for key in keys if key in records and records[key].map.space == environment.space]
        if len(views) < len(keys):
            continue
        found = [
            interpolate_views(m.points, torch.from_numpy(m.scores), m.space, mapper.points[:, 0], m.seed) for m in views
        ]
        if max(error for _, error in found) <= _LARGEST_ERROR:
            known.add(shape)
            for network, (values, error) in enumerate(found):
                mapper.table[network, shape], mapper.error[network, shape] = values, error
    return known


def has_maps(environment: SemanticEnvironment, folder: str | Path, grid: Sequence[int] | None = None) -> bool:
    """Whether a folder holds the maps that :func:`measure_maps` would measure."""
    environment.setup()
    mapper = SemanticMapper(steps=_steps(environment, grid))
    mapper.prepare(environment)
    return _saved_maps(Path(folder) / MAPS_FILE, environment, mapper) is not None


def measure_maps(
    environment: SemanticEnvironment, folder: str | Path, grid: Sequence[int] | None = None
) -> tuple[SemanticMaps, list[Sheet | None], int]:
    """Maps over the first two axes and a small rendering of each of their views.

    The maps are taken from ``maps.nc`` in the folder where they are the same, and saved there otherwise. Without a
    grid they are drawn from the views that the trust maps of the job evaluated, where these show the shape well.

    Args:
        environment: networks, shapes and renderer.
        folder: the output folder of a job.
        grid: samples of the mapped axes; ``DEFAULT_GRID`` if None.

    Returns:
        The maps; a sheet of renderings a shape, its columns along the first axis, None where a shape cannot be loaded;
        and how often f was evaluated now (0 where everything was known).
    """
    environment.setup()
    mapper = SemanticMapper(steps=_steps(environment, grid))
    mapper.prepare(environment)
    path = Path(folder) / MAPS_FILE
    maps = _saved_maps(path, environment, mapper)
    every = set(range(len(environment.shapes)))
    known = every if maps is not None else set() if grid else _draw_trust_maps(mapper, environment, Path(folder))
    views = math.prod(mapper.grid)
    side = sheet_side(views * len(environment.shapes))
    small = environment.renderer.resized(min(side, environment.renderer.image_size))
    sheets: list[Sheet | None] = [Sheet(side, mapper.grid[0], views) for _ in environment.shapes]
    cells = torch.arange(views).view(-1, mapper.grid[0]).T.flatten().tolist()  # of a view, whose last axis is fastest
    for batch in mapper.batches(environment):
        if batch.shape not in known:
            mapper.measure(environment, batch)
        try:
            sheet = sheets[batch.shape]
            if sheet is not None:  # the pictures that the networks have just seen: nothing is rendered twice
                seen = slice(batch.start, batch.stop)
                points = mapper.points[seen, 0]
                drawn = pictures(environment, batch.shape, points, small if batch.shape in known else None)
                sheet.add(drawn, cells[seen])
        except (ValueError, OSError) as error:
            environment.report_failure(batch.shape, error)
            sheets[batch.shape] = None
    if maps is None:
        maps = replace(mapper.maps(environment), settings=_settings(Path(folder)))
        if known:
            maps = replace(maps, measured=mapper.seen.bool().unflatten(-1, mapper.grid), error=mapper.error)
        maps.save(path)
    return maps, sheets, maps.evaluations if known != every else 0
