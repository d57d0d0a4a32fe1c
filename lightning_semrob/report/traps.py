"""Traps as a CSV file and as pictures of their worst views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.maps.traps import Trap
from lightning_semrob.networks.labels import labels_by_name
from lightning_semrob.report.figures import plot_contact_sheet, save_figure
from lightning_semrob.report.page.pictures import pictures
from lightning_semrob.utilities.files import write_csv


def save_traps(path: Path, traps: Sequence[Trap], names: Sequence[str]) -> Path:
    """Write traps as a CSV file; returns its path."""
    columns: dict[str, list[str] | list[float]] = {
        "kind": [trap.kind for trap in traps],
        "networks": [" ".join(trap.networks) for trap in traps],
        "class_name": [trap.class_name for trap in traps],
        "shape": [trap.shape for trap in traps],
    }
    for side, attribute in (("a", "a"), ("b", "b"), ("worst", "worst_point")):
        for k, name in enumerate(names):
            columns[f"{side}_{name}"] = [float(getattr(trap, attribute)[k]) for trap in traps]
    for column in ("volume", "mean", "depth", "worst_score"):
        columns[column] = [getattr(trap, column) for trap in traps]
    columns["adversarial_verdict"] = [trap.verdict for trap in traps]
    write_csv(path, pa.table(columns))
    return path


def worst_view(trap: Trap, environment: SemanticEnvironment, maps: SemanticMaps) -> Tensor:
    """The rendering (1, 3, H, W) of the worst view of a trap; one of a class shows its first shape."""
    same = [number for number, spec in enumerate(environment.shapes) if spec.class_name == trap.class_name]
    shape = next((number for number in same if environment.shapes[number].shape_id == trap.shape), same[0])
    known = dict(maps.fixed) | dict(zip(maps.axes.names, trap.worst_point.tolist(), strict=True))
    default = environment.renderer.semantic_parameters
    values = [known.get(name, default[name].default) for name in environment.space.names]
    return pictures(environment, shape, torch.tensor([values], dtype=torch.float64))


def draw_traps(
    path: Path, maps: SemanticMaps, traps: Sequence[Trap], environment: SemanticEnvironment, most: int = 24
) -> Path:
    """Draw the worst views of the first traps on a sheet; the environment is that of the maps."""
    environment.setup()
    images, labels, names_of = [], [], labels_by_name(maps.networks)
    for trap in traps[:most]:
        images.append(worst_view(trap, environment, maps)[0].cpu())
        who = names_of[trap.networks[0]] if len(trap.networks) == 1 else f"all {len(trap.networks)} networks"
        labels.append(f"{trap.kind}, {trap.class_name}\n{who}\nf = {trap.worst_score:.2f}")
    return save_figure(plot_contact_sheet(torch.stack(images), labels, title="worst views", cell=1.9), path)
