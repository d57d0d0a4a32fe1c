"""The folder of results that the paper's authors published: maps and bounds, read without running anything from it.

The layout, from the code in their repository (github.com/ajhamdi/semantic-robustness; `ops.py` writes, `models.py` and
`utils.py` read it): ``checkpoint/<network>/<class number>/<object number>/`` with

- ``map.pt``: a dictionary of ``z`` (elevations, azimuths), the softmax score of the true class, at ``xx`` (azimuth) and
  ``yy`` (elevation), degrees, and ``shape_id``;
- ``optim.pt``: a dictionary of ``initial_point``, a list of (azimuth, elevation), and for each of ``naive``, ``OIR_B``
  and ``OIR_W`` a dictionary of ``regions``, the final boxes, one an initial point, and ``optim_trace``, for each
  initial point the bounds (a, b) before every update; ``shape_id`` in older files.

Both are pickles; :mod:`lightning_semrob.maps.authors_pickle` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.maps.authors_pickle import RefusedFileError as RefusedFileError
from lightning_semrob.maps.authors_pickle import read_pt, rows

#: Their names of the methods, and ours.
METHODS: Final[Mapping[str, str]] = {"naive": "naive", "OIR_B": "oir_b", "OIR_W": "oir_w"}

#: Classes by number (``object_list`` of their ``optim.py``).
CLASSES: Final = ("aeroplane", "bathtub", "bench", "bottle", "chair", "cup", "piano", "rifle", "vase", "toilet")

#: Updates before which the bounds of a trace are kept.
TRACE_STEPS: Final = (*range(0, 600, 50), 599)

#: Networks in the order of the paper's table; others follow by name.
_ORDER: Final = ("AlexNet", "VGG", "ResNet50", "Inceptionv3")


@dataclass(frozen=True)
class AuthorsResults:
    """What the folder holds. M maps, R runs of each method (network, class, object and initial point).

    Args:
        networks: names, by folder.
        class_numbers: the classes that are there.
        maps: (M, elevations, azimuths) float64, azimuth 0 to 360 without its end, elevation -10 to 89.
        shape_ids: of each map, empty where its file does not say.
        bounds: method -> (R, 2, 2) float64: a or b, azimuth or elevation, degrees; NaN where a run is absent.
        traces: method -> (R, 13, 2, 2) float64, the bounds before the updates ``TRACE_STEPS``; NaN where not kept.
        absent: method -> (R,) bool.
        u0: (R, 2) azimuth and elevation, degrees.
        network, class_number, object_number, point: (R,) int64; ``network`` is an index into ``networks``.
        map_index: (R,) int64, -1 where there is no map, or one of another shape.
        map_beside: (R,) int64, the map in the same folder, whatever its shape; -1 where there is none.
        notes: what is missing or does not fit, in words.
    """

    networks: tuple[str, ...]
    class_numbers: tuple[int, ...]
    maps: Tensor
    shape_ids: tuple[str, ...]
    bounds: Mapping[str, Tensor]
    traces: Mapping[str, Tensor]
    absent: Mapping[str, Tensor]
    u0: Tensor
    network: Tensor
    class_number: Tensor
    object_number: Tensor
    point: Tensor
    map_index: Tensor
    map_beside: Tensor
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.u0)


def load_results(
    folder: Path, progress: Callable[[int, int], None] | None = None, objects: int | None = None
) -> AuthorsResults:
    """Read every ``map.pt`` and ``optim.pt`` of the folder, or of ``checkpoint`` in it, of the first ``objects``.

    ``progress`` is told how many objects are read, and of how many.

    Raises:
        ValueError: no such files, a file of another form, maps on different or unknown grids.
        RefusedFileError: a file that holds something else.
    """
    if objects is not None and objects < 1:
        raise ValueError(f"objects must be a positive number, got {objects}")
    places = [place for place in _places(folder) if objects is None or int(place.parts[-1]) < objects]
    networks = tuple(dict.fromkeys(place.parts[-3] for place in places))
    maps: list[Tensor] = []
    shape_ids: list[str] = []
    rows: list[tuple[int, int, int, int, int, int]] = []
    boxes: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in METHODS.values()}
    traces: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in METHODS.values()}
    absent: dict[str, list[bool]] = {name: [] for name in METHODS.values()}
    points: list[np.ndarray[Any, Any]] = []
    notes: list[str] = []
    for count, place in enumerate(places):
        if progress is not None:
            progress(count, len(places))
        name = "/".join(place.parts[-3:])
        map_file, bounds_file = place / "map.pt", place / "optim.pt"
        if not bounds_file.is_file():
            notes.append(f"{name} has no optim.pt")
            continue
        u0, regions, steps, shape = _bounds(bounds_file)
        index = beside = -1
        if not map_file.is_file():
            notes.append(f"{name} has no map.pt")
        else:
            scores, map_shape = _map(map_file)
            if maps and scores.shape != maps[0].shape:
                raise ValueError(f"'{map_file}' has {tuple(scores.shape)} scores, other maps {tuple(maps[0].shape)}")
            beside = len(maps)
            maps.append(scores)
            shape_ids.append(map_shape or shape or "")
            if shape is None or map_shape is None or shape == map_shape:
                index = beside
            else:
                notes.append(f"{name}: the map is of shape {map_shape}, the bounds of {shape}")
        key = networks.index(place.parts[-3]), int(place.parts[-2]), int(place.parts[-1])
        for number, point in enumerate(u0):
            rows.append((*key, number, index, beside))
            points.append(point)
            for method, ends in regions.items():
                boxes[method].append(ends[number])
                traces[method].append(steps[method][number])
        for method in boxes:
            absent[method] += [method not in regions] * len(u0)
            if method not in regions:
                notes.append(f"{name} has no {method}")
                boxes[method] += [np.full((2, 2), np.nan)] * len(u0)
                traces[method] += [np.full((len(TRACE_STEPS), 2, 2), np.nan)] * len(u0)
    if not rows:
        raise ValueError(f"'{folder}' holds maps but no optim.pt: there is nothing to put into a table")
    network, class_number, object_number, point_number, map_index, map_beside = torch.tensor(rows).unbind(-1)
    bounds = {method: torch.from_numpy(np.stack(values)) for method, values in boxes.items()}
    return AuthorsResults(
        networks=networks,
        class_numbers=tuple(sorted({row[1] for row in rows})),
        maps=torch.stack(maps) if maps else torch.zeros(0, 2, 2, dtype=torch.float64),
        shape_ids=tuple(shape_ids),
        bounds=bounds,
        traces={method: torch.from_numpy(np.stack(values)) for method, values in traces.items()},
        absent={method: torch.tensor(values) for method, values in absent.items()},
        u0=torch.from_numpy(np.stack(points)),
        network=network,
        class_number=class_number,
        object_number=object_number,
        point=point_number,
        map_index=map_index,
        map_beside=map_beside,
        notes=tuple(notes),
    )


def _places(folder: Path) -> list[Path]:
    """The folders network/class/object that hold one of the files, in order."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder '{folder}': give the authors' repository, or its folder 'checkpoint'")
    root = folder / "checkpoint" if (folder / "checkpoint").is_dir() else folder

    def found() -> Iterator[Path]:
        for file in (*root.glob("*/*/*/map.pt"), *root.glob("*/*/*/optim.pt")):
            if file.parts[-2].isdecimal() and file.parts[-3].isdecimal():
                yield file.parent

    places = sorted(set(found()), key=lambda place: (place.parts[-3], int(place.parts[-2]), int(place.parts[-1])))
    if not places:
        raise ValueError(
            f"'{folder}' holds no <network>/<class number>/<object number>/map.pt or optim.pt: give the authors' "
            "repository, or its folder 'checkpoint'"
        )
    return places


def _shape_id(found: Mapping[str, Any]) -> str | None:
    name = found.get("shape_id")
    if isinstance(name, tuple):  # one version stored (folder, id)
        name = name[-1]
    return None if name is None else str(name)


_Arrays = dict[str, np.ndarray[Any, Any]]


def _bounds(file: Path) -> tuple[np.ndarray[Any, Any], _Arrays, _Arrays, str | None]:
    """Initial points (P, 2), bounds (P, 2, 2) and traces (P, 13, 2, 2) by method, the shape's id, of an optim.pt."""
    found = read_pt(file)
    try:
        u0 = rows(found["initial_point"])
        if u0.ndim != 2 or u0.shape[1] != 2:
            raise ValueError(f"initial_point is {u0.shape}, not points of azimuth and elevation")
        result, traces = {}, {}
        for theirs, ours in METHODS.items():
            if theirs in found:
                regions = found[theirs]["regions"]
                if len(regions) != len(u0):
                    raise ValueError(f"{theirs} has {len(regions)} regions for {len(u0)} initial points")
                result[ours] = np.stack([region.bounds for region in regions])
                if result[ours].shape != (len(u0), 2, 2):
                    raise ValueError(f"{theirs} has bounds of the shape {result[ours].shape}")
                traces[ours] = _trace(found[theirs].get("optim_trace", []), len(u0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"'{file}' is not a table of bounds of the authors: {reason}") from error
    return u0, result, traces, _shape_id(found)


def _trace(found: Sequence[Sequence[Any]], points: int) -> np.ndarray[Any, Any]:
    """Bounds (P, 13, 2, 2) before the updates ``TRACE_STEPS``."""
    kept = np.full((points, len(TRACE_STEPS), 2, 2), np.nan)
    for point, updates in enumerate(found[:points]):
        for k, step in enumerate(TRACE_STEPS):
            if step < len(updates):
                kept[point, k] = rows(updates[step])
    return kept


def _map(file: Path) -> tuple[Tensor, str | None]:
    """Scores (elevations, azimuths) float64 and the shape's id, of a map.pt."""
    found = read_pt(file)
    try:
        scores, xx, yy = (rows(found[key]) for key in ("z", "xx", "yy"))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"'{file}' is not a map of the authors: {reason}") from error
    if not (scores.ndim == 2 and scores.shape == xx.shape == yy.shape and min(scores.shape) > 1):
        raise ValueError(f"'{file}' is not a map of the authors: z, xx, yy are {scores.shape}, {xx.shape}, {yy.shape}")
    azimuth = np.arange(scores.shape[1]) * 360 / scores.shape[1]
    elevation = np.linspace(-10, 89, scores.shape[0])
    if not (np.allclose(xx, azimuth[None]) and np.allclose(yy, elevation[:, None])):
        raise ValueError(
            f"'{file}' has azimuths {xx.min():g} to {xx.max():g} and elevations {yy.min():g} to {yy.max():g}: only "
            "even grids of 0 to 360 (without its end) by -10 to 89 degrees are read"
        )
    return torch.from_numpy(scores), _shape_id(found)


def paper_arrays(results: AuthorsResults) -> dict[str, np.ndarray[Any, Any]]:
    """The results as even arrays, which the benchmarks read from ``paper_maps.npz``: N networks in the order of the
    paper's table, C classes, the O objects that are complete for all of them, P initial points.

    Returns:
        ``maps`` (N, C, O, elevations, azimuths) float32, the map in an object's folder whatever its shape;
        ``bounds_naive``, ``bounds_oir_b``, ``bounds_oir_w`` (N, C, O, P, 2, 2) and ``trace_…`` (N, C, O, P, 13, 2, 2)
        float64, a or b and azimuth or elevation, degrees; ``initial_points`` (P, 2), ``azimuth_deg``,
        ``elevation_deg``; the labels ``networks``, ``classes``, ``objects`` and ``shape_ids`` (C, O).

    Raises:
        ValueError: no object is complete, or the initial points differ.
    """
    order = sorted(
        range(len(results.networks)),
        key=lambda k: (_ORDER.index(results.networks[k]) if results.networks[k] in _ORDER else 99, results.networks[k]),
    )
    points = int(results.point.max()) + 1
    absent = torch.stack(list(results.absent.values())).any(0) | (results.map_beside < 0)
    keys = torch.stack([results.network, results.class_number, results.object_number, results.point], 1).tolist()
    row = {tuple(key): k for k, key in enumerate(keys) if not absent[k]}
    objects = [
        number
        for number in sorted({key[2] for key in row})
        if all((k, c, number, p) in row for k in order for c in results.class_numbers for p in range(points))
    ]
    if not objects:
        raise ValueError("no object has a map and the boxes of three methods for every network and class")
    shape = len(order), len(results.class_numbers), len(objects), points
    rows = torch.tensor(
        [row[k, c, o, p] for k in order for c in results.class_numbers for o in objects for p in range(points)]
    ).reshape(shape)
    u0 = results.u0[rows]
    if not bool((u0 == u0[0, 0, 0]).all()):
        raise ValueError("the objects do not have the same initial points: there are no even arrays of them")
    beside = results.map_beside[rows[..., 0]]
    own = results.map_index[rows[..., 0]] >= 0  # an id is that of the first network whose map and bounds agree on it
    chosen = beside.gather(0, own.long().argmax(0, keepdim=True))[0]
    elevations, azimuths = results.maps.shape[1:]
    arrays = {
        "maps": results.maps[beside].float().numpy(),
        "azimuth_deg": np.arange(azimuths) * 360 / azimuths,
        "elevation_deg": np.linspace(-10, 89, elevations),
        "networks": np.array([results.networks[k] for k in order]),
        "classes": np.array([CLASSES[c] if c < len(CLASSES) else f"class {c}" for c in results.class_numbers]),
        "objects": np.array(objects),
        "shape_ids": np.array([[results.shape_ids[k] for k in line] for line in chosen.tolist()]),
        "initial_points": u0[0, 0, 0].numpy(),
    }
    for method in results.bounds:
        arrays[f"bounds_{method}"] = results.bounds[method][rows].numpy()
        arrays[f"trace_{method}"] = results.traces[method][rows].numpy()
    return arrays
