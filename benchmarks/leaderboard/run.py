"""Measure an entry of the leaderboard: one run of evaluate.py by a protocol, then accuracies of the same shapes.

    python benchmarks/leaderboard/run.py efficientnet_lite0                       # protocol embedded-2
    python benchmarks/leaderboard/run.py torchvision/resnet50 --protocol reference-2
    python benchmarks/leaderboard/run.py 'open_clip/ViT-B-32?weights=openai'
    python benchmarks/leaderboard/run.py torchvision/resnet50@weights.pth --label my_resnet50
    python benchmarks/leaderboard/run.py efficientnet_lite0 --check               # anew, and compared with the entry

Writes benchmarks/leaderboard/results/PROTOCOL/LABEL.json. After a kill the same command goes on where it stopped.
``--check`` exits with 1 where a number differs by more than ``--tolerance``.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from entries import (
    RESULTS,
    SCHEMA,
    VIEWS,
    Entry,
    Protocol,
    check_entry,
    class_rows,
    counted,
    default_label,
    differences,
    entry_path,
    file_name,
    interval,
    load_protocol,
    overall,
    public_name,
    write_entry,
)

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.finders import VerifiedFinder
from lightning_semrob.networks import build_network
from lightning_semrob.utilities.files import write_text

#: Of an entry, what a second run need not have.
_OWN = ("date", "versions", "shapes_sha256")


def measure(protocol: Protocol, network: str, label: str, output: Path) -> Entry:
    """The entry of a network, measured in ``output`` or taken over from there.

    Raises:
        ValueError: a shape could not be measured, or ``output`` holds runs of other weights; and as evaluate.py.
    """
    weights = build_network(network).weights_sha256
    identity = output / ".weights_sha256"  # hidden: a job wants a folder of its own
    if identity.exists() and identity.read_text(encoding="utf-8") != weights:
        raise ValueError(f"'{output}' holds runs of other weights of '{network}': delete the folder")
    write_text(identity, weights)
    words = [f"--config={protocol.path}", f"--data.networks={json.dumps([network])}", f"--output={output}"]
    # Entries have no trust maps.
    summary = evaluate([*words, "--trust.max_evaluations=0", "--trainer.enable_progress_bar=false"])
    if summary["not_measured"]:
        raise ValueError(f"shapes of {protocol.name} could not be measured, {summary['not_measured']}: mend them")
    environment = environment_of(output, trust=True)  # the words of this very call
    rows = pyarrow.parquet.read_table(output / "runs.parquet").to_pylist()
    shapes = _shapes([row for row in rows if row["method"] == VerifiedFinder.name], _views(environment, output))
    classes = class_rows(shapes)
    means = overall(classes)
    low, high = interval(shapes, protocol.confidence)
    entry: Entry = {
        "schema": SCHEMA,
        "label": label,
        "network": public_name(network),
        "protocol": {"name": protocol.name, "sha256": protocol.sha256},
        "weights_sha256": weights,
        "shapes_sha256": _shapes_sha256(environment),
        "verified_srvr": {
            "estimate": means["verified_srvr"],
            "low": low,
            "high": high,
            "confidence": protocol.confidence,
            "shapes": len(shapes),
        },
        "accuracy": {"u0": means["accuracy_u0"], "space": means["accuracy_space"], "mean_score": means["mean_score"]},
        "verdicts": counted(shapes),
        "u0_robust": sum(shape["u0_robust"] for shape in shapes),
        "evaluations": {
            "growing": summary["evaluations"],
            "verification": summary["verification_evaluations"],
            "accuracy": len(environment.shapes) * (VIEWS + environment.points_per_shape),
        },
        "versions": json.loads((output / "versions.json").read_text(encoding="utf-8"))
        | {"platform": f"{platform.system()} {platform.machine()}"},  # without the kernel's name
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "classes": classes,
        "shapes": shapes,
    }
    check_entry(entry, protocol)
    return entry


def _shapes(rows: Sequence[dict[str, Any]], views: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """One line a shape: its runs of the verified finder, and what its views gave."""
    result = []
    for (class_name, shape_id), found in zip(
        dict.fromkeys((row["class_name"], row["shape_id"]) for row in rows), views, strict=True
    ):
        own = [row for row in rows if (row["class_name"], row["shape_id"]) == (class_name, shape_id)]
        valid = sum(row["ratio"] for row in own if row["verdict"] == "valid")
        result.append(
            {
                "class_name": class_name,
                "shape_id": shape_id,
                "verified_srvr": valid / len(own),
                "verdicts": counted([{"verdicts": {row["verdict"]: 1}} for row in own]),
                "u0_robust": sum(bool(row["u0_robust"]) for row in own),
            }
            | found
        )
    return result


def _views(environment: SemanticEnvironment, output: Path) -> list[dict[str, float]]:
    """Top-1 rate at the initial points, over Sobol views of the space, and the mean score of these, a shape each.

    Each shape is kept in ``views.json`` when it is done.
    """
    path = output / "views.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    points = environment.points_per_shape
    for number, shape in enumerate(environment.shapes):
        if (key := f"{shape.class_name}/{shape.shape_id}") in known:
            continue
        u0 = environment.u0[number * points : (number + 1) * points]  # one network: rows are shape by shape
        u = torch.cat([u0, environment.space.sobol(VIEWS, environment.seed + number)])[None]
        f = environment.rendered_function(0, number)
        score, hit = (part[0] for part in f.scores_and_hits(u))
        known[key] = {
            "accuracy_u0": float(hit[:points].mean()),
            "accuracy_space": float(hit[points:].mean()),
            "mean_score": float(score[points:].mean()),
        }
        write_text(path, json.dumps(known, indent=1))
    return [known[f"{shape.class_name}/{shape.shape_id}"] for shape in environment.shapes]


def _shapes_sha256(environment: SemanticEnvironment) -> str:
    """Of what was rendered and of the right answers: ids, targets, vertices, faces and colours, in order."""
    digest = hashlib.sha256()
    for number, shape in enumerate(environment.shapes):
        mesh = environment.mesh(number)
        digest.update(f"{shape.class_name} {shape.shape_id} {shape.target}\n".encode())
        for tensor in (mesh.vertices, mesh.faces, mesh.corner_colors, *mesh.textures):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def compare(old: Entry, new: Entry, tolerance: float) -> list[str]:
    """What differs between an entry and its second run; notes on shapes and versions are printed, not counted."""
    for name in ("shapes_sha256", "versions"):
        for line in differences(old[name], new[name], 0, name):
            print(f"note: {line}")
    first, second = ({key: value for key, value in entry.items() if key not in _OWN} for entry in (old, new))
    return differences(first, second, tolerance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write an entry, or check one; 1 where a checked entry differs, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="any name that evaluate.py takes in --data.networks")
    parser.add_argument("--protocol", default="embedded-2", help="embedded-2, reference-2, or the path of a yaml file")
    parser.add_argument("--label", help="what the table calls the network; its name without file and options if absent")
    parser.add_argument("--check", action="store_true", help="run anew and compare with the entry")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of numbers, for --check")
    parser.add_argument("--output", type=Path, default=Path("outputs/leaderboard"), help="where runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where entries are kept")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    protocol = load_protocol(options.protocol)
    label = options.label or default_label(options.network)
    path = entry_path(protocol, label, options.results)
    old: Entry | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if options.check and old is None:
        raise ValueError(f"there is no entry {path} to check: run it without --check")
    if old is not None and old["network"] != public_name(options.network):
        raise ValueError(f"{path} is the entry of '{old['network']}': give another --label")
    folder = options.output / protocol.name / ("check" if options.check else "entry") / file_name(label)
    entry = measure(protocol, options.network, label, folder)
    if options.check:
        assert old is not None
        shutil.rmtree(folder)  # the next check measures anew
        lines = compare(old, entry, options.tolerance)
        print("\n".join(lines) if lines else f"\n{path}: the same to {options.tolerance:g}")
        return int(bool(lines))
    if old is not None and old == entry | {"date": old["date"]}:
        entry = old
    write_entry(path, entry)
    found = entry["verified_srvr"]
    print(f"\n{path}: verified SRVR {found['estimate']:.4f} [{found['low']:.4f}, {found['high']:.4f}]")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
