"""The leaderboard's protocols and entries: what they hold, and what makes an entry fit its protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from lightning_semrob.functional.uncertainty import mean_interval_over_shapes
from lightning_semrob.utilities.files import write_text
from lightning_semrob.utilities.messages import did_you_mean

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
SCHEMA = 2

Entry = dict[str, Any]

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "label": str,
    "network": str,
    "protocol": dict,
    "weights_sha256": str,
    "shapes_sha256": str,
    "overall": dict,
    "classes": dict,
    "verdicts": dict,
    "u0_robust": int,
    "evaluations": dict,
    "versions": dict,
    "date": str,
    "shapes": list,
}
#: What is measured of every shape, in [0, 1].
MEASURES = (
    "trusted", "failing", "trusted_top1", "failing_top1", "accuracy", "mean_score", "verified_srvr",
)  # fmt: skip
_SHAPE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "class_name": str,
    "shape_id": str,
    **dict.fromkeys(MEASURES, (float, int)),
    "verdicts": dict,
    "u0_robust": int,
    "evaluations": dict,
}


@dataclass(frozen=True)
class Protocol:
    """A configuration of evaluate.py that entries share.

    Args:
        name: of its file, with the version: ``embedded-2``.
        path: the file.
        settings: what it says.
    """

    name: str
    path: Path
    settings: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Of what it says (comments and layout do not count) and of what an entry holds."""
        text = json.dumps({"evaluate": self.settings, "schema": SCHEMA}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def confidence(self) -> float:
        """Of the verdicts and of the interval over shapes."""
        return float(self.settings["model"]["confidence"])


def load_protocol(name: str | Path) -> Protocol:
    """A protocol by its name, or by the path of its file.

    Raises:
        ValueError: there is none of this name; the file lacks a seed, a confidence, shapes or the tiles and the budget
            of its trust maps, or names networks.
    """
    path = Path(name) if Path(name).suffix == ".yaml" else FOLDER / f"{name}.yaml"
    known = protocols()
    if not path.is_file():
        hint = did_you_mean(name, known, before="") or f"known are {known}"
        raise ValueError(f"there is no protocol '{name}': {hint}")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = [
        key
        for key, found in {
            "seed_everything": "seed_everything" in settings,
            "data.shapes": "shapes" in settings.get("data", {}),
            "model.confidence": "confidence" in settings.get("model", {}),
            "trust.tiles": "tiles" in settings.get("trust", {}),
            "trust.max_evaluations": bool(settings.get("trust", {}).get("max_evaluations")),
        }.items()
        if not found
    ]
    if missing or "networks" in settings["data"]:
        wrong = f"lacks {missing}" if missing else "names data.networks, which each entry does"
        raise ValueError(f"the protocol {path} {wrong}: mend it")
    return Protocol(path.stem, path, settings)


def protocols() -> list[str]:
    """Names of the protocols of this folder."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def public_name(network: str) -> str:
    """The name of a network without the folder of its state dict: entries hold no path."""
    head, mark, options = network.partition("?")
    base, at, file = head.partition("@")
    return f"{base}{at}{Path(file).name}{mark}{options}"


def default_label(network: str) -> str:
    """The name without state dict and options: what the table calls the network where nobody says otherwise."""
    return network.partition("?")[0].partition("@")[0]


def entry_path(protocol: Protocol, label: str, results: Path = RESULTS) -> Path:
    """Where an entry is kept."""
    return results / protocol.name / f"{file_name(label)}.json"


def file_name(label: str) -> str:
    """A label as the name of a file or folder."""
    return "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in label)


def class_rows(shapes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over the shapes of each class, with their number."""
    rows: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(shape["class_name"] for shape in shapes):
        own = [shape for shape in shapes if shape["class_name"] == name]
        rows[name] = {"shapes": len(own)} | {key: sum(shape[key] for shape in own) / len(own) for key in MEASURES}
    return rows


def overall(shapes: Sequence[Mapping[str, Any]], confidence: float) -> dict[str, dict[str, float]]:
    """Mean over the classes of each measure, with its interval over shapes, as ``evaluate.py`` has it."""
    result = {}
    for name in MEASURES:
        found = mean_interval_over_shapes(*by_shape(shapes, name), confidence)
        result[name] = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return result


def by_shape(shapes: Sequence[Mapping[str, Any]], measure: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A measure of each shape (S,), and the number of its class (S,)."""
    names = list(dict.fromkeys(shape["class_name"] for shape in shapes))
    values = torch.tensor([shape[measure] for shape in shapes], dtype=torch.float64)
    return values, torch.tensor([names.index(shape["class_name"]) for shape in shapes])


def counted(shapes: Sequence[Mapping[str, Any]], field: str = "verdicts") -> dict[str, int]:
    """How often each verdict was given, or what another field of counts adds up to."""
    words = sorted({word for shape in shapes for word in shape[field]})
    return {word: sum(shape[field].get(word, 0) for shape in shapes) for word in words}


def check_entry(entry: Mapping[str, Any], protocol: Protocol) -> None:
    """Whether an entry has every field, belongs to the protocol as it is, and agrees with its own shapes.

    Raises:
        ValueError: it does not; the field is named.
    """
    label = entry.get("label", "?")
    for fields, found, where in [
        (_FIELDS, entry, "the entry"),
        *((_SHAPE_FIELDS, shape, "a shape") for shape in entry.get("shapes", [])),
    ]:
        for name, kind in fields.items():
            if not isinstance(found.get(name), kind):
                raise ValueError(f"'{label}': {where} has {name} = {found.get(name)!r}: run it again")
        if set(found) - set(fields):
            raise ValueError(f"'{label}': {where} has the unknown fields {sorted(set(found) - set(fields))}")
    if entry["schema"] != SCHEMA:
        raise ValueError(f"'{label}' has schema {entry['schema']}, this is {SCHEMA}: run it again")
    if entry["protocol"] != {"name": protocol.name, "sha256": protocol.sha256}:
        raise ValueError(
            f"'{label}' was measured by {entry['protocol']}, the protocol is now {protocol.name} {protocol.sha256}: "
            "give a changed protocol a new version, or run the entry again"
        )
    if any(set(value) & set("/\\") for value in (entry["network"].partition("@")[2],)):
        raise ValueError(f"'{label}': the network '{entry['network']}' holds a path: keep the file's name alone")
    shapes = entry["shapes"]
    expected = {
        "overall": overall(shapes, protocol.confidence),
        "classes": class_rows(shapes),
        "verdicts": counted(shapes),
        "u0_robust": sum(shape["u0_robust"] for shape in shapes),
        "evaluations": counted(shapes, "evaluations"),
    }
    wrong = [name for name, value in expected.items() if differences(entry[name], value, 1e-9)]
    if wrong:
        raise ValueError(f"'{label}': {wrong} do not follow from its shapes: run it again")


def differences(first: Any, second: Any, tolerance: float, where: str = "") -> list[str]:
    """What differs between two entries, or parts of them, numbers by more than ``tolerance``: one line each."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = list(dict.fromkeys([*first, *second]))
        parts = [(f"{where}.{name}" if where else str(name), first.get(name), second.get(name)) for name in names]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        parts = [(f"{where}[{k}]", *pair) for k, pair in enumerate(zip(first, second, strict=True))]
    else:
        numbers = all(isinstance(value, int | float) for value in (first, second))
        same = abs(first - second) <= tolerance if numbers else first == second
        return [] if same else [f"{where}: {first} became {second}"]
    return [line for name, one, other in parts for line in differences(one, other, tolerance, name)]


def read_entries(protocol: Protocol, results: Path = RESULTS) -> list[Entry]:
    """All entries of a protocol, checked, the largest trusted share by top-1 first.

    Raises:
        ValueError: one cannot be read or does not fit; its file is named.
    """
    entries: list[Entry] = []
    for path in sorted((results / protocol.name).glob("*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            check_entry(entry, protocol)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        entries.append(entry)
    return sorted(
        entries,
        key=lambda entry: (
            *(-entry["overall"][name]["estimate"] for name in ("trusted_top1", "accuracy", "trusted")),
            entry["label"],
        ),
    )


def write_entry(path: Path, entry: Entry) -> None:
    """One entry as JSON, one line a shape."""
    lines = ",\n".join(f"    {json.dumps(shape)}" for shape in entry["shapes"])
    text = json.dumps(entry | {"shapes": None}, indent=2).replace('"shapes": null', f'"shapes": [\n{lines}\n  ]')
    write_text(path, text + "\n")
