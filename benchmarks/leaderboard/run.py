"""Measure entries of the leaderboard: trust maps of every shape by top-1 and by score, then a run of evaluate.py.

    python benchmarks/leaderboard/run.py efficientnet_lite0 efficientnet_lite1    # protocol embedded-3, pictures shared
    python benchmarks/leaderboard/run.py torchvision/resnet50 --protocol reference-3
    python benchmarks/leaderboard/run.py 'open_clip/ViT-B-32?weights=openai'
    python benchmarks/leaderboard/run.py torchvision/resnet50@weights.pth --label my_resnet50
    python benchmarks/leaderboard/run.py efficientnet_lite0 --check               # anew, and compared with the entry

Writes benchmarks/leaderboard/results/PROTOCOL/LABEL.json. After a kill the same command goes on where it stopped.
``--check`` exits with 1 where a number differs by more than ``--tolerance``.

The map by top-1 is the one that ``evaluate.py --config PROTOCOL.yaml`` makes; the map by score is made from the same
pictures and a few more where it needs them.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from entries import (
    RESULTS,
    SCHEMA,
    Entry,
    Protocol,
    check_entry,
    class_rows,
    counted,
    default_label,
    differences,
    entry_path,
    file_name,
    load_protocol,
    overall,
    public_name,
    write_entry,
)

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.evaluation.job import JobConfig
from lightning_semrob.finders import VerifiedFinder
from lightning_semrob.networks import build_network
from lightning_semrob.networks.runtime import Runtime
from lightning_semrob.trust.map import trust_maps
from lightning_semrob.trust.mapper import MapTask, TrustMapper
from lightning_semrob.utilities.files import write_text

Line = dict[str, Any]

#: Of an entry, what a second run need not have.
_OWN = ("date", "versions", "shapes_sha256")


def measure(protocol: Protocol, network: str, label: str, maps: Mapping[str, Line], folder: Path) -> Entry:
    """The entry of a network: its maps, and verified regions measured in ``folder`` or taken over from there.

    Raises:
        ValueError: a shape could not be measured; and as evaluate.py.
    """
    output = folder / "job"
    words = [f"--config={protocol.path}", f"--data.networks={json.dumps([network])}", f"--output={output}"]
    summary = evaluate([*words, "--trust.max_evaluations=0", "--trainer.enable_progress_bar=false"])
    if summary["not_measured"]:
        raise ValueError(f"shapes of {protocol.name} could not be measured, {summary['not_measured']}: mend them")
    environment = environment_of(output, trust=True)  # the words of this very call
    rows = pyarrow.parquet.read_table(output / "runs.parquet").to_pylist()
    shapes = _shapes([row for row in rows if row["method"] == VerifiedFinder.name], maps)
    entry: Entry = {
        "schema": SCHEMA,
        "label": label,
        "network": public_name(network),
        "protocol": {"name": protocol.name, "sha256": protocol.sha256},
        "weights_sha256": build_network(network).weights_sha256,
        "shapes_sha256": _shapes_sha256(environment),
        "overall": overall(shapes, protocol.confidence),
        "verdicts": counted(shapes),
        "u0_robust": sum(shape["u0_robust"] for shape in shapes),
        "evaluations": counted(shapes, "evaluations"),
        "versions": json.loads((output / "versions.json").read_text(encoding="utf-8"))
        | {"platform": f"{platform.system()} {platform.machine()}"}  # without the kernel's name
        | {"runtime": Runtime(**summary["runtimes"][network]).describe()},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "classes": class_rows(shapes),
        "shapes": shapes,
    }
    check_entry(entry, protocol)
    return entry


def _shapes(rows: Sequence[dict[str, Any]], maps: Mapping[str, Line]) -> list[Line]:
    """One line a shape: what its maps say, and its runs of the verified finder."""
    result = []
    for class_name, shape_id in dict.fromkeys((row["class_name"], row["shape_id"]) for row in rows):
        own = [row for row in rows if (row["class_name"], row["shape_id"]) == (class_name, shape_id)]
        found = maps[f"{class_name}/{shape_id}"]
        spent = {
            "growing": sum(row["evaluations"] for row in own),
            "verification": sum(row["verification_evaluations"] for row in own),
        }
        result.append(
            {"class_name": class_name, "shape_id": shape_id}
            | found
            | {
                "verified_srvr": sum(row["ratio"] for row in own if row["verdict"] == "valid") / len(own),
                "verdicts": counted([{"verdicts": {row["verdict"]: 1}} for row in own]),
                "u0_robust": sum(bool(row["u0_robust"]) for row in own),
                "evaluations": found["evaluations"] | spent,
            }
        )
    return result


def make_maps(protocol: Protocol, networks: Sequence[str], folders: Sequence[Path]) -> list[dict[str, Line]]:
    """What the trust maps of every shape say, a line a shape for each network; networks share the pictures of a shape.

    The lines are kept in ``maps.json`` of each folder when they are made, and taken over from there.

    Raises:
        ValueError: a folder holds maps of other weights, or a shape cannot be loaded.
    """
    lines = [_known(network, folder) for network, folder in zip(networks, folders, strict=True)]
    settings = {name: part for name, part in protocol.settings.items() if name in ("data", "model", "trust")}
    data = settings.pop("data") | {"networks": list(networks)}
    job = JobConfig(data=data, seed=protocol.settings["seed_everything"], progress=False, **settings).make()
    job.prepare()
    environment, mapper = job.environment, TrustMapper(job.trust)
    for number, shape in enumerate(environment.shapes):
        key = f"{shape.class_name}/{shape.shape_id}"
        missing = [network for network in range(len(networks)) if key not in lines[network]]
        for network, line in zip(missing, _lines(mapper, environment, number, missing), strict=True):
            lines[network][key] = line
            write_text(folders[network] / "maps.json", json.dumps(lines[network], indent=1))
    return lines


def _known(network: str, folder: Path) -> dict[str, Line]:
    """The lines of an earlier start, of the same weights."""
    weights, identity, path = build_network(network).weights_sha256, folder / "weights_sha256", folder / "maps.json"
    if identity.exists() and identity.read_text(encoding="utf-8") != weights:
        raise ValueError(f"'{folder}' holds runs of other weights of '{network}': delete the folder")
    write_text(identity, weights)
    known: dict[str, Line] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return known


def _lines(mapper: TrustMapper, environment: SemanticEnvironment, shape: int, networks: Sequence[int]) -> list[Line]:
    """The maps of some networks of a shape by top-1 and by score, in short."""
    if not networks:
        return []
    task, settings = MapTask(shape, tuple(networks)), mapper.settings
    right = mapper.measure(environment, task)
    if not right:
        raise ValueError(f"shapes could not be measured, {environment.failures}: mend them")
    scored = trust_maps(
        mapper.function(environment, task),
        environment.space,
        torch.tensor(networks),
        right[0].map.tiles.shape,
        settings.eps,
        settings.alpha,
        settings.error,
        right[0].max_evaluations,
        environment.seed,
        streams=[record.map.stream for record in right],
    )
    lines = []
    for network, record, other in zip(networks, right, scored, strict=True):
        assert record.score == "top1"
        assert record.top1 is not None  # the views are not weighed
        lines.append(
            {
                "trusted": other.trusted_share,
                "failing": other.failing_share,
                "trusted_top1": record.map.trusted_share,
                "failing_top1": record.map.failing_share,
                "accuracy": record.top1,
                "mean_score": other.first_mean,
                "evaluations": {"maps": mapper.memory(network).computed},
            }
        )
    return lines


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
    """Write entries, or check them; 1 where a checked entry differs, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="network", help="as in --data.networks")
    parser.add_argument("--protocol", default="embedded-3", help="its name, or the path of a yaml file")
    parser.add_argument("--label", help="what the table calls a network; its name without file and options if absent")
    parser.add_argument("--check", action="store_true", help="run anew and compare with the entries")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of numbers, for --check")
    parser.add_argument("--output", type=Path, default=Path("outputs/leaderboard"), help="where runs are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where entries are kept")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    protocol = load_protocol(options.protocol)
    networks: list[str] = options.networks
    if options.label is not None and len(networks) > 1:
        raise ValueError("--label is for one network: run it alone")
    labels = [options.label or default_label(network) for network in networks]
    paths = [entry_path(protocol, label, options.results) for label in labels]
    known = [json.loads(path.read_text(encoding="utf-8")) if path.exists() else None for path in paths]
    for network, path, old in zip(networks, paths, known, strict=True):
        if options.check and old is None:
            raise ValueError(f"there is no entry {path} to check: run it without --check")
        if old is not None and old["network"] != public_name(network):
            raise ValueError(f"{path} is the entry of '{old['network']}': give another --label")
    top = options.output / protocol.name / ("check" if options.check else "entry")
    folders = [top / file_name(label) for label in labels]
    maps = make_maps(protocol, networks, folders)
    different = False
    for network, label, path, old, lines, folder in zip(networks, labels, paths, known, maps, folders, strict=True):
        entry = measure(protocol, network, label, lines, folder)
        if options.check:
            shutil.rmtree(folder)  # the next check measures anew
            found = compare(old, entry, options.tolerance)
            print("\n".join(found) if found else f"\n{path}: the same to {options.tolerance:g}")
            different |= bool(found)
            continue
        write_entry(path, old if old is not None and old == entry | {"date": old["date"]} else entry)
        shares = [f"{entry['overall'][name]['estimate']:.3f}" for name in ("trusted_top1", "trusted", "failing")]
        print(f"\n{path}: trusted by top-1 {shares[0]}, by score {shares[1]}; failing by score {shares[2]}")
    return int(different)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
