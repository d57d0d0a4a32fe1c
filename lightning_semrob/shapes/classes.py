"""The class table: class names and ShapeNet synsets to ImageNet-1k indices."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_semrob.shapes.embedded.draw import REGISTRY
from lightning_semrob.shapes.embedded.procedural import ALL_CLASSES
from lightning_semrob.utilities.messages import did_you_mean


@dataclass(frozen=True)
class ClassEntry:
    """The indices that count as right for a class, and its ShapeNet synsets (eight digits each)."""

    indices: tuple[int, ...]
    synsets: tuple[str, ...] = ()


ClassTable = Mapping[str, ClassEntry]

CLASS_TABLE: dict[str, ClassEntry] = {
    # The ten classes of the paper, with the indices that its authors used.
    "aeroplane": ClassEntry((404,), ("02691156",)),
    "bathtub": ClassEntry((435,), ("02808440",)),
    "bench": ClassEntry((703,), ("02828884",)),
    "bottle": ClassEntry((898,), ("02876657",)),
    "chair": ClassEntry((559,), ("03001627",)),
    "cup": ClassEntry((968,)),
    "piano": ClassEntry((579,), ("03928116",)),
    "rifle": ClassEntry((413,), ("04090263",)),
    "vase": ClassEntry((883,), ("03593526",)),
    "toilet": ClassEntry((861,)),
    # The other classes of ShapeNetCore that ImageNet-1k has.
    "ashcan": ClassEntry((412,), ("02747177",)),
    "bag": ClassEntry((414, 636, 748), ("02773838",)),
    "basket": ClassEntry((588, 790), ("02801938",)),
    "bed": ClassEntry((564, 831), ("02818832",)),
    "birdhouse": ClassEntry((448,), ("02843684",)),
    "bookshelf": ClassEntry((453,), ("02871439",)),
    "bowl": ClassEntry((659, 809), ("02880940",)),
    "bus": ClassEntry((654, 779, 874), ("02924116",)),
    "cabinet": ClassEntry((493, 495, 894), ("02933112",)),
    "camera": ClassEntry((732, 759), ("02942699",)),
    "car": ClassEntry((436, 468, 511, 627, 656, 661, 751, 817), ("02958343",)),
    "cellphone": ClassEntry((487,), ("02992529",)),
    "clock": ClassEntry((409, 530, 892), ("03046257",)),
    "computer_keyboard": ClassEntry((508,), ("03085013",)),
    "dishwasher": ClassEntry((534,), ("03207941",)),
    "display": ClassEntry((664, 782, 851), ("03211117",)),
    "file_cabinet": ClassEntry((553,), ("03337140",)),
    "flowerpot": ClassEntry((738,), ("03991062",)),
    "guitar": ClassEntry((402, 546), ("03467517",)),
    "helmet": ClassEntry((518, 560), ("03513137",)),
    "knife": ClassEntry((499, 623), ("03624134",)),
    "lamp": ClassEntry((619, 846), ("03636649",)),
    "laptop": ClassEntry((620, 681), ("03642806",)),
    "loudspeaker": ClassEntry((632,), ("03691459",)),
    "microphone": ClassEntry((650,), ("03759954",)),
    "microwave": ClassEntry((651,), ("03761084",)),
    "motorcycle": ClassEntry((665, 670), ("03790512",)),
    "mug": ClassEntry((504,), ("03797390",)),
    "pillow": ClassEntry((721,), ("03938244",)),
    "pistol": ClassEntry((763,), ("03948459",)),
    "postbox": ClassEntry((637,), ("03710193",)),
    "printer": ClassEntry((742,), ("04004475",)),
    "remote_control": ClassEntry((761,), ("04074963",)),
    "rocket": ClassEntry((657, 744), ("04099429",)),
    "sofa": ClassEntry((831,), ("04256520",)),
    "stove": ClassEntry((827,), ("04330267",)),
    "table": ClassEntry((526, 532), ("04379243",)),
    "telephone": ClassEntry((487, 528, 707), ("04401088",)),
    "train": ClassEntry((466, 547, 705, 820), ("04468005",)),
    "washer": ClassEntry((897,), ("04554684",)),
    "watercraft": ClassEntry((510, 554, 628, 724, 780, 814, 914), ("04530566",)),
}
"""Class name (lower case, underscores) -> entry; :func:`register_class` adds to it."""

CLASS_TABLE.update({name: ClassEntry(REGISTRY[name].imagenet) for name in ALL_CLASSES if name not in CLASS_TABLE})


def class_key(name: str) -> str:
    """A class name as the table writes it: lower case, underscores."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def register_class(name: str, indices: int | Iterable[int], synset: str | Sequence[str] | None = None) -> None:
    """Add a class to the table, or replace it; spaces and hyphens of its name become underscores.

    ``indices`` are one or several outputs of the network that count as right, ``synset`` one or several ShapeNet ids.
    ValueError for no index, or one that is not a whole number from 0.
    """
    CLASS_TABLE[class_key(name)] = _entry(name, indices, synset)


def _entry(name: str, indices: int | Iterable[int], synset: str | Sequence[str] | None) -> ClassEntry:
    found: tuple[Any, ...] = (
        tuple(indices) if isinstance(indices, Iterable) and not isinstance(indices, str | Mapping) else (indices,)
    )
    if not found or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in found):
        raise ValueError(f"class '{name}' has the indices {list(found)}: give one or more whole numbers from 0")
    synsets = (synset,) if isinstance(synset, str) else () if synset is None else synset
    if not isinstance(synsets, Sequence) or not all(isinstance(one, str) for one in synsets):
        raise ValueError(f"class '{name}' has the synset {synset!r}: give eight digits, or a list of such texts")
    return ClassEntry(found, tuple(synsets))


def read_class_table(path: str | Path) -> dict[str, ClassEntry]:
    """The classes of a YAML or JSON file, which maps a name to an index, a list of indices, or ``{indices: ...,
    synset: ...}``.

    Raises:
        ValueError: if the file is missing, is not such a mapping, or names a wrong index.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"there is no class table '{file}': give the path of a YAML or JSON file")
    import yaml  # type: ignore[import-untyped, unused-ignore]

    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the class table '{file}' cannot be read ({error}): it must be YAML or JSON") from error
    if not isinstance(table, dict):
        raise ValueError(f"the class table '{file}' must map class names to ImageNet indices, e.g. 'teapot: 849'")
    found = {}
    for name, entry in table.items():
        if not isinstance(entry, dict):
            entry = {"indices": entry}
        elif "indices" not in entry or set(entry) - {"indices", "synset"}:
            raise ValueError(f"class '{name}' of '{file}' has {sorted(entry)}: give 'indices' and, if any, 'synset'")
        synset = entry.get("synset")
        found[class_key(str(name))] = _entry(
            str(name), entry["indices"], f"{synset:08d}" if isinstance(synset, int) else synset
        )
    return found


def load_class_table(path: str | Path) -> None:
    """Register every class of a YAML or JSON file, see :func:`read_class_table`."""
    CLASS_TABLE.update(read_class_table(path))


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Names of the 1000 ImageNet classes in the order of the logits, lower case with underscores."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return tuple(class_key(name) for name in _IMAGENET_CATEGORIES)


def class_target(name: str, table: ClassTable | None = None) -> tuple[str, tuple[int, ...]]:
    """The name and the indices of a class, given by table name, ImageNet name or index.

    Args:
        name: of the class.
        table: the registered classes if None.

    Raises:
        ValueError: for an unknown name (with the nearest match), or one that ImageNet has twice.
    """
    key = class_key(name)
    names = imagenet_names()
    if key.isdecimal() and len(key) < 8:
        index = int(key)
        return (names[index] if index < len(names) else f"class_{index}"), (index,)
    table = CLASS_TABLE if table is None else table
    if key in table:
        return key, table[key].indices
    found = tuple(i for i, other in enumerate(names) if other == key)
    if len(found) == 1:
        return key, found
    if found:
        raise ValueError(f"ImageNet has several classes '{name}', {found}: give the index")
    hint = did_you_mean(key, [*table, *names], before=": ") or "."
    raise ValueError(
        f"unknown class '{name}'{hint} Give a name of the class table, an ImageNet name or index, "
        "or add the class with register_class or a class table file"
    )


def class_of_folder(folder: str, table: ClassTable | None = None) -> str:
    """The class name for a folder name: the class of a synset id in the table, or the name itself.

    Raises:
        ValueError: for a synset that no class of the table has.
    """
    if not (folder.isdecimal() and len(folder) == 8):
        return class_key(folder)
    for name, entry in (CLASS_TABLE if table is None else table).items():
        if folder in entry.synsets:
            return name
    raise ValueError(
        f"no class of the table has the synset '{folder}': add it with register_class(name, indices, "
        f"synset='{folder}') or select other folders with '#'"
    )
