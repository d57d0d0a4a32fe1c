"""``semrob authors``: the published results of the paper, by its formula and by ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_semrob.commands.parsing import Parser
from lightning_semrob.functional.betting import eq2_start
from lightning_semrob.maps.authors import CLASSES, METHODS, AuthorsResults, load_results, paper_arrays
from lightning_semrob.maps.authors_boxes import Judgement, judge
from lightning_semrob.report.tables import format_table
from lightning_semrob.utilities.files import write_atomically
from lightning_semrob.utilities.messages import percent

#: SRVR in percent as the paper prints it (Table 2 of the first version), over 100 shapes a network.
PRINTED: Mapping[str, float] = {"AlexNet": 8.92, "VGG": 9.88, "ResNet50": 16.88, "Inceptionv3": 7.92}

#: Boxes above this share of the space are worth a verdict of their own: a tiny box at a good point passes trivially.
LARGE = 0.005


def _of_networks(
    results: AuthorsResults, label: str, values: Sequence[Tensor], rows: Tensor | None = None
) -> list[str]:
    """A line of a table: the mean of every network over methods and runs."""
    stacked = torch.stack(list(values))
    chosen = torch.ones(len(results), dtype=torch.bool) if rows is None else rows
    return [
        label,
        *(percent(float(stacked[:, chosen & (results.network == k)].nanmean())) for k in range(len(results.networks))),
    ]


def _verdict_lines(results: AuthorsResults, found: Mapping[str, Judgement]) -> list[list[str]]:
    lines = []
    for method, one in found.items():
        judged = ~one.mean.isnan()
        for k, network in enumerate([*results.networks, "all"]):
            rows = judged & ((results.network == k) | (network == "all"))
            large = rows & (one.ours > LARGE)
            counts = [rows, rows & one.leaves, rows & one.valid, large, large & (one.mean >= 0.5), large & one.valid]
            lines.append([method, network, *(str(int(count.sum())) for count in counts)])
    return lines


def _say_progress(done: int, total: int) -> None:
    """Show progress: files with long traces are slow to read."""
    print(f"\rreading {done + 1} of {total}", end="" if done + 1 < total else "\n", file=sys.stderr)


def main(args: Sequence[str]) -> dict[str, Judgement]:
    """Read the folder and print the tables; returns the judgement of every method."""
    parser = Parser(
        "authors",
        "The paper's own results (map.pt and optim.pt of its repository) by its formula and by ours. "
        "Nothing in the files is executed.",
    )
    parser.add_argument("folder", type=str, help="the authors' repository, or its folder 'checkpoint'")
    parser.add_argument("--eps_m", type=float, default=0.3, help="Eq. 2: mean of f at least 1 - eps_m")
    parser.add_argument("--eps_v", type=float, default=0.05, help="Eq. 2: variance of f at most eps_v")
    parser.add_argument("--objects", type=int, help="read the first so many objects of each class alone")
    parser.add_argument("--npz", type=str, help="file for the maps, bounds and traces as arrays (paper_maps.npz)")
    config = parser.parse_args(list(args))
    eq2_start(1, config.eps_m, config.eps_v)  # raises on thresholds that cannot be met
    results = load_results(Path(config.folder), _say_progress if sys.stderr.isatty() else None, config.objects)
    found = {method: judge(results, method, config.eps_m, config.eps_v) for method in METHODS.values()}
    print_tables(results, found, config.eps_m, config.eps_v)
    if config.npz:
        save_arrays(results, Path(config.npz))
    return found


def save_arrays(results: AuthorsResults, path: Path) -> None:
    """Write :func:`~lightning_semrob.maps.authors.paper_arrays` as a compressed npz file, and say what it holds."""
    arrays: dict[str, Any] = {**paper_arrays(results)}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)
    objects = ", ".join(map(str, arrays["objects"]))
    print(f"\n{path}: {len(arrays['networks'])} networks, {len(arrays['classes'])} classes, objects {objects}")


def print_tables(results: AuthorsResults, found: Mapping[str, Judgement], eps_m: float, eps_v: float) -> None:
    """SRVR by every formula, by class and by initial point, and the verdicts of Eq. 2."""
    networks, every = list(results.networks), list(found.values())
    shapes = len(torch.stack([results.class_number, results.object_number]).unique(dim=1).T)
    print(
        f"{len(networks)} networks, {len(results.class_numbers)} classes, {shapes} objects; {len(results.maps)} maps, "
        f"{len(results)} runs a method"
    )
    for method, one in found.items():
        lost = int((one.theirs.isnan() & ~results.absent[method]).sum())
        if lost:
            print(f"{method}: {lost} runs end with bounds that are not finite; the paper's formula leaves them out")
    for note in results.notes:
        print(f"note: {note}")

    holds = f"Eq. 2 holds on the map (mean >= {1 - eps_m:g}, variance <= {eps_v:g})"
    known = results.map_index >= 0
    valid = [torch.where(one.valid, one.ours, 0.0).where(known & ~one.ours.isnan(), torch.nan) for one in every]
    lines = [
        ["printed in the paper, all its shapes", *(f"{PRINTED[n]:.2f}" if n in PRINTED else "-" for n in networks)]
    ]
    lines.append(_of_networks(results, "theirs: min(|prod(b - a)|, Vol) / Vol", [one.theirs for one in every]))
    lines += [_of_networks(results, f"  {method}", [one.theirs]) for method, one in found.items()]
    lines.append(_of_networks(results, "inside the space, azimuth cut at 0 and 360", [one.unwrapped for one in every]))
    lines.append(_of_networks(results, "ours: inside the space, azimuth periodic", [one.ours for one in every]))
    lines += [_of_networks(results, f"  {method}", [one.ours]) for method, one in found.items()]
    lines.append(_of_networks(results, f"ours, and {holds}", valid))
    print("\nSRVR in percent, mean over classes, objects, initial points and the three methods")
    print(format_table(["formula", *networks], lines, left=1))

    for title, formula in (("theirs", [one.theirs for one in every]), ("ours", [one.ours for one in every])):
        lines = []
        for number in results.class_numbers:
            name = CLASSES[number] if number < len(CLASSES) else f"class {number}"
            lines.append(_of_networks(results, name, formula, results.class_number == number))
        for point in results.point.unique().tolist():
            chosen = results.point == point
            u0 = results.u0[chosen].unique(dim=0)
            place = f" ({u0[0, 0]:g}, {u0[0, 1]:g})" if len(u0) == 1 else ""
            lines.append(_of_networks(results, f"initial point {point}{place}", formula, chosen))
        print(f"\nSRVR in percent by class and by initial point, {title}")
        print(format_table(["", *networks], lines, left=1))

    print(f"\nBoxes, cut to the space, for which {holds};")
    print(f"large ones fill more than {100 * LARGE:g} % of the space")
    header = ["method", "network", "boxes", "leave the space", "hold", "large", "mean >= 0.5", "hold"]
    print(format_table(header, _verdict_lines(results, found), left=2))
