"""``semrob authors``: the layout of the paper's authors, read without executing anything."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lightning_semrob.__main__ import main as program
from lightning_semrob.commands.authors import main
from lightning_semrob.functions import RecordedFunction
from lightning_semrob.maps.authors import TRACE_STEPS, load_results
from lightning_semrob.maps.authors_boxes import box_moments
from lightning_semrob.maps.authors_pickle import RefusedFileError, read_pt
from lightning_semrob.space import SemanticSpace

#: The classes whose objects the files hold, reduced to what is pickled: `models.py` of the authors, and pyinterval 1.2.
MODELS = """
import numpy as np
from interval import interval

class ndinterval():
    def __init__(self, a, b):
        self.n = len(a)
        self.mask = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
        self.a = np.array(a)
        self.b = np.array(b)
        self.region = [interval(tuple(sorted(ends))) for ends in zip(a, b)]
        self.r = np.array([x[0][1] - x[0][0] for x in self.region])
        self.R = np.diag(1 / self.r)
        self.corners_set = [np.array([x, y]) for x in (a[0], b[0]) for y in (a[1], b[1])]
        self.old_a = self.a
"""
INTERVAL = """
class interval(tuple):
    def __new__(cls, *args):
        return tuple.__new__(cls, args)

    def __getnewargs__(self):
        return tuple(tuple(c) for c in self)
"""
AZIMUTH, ELEVATION = np.meshgrid(np.arange(0, 360, 3), np.arange(-10, 90, 3))
POINTS = [np.array([130, 30]), np.array([310, 50])]
OURS = {"naive": "naive", "OIR_B": "oir_b", "OIR_W": "oir_w"}
METHODS = tuple(OURS)


@pytest.fixture(scope="module")
def region() -> Iterator[Any]:
    """Their class; it can be imported only while a file is written."""
    made = {name: ModuleType(name) for name in ("interval", "models")}
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    exec(INTERVAL, made["interval"].__dict__)
    exec(MODELS, made["models"].__dict__)
    yield made["models"].ndinterval
    for name, module in before.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module


def save(path: Path, value: object) -> None:
    """As torch wrote in 2019: not a zip file, pickle protocol 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, _use_new_zipfile_serialization=False)


def save_map(place: Path, scores: np.ndarray, **more: object) -> None:
    save(place / "map.pt", {"xx": AZIMUTH, "yy": ELEVATION, "z": scores.astype(np.float32), "class_nb": 0} | more)


def save_bounds(
    place: Path, region: Any, boxes: dict[str, Any], u0: list[Any], traces: dict[str, Any] | None = None, **more: object
) -> None:
    found: dict[str, Any] = {"initial_point": u0, "class_nb": 0} | more
    for method, bounds in boxes.items():
        trace = [[(a, b)] for a, b in bounds] if traces is None else traces[method]
        found[method] = {
            "regions": [region(a, b) for a, b in bounds],
            "optim_trace": trace,
            "loss_trace": [[np.float64(0.5)] for _ in bounds],
        }
    save(place / "optim.pt", found)


def box(a: tuple[float, float], b: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(a, dtype=float), np.array(b, dtype=float)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, region: Any) -> Path:
    """Two networks, two classes; the first map is 1 for azimuths below 180 and 0 elsewhere."""
    root = tmp_path_factory.mktemp("authors")
    step = (AZIMUTH < 180).astype(float)
    for network in ("AlexNet", "Mine"):
        for number in (0, 5):
            place = root / "checkpoint" / network / str(number) / "0"
            save_map(place, step, shape_id="s", network_name=network)
            # Half of the space and a quarter beyond its top; then the other half, where the network fails.
            good, bad = box((0, -10), (180, 140)), box((270, 40), (450, 90))
            boxes = {method: [good, bad] for method in METHODS}
            if (network, number) == ("Mine", 5):
                boxes["OIR_W"] = [good, box((400, np.nan), (410, 60))]
            save_bounds(place, region, boxes, POINTS, shape_id="s")
    # A map without bounds, and a map of another shape than the bounds.
    save_map(root / "checkpoint" / "Mine" / "5" / "1", step)
    other = root / "checkpoint" / "Mine" / "5" / "2"
    save_map(other, step, shape_id="x")
    save_bounds(other, region, {"naive": [box((0, -10), (36, 90))] * 2}, POINTS, shape_id="y")
    return root


def lines_of(text: str, start: str) -> list[list[str]]:
    return [line[len(start) :].split() for line in text.splitlines() if line.startswith(start)]


def test_both_formulas_on_known_boxes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = main([str(folder)])
    text = capsys.readouterr().out
    # raw: 180 * 150 / 36000 = 0.75 and 180 * 50 / 36000 = 0.25; inside the space 0.5 and 0.25.
    assert found["naive"].theirs[:2].tolist() == pytest.approx([0.75, 0.25])
    assert found["naive"].ours[:2].tolist() == pytest.approx([0.5, 0.25])
    assert found["naive"].unwrapped[:2].tolist() == pytest.approx([0.5, 0.125])  # 270 to 360 alone
    (theirs,) = lines_of(text, "theirs: min(|prod(b - a)|, Vol) / Vol")
    assert theirs[0] == "50.00"
    (ours,) = lines_of(text, "ours: inside the space, azimuth periodic")
    assert ours[0] == "37.50"
    assert lines_of(text, "printed in the paper, all its shapes") == [["8.92", "-"]]
    first, second = lines_of(text, "initial point 0 (130, 30)")
    assert (first[0], second[0]) == ("75.00", "50.00")
    assert [line[0] for line in lines_of(text, "cup")] == ["50.00", "37.50"]
    assert "oir_w: 1 runs end with bounds that are not finite" in text


def test_eq2_is_judged_on_the_maps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mean 1 but for the border cell below 180; 0.5 with variance 1/4 over 270 to 450."""
    found = main([str(folder)])
    assert found["naive"].mean[:2].tolist() == pytest.approx([1 - 1.5 / 180, 0.5], abs=0.01)
    assert found["naive"].valid[:2].tolist() == [True, False]
    text = capsys.readouterr().out
    assert lines_of(text, "naive   AlexNet") == [["4", "4", "2", "4", "4", "2"]]
    (holds,) = [line for line in text.splitlines() if line.startswith("ours, and Eq. 2 holds")]
    assert holds.split()[-2] == "25.00"
    strict = main([str(folder), "--eps_m=0.001", "--eps_v=0.0001"])
    assert not strict["naive"].valid.any()


def test_what_is_missing_is_said_and_not_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = main([str(folder / "checkpoint")])
    text = capsys.readouterr().out
    assert "note: Mine/5/1 has no optim.pt" in text
    assert "note: Mine/5/2: the map is of shape x, the bounds of y" in text
    assert "note: Mine/5/2 has no oir_b" in text
    results = load_results(folder)
    assert len(results) == 10
    rows = (results.object_number == 2).nonzero().flatten()
    assert found["naive"].theirs[rows].tolist() == pytest.approx([0.1, 0.1])
    assert found["naive"].mean[rows].isnan().all()
    assert found["oir_b"].theirs[rows].isnan().all()


def test_moments_are_exact_for_multilinear_maps() -> None:
    """f = azimuth / 360 between 0 and 357: mean 0.25, variance of a uniform variable over a half."""
    maps = torch.arange(120).double()[None, None].expand(1, 34, 120) / 120
    a, b = torch.tensor([[0.0, 0.0], [10.0, 10.0]]).double(), torch.tensor([[180.0, 50.0], [10.0, 20.0]]).double()
    mean, variance = box_moments(RecordedFunction(maps), a, b, torch.tensor([0, 0]))
    assert mean[0].item() == pytest.approx(0.25, abs=1e-6)
    assert variance[0].item() == pytest.approx(0.5**2 / 12, abs=1e-5)
    assert mean[1].isnan()


class Malicious:
    """A pickle that would make a file."""

    def __init__(self, target: Path, how: str) -> None:
        self.target, self.how = str(target), how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how == "os":
            return os.system, (f"touch {self.target}",)
        if self.how == "eval":
            return eval, (f"open({self.target!r}, 'w').close()",)
        return getattr, (Path(self.target), "touch")


@pytest.mark.parametrize("zip_file", [False, True])
@pytest.mark.parametrize("how", ["os", "eval", "getattr"])
def test_a_malicious_file_is_refused_and_not_executed(
    how: str, zip_file: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, target = tmp_path / "AlexNet" / "0" / "0", tmp_path / "made"
    place.mkdir(parents=True)
    value = {"initial_point": POINTS, "naive": Malicious(target, how)}
    torch.save(value, place / "optim.pt", _use_new_zipfile_serialization=zip_file)
    with pytest.raises(SystemExit) as stopped:
        program(["authors", str(tmp_path)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "optim.pt' was refused: it names '" in error
    assert "nothing of it was executed" in error
    assert error.count("\n") == 1
    assert not target.exists()
    if how != "getattr":  # the same file does its work where it is trusted
        torch.load(place / "optim.pt", weights_only=False)
        assert target.exists()


def test_other_content_is_refused(tmp_path: Path) -> None:
    for name, value, message in (
        ("objects", {"x": np.array(["a", None], dtype=object)}, "an array of type 'O8'"),
        ("text", {"x": np.array(["a"])}, "an array of type 'U1'"),
        ("list", [1, 2], "holds a list"),
    ):
        save(tmp_path / name, value)
        with pytest.raises(RefusedFileError, match=message):
            read_pt(tmp_path / name)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"x": Path("/")}, 2))
    with pytest.raises(RefusedFileError, match="refused"):
        read_pt(tmp_path / "plain.pt")
    (tmp_path / "noise").write_bytes(b"\x80\x02 no pickle")
    with pytest.raises(RefusedFileError, match="refused"):
        read_pt(tmp_path / "noise")


def test_the_allowance_ends_with_the_file(tmp_path: Path, region: Any) -> None:
    """What is allowed for these files is not allowed to whatever is loaded afterwards."""
    save(tmp_path / "x.pt", {"x": region((0.0, 1.0), (2.0, 3.0))})
    assert read_pt(tmp_path / "x.pt")["x"].bounds.tolist() == [[0, 1], [2, 3]]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "x.pt", weights_only=True)


def test_wrong_folders_and_files_are_one_sentence(tmp_path: Path, region: Any) -> None:
    for change, message in (
        ({"z": np.zeros((3, 4))}, "z, xx, yy are"),
        ({"yy": ELEVATION + 1}, "elevations -9 to 90"),
    ):
        place = tmp_path / message[:3] / "AlexNet" / "0" / "0"
        save(place / "map.pt", {"xx": AZIMUTH, "yy": ELEVATION, "z": np.zeros((34, 120))} | change)
        save_bounds(place, region, {"naive": [box((0, 0), (1, 1))] * 2}, POINTS)
        with pytest.raises(ValueError, match=message):
            load_results(place.parents[2])
    with pytest.raises(ValueError, match="there is no folder"):
        load_results(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no <network>"):
        load_results(tmp_path / "empty")
    place = tmp_path / "few" / "AlexNet" / "0" / "0"
    save_bounds(place, region, {"naive": [box((0, 0), (1, 1))]}, POINTS)
    with pytest.raises(ValueError, match="1 regions for 2 initial points"):
        load_results(tmp_path / "few")


def write_paper(reference: Path, folder: Path, region: Any, objects: int) -> None:
    """The first objects of every class of the published maps and bounds, in the authors' layout."""
    with np.load(reference / "paper_maps.npz") as data:
        networks, points = [str(name) for name in data["networks"]], list(data["initial_points"].astype(float))
        bounds = {theirs: data[f"bounds_{ours}"] for theirs, ours in OURS.items()}
        maps, shapes = data["maps"], data["shape_ids"]
        traces = {theirs: data[f"trace_{ours}"] for theirs, ours in OURS.items()}
    for n, c, o in np.ndindex(*maps.shape[:2], objects):
        place = folder / networks[n] / str(c) / str(o)
        save_map(place, maps[n, c, o], shape_id=str(shapes[c, o]))
        boxes = {m: [tuple(x) for x in bounds[m][n, c, o]] for m in METHODS}
        updates = {m: [trace_of(kept) for kept in traces[m][n, c, o]] for m in METHODS}
        save_bounds(place, region, boxes, points, updates)


def trace_of(kept: np.ndarray) -> list[tuple[Any, ...]]:
    """Bounds before each of 600 updates, of which 13 are known; none where none is."""
    if np.isnan(kept).all():
        return []
    known = dict(zip(TRACE_STEPS, (tuple(bounds) for bounds in kept), strict=True))
    unknown = (np.zeros(2), np.zeros(2))
    return [known.get(step, unknown) for step in range(600)]


def srvr(text: str, label: str) -> list[float]:
    """The line of a table, the networks in the paper's order."""
    (line,) = lines_of(text, label)
    return [float(line[k]) for k in (0, 3, 2, 1)]  # folders are read as AlexNet, Inceptionv3, ResNet50, VGG


def test_one_object_of_every_class_as_the_replay_counts_it(
    reference: Path, repository: Path, tmp_path: Path, region: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The benchmark reads the same bounds from paper_maps.npz."""
    write_paper(reference, tmp_path, region, objects=1)
    main([str(tmp_path)])
    text = capsys.readouterr().out
    sys.path.insert(0, str(repository / "benchmarks"))
    try:
        from paper_replay import mean_by_network, published_volume
        from reference import load_paper_data
    finally:
        sys.path.remove(str(repository / "benchmarks"))
    data, space = load_paper_data(reference / "paper_maps.npz"), SemanticSpace.default()
    first = data.index % 6 == 0
    kept = {method: bounds[first] for method, bounds in data.bounds.items()}
    raw = torch.stack([published_volume(space, bounds) for bounds in kept.values()]) / space.volume
    inside = torch.stack([space.intersected_volume(*bounds.unbind(1)) for bounds in kept.values()]) / space.volume
    network = data.network[first]
    assert srvr(text, "theirs: min(|prod(b - a)|, Vol) / Vol") == pytest.approx(
        mean_by_network(raw, network, 4), abs=0.006
    )
    assert srvr(text, "ours: inside the space, azimuth periodic") == pytest.approx(
        mean_by_network(inside, network, 4), abs=0.006
    )


def test_the_folder_becomes_the_arrays_of_the_benchmarks(
    reference: Path, tmp_path: Path, region: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--npz`` undoes the layout: maps, bounds, traces and labels as they were."""
    write_paper(reference, tmp_path, region, objects=1)
    program(["authors", str(tmp_path), "--npz", str(tmp_path / "again.npz")])
    assert "again.npz: 4 networks, 10 classes, objects 0" in capsys.readouterr().out
    with np.load(reference / "paper_maps.npz") as data, np.load(tmp_path / "again.npz") as again:
        for name in set(data.files) - {"imagenet_index"}:  # that of the class table
            before = data[name][:, :, :1] if data[name].ndim > 2 else data[name]
            before = before[..., :1] if name in ("objects", "shape_ids") else before
            assert again[name].shape == before.shape, name
            assert np.array_equal(again[name], before, equal_nan=before.dtype.kind == "f"), name


def test_arrays_hold_the_objects_that_are_complete(
    folder: Path, tmp_path: Path, region: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(folder), "--objects=1", f"--npz={tmp_path / 'x.npz'}"])
    assert "Mine/5/2" not in capsys.readouterr().out  # not read
    main([str(folder), f"--npz={tmp_path / 'x.npz'}"])
    with np.load(tmp_path / "x.npz") as found:
        assert found["objects"].tolist() == [0]
        assert found["classes"].tolist() == ["aeroplane", "cup"]
        assert found["maps"].shape == (2, 2, 1, 34, 120)
        assert found["bounds_oir_w"][1, 1, 0, 0].tolist() == [[0, -10], [180, 140]]
        assert np.isnan(found["bounds_oir_w"][1, 1, 0, 1, 0, 1])
        assert found["trace_naive"][0, 0, 0, 0, 0].tolist() == [[0, -10], [180, 140]]
        assert np.isnan(found["trace_naive"][..., 1:, :, :]).all()
    with pytest.raises(ValueError, match="positive number, got 0"):
        load_results(folder, objects=0)
    place = tmp_path / "one" / "AlexNet" / "0" / "0"
    save_bounds(place, region, {"naive": [box((0, 0), (1, 1))] * 2}, POINTS)
    with pytest.raises(ValueError, match="no object has a map"):
        main([str(tmp_path / "one"), "--npz=y.npz"])
    for number, points in enumerate((POINTS, POINTS[::-1])):
        place = tmp_path / "two" / "AlexNet" / str(number) / "0"
        save_map(place, np.zeros((34, 120)))
        save_bounds(place, region, {method: [box((0, 0), (1, 1))] * 2 for method in METHODS}, points)
    with pytest.raises(ValueError, match="the same initial points"):
        main([str(tmp_path / "two"), "--npz=y.npz"])


@pytest.mark.slow
def test_the_authors_table_comes_out(
    reference: Path, tmp_path: Path, region: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """All 240 published maps. Where volumes are intersected, the three runs that are not finite count as zero here; the
    known figures leave them out, which makes 1 in 720 of a network's runs."""
    write_paper(reference, tmp_path, region, objects=6)
    found = main([str(tmp_path)])
    text = capsys.readouterr().out
    assert srvr(text, "theirs: min(|prod(b - a)|, Vol) / Vol") == [8.87, 10.20, 15.07, 8.70]
    known = {"ours: inside the space, azimuth periodic": [6.36, 7.24, 11.30, 6.77]}
    known["inside the space, azimuth cut at 0 and 360"] = [5.65, 6.47, 10.17, 6.16]
    for label, expected in known.items():
        zero = [value * (1 - lost / 720) for value, lost in zip(expected, (0, 1, 1, 1), strict=True)]
        assert srvr(text, label) == pytest.approx(zero, abs=0.0101)
    # As benchmarks/verified.py counts on 200 x 200 points.
    assert srvr(text, "ours, and Eq. 2 holds on the map (mean >= 0.7, variance <= 0.05)") == [0.0, 0.0, 0.01, 0.17]
    assert "oir_w: 3 runs end with bounds that are not finite" in text
    large = [(one.mean >= 0.5)[one.ours > 0.005].double().mean().item() for one in found.values()]
    assert large == pytest.approx([0.45, 0.20, 0.14], abs=0.02)
