"""compare OLD NEW: known answers on made-up folders, and the exit codes of a release pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_semrob.__main__ import main as program
from lightning_semrob.evaluation.finished.compare import compare_folders
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.records import Run, read_runs
from lightning_semrob.evaluation.statements import JobDescription
from lightning_semrob.finders.statement import Judgement
from lightning_semrob.space import SemanticSpace

SPACE = SemanticSpace.default()
CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "data": {"networks": ["old"], "shapes": ["cup:0-3"], "space": ["azimuth", "elevation"], "micro_batch_size": 8},
    "model": {"finders": ["verified"], "eps_m": 0.3, "eps_v": 0.05, "confidence": 0.95},
}
JOB = JobDescription(adversarial={"verified": False, "naive": False})

Ratio = Callable[[str, int, int], float | None]


def folder(
    path: Path, network: str | list[str], ratio: Ratio, methods: tuple[str, ...] = ("verified",), **more: Any
) -> str:
    """Two classes of four shapes, two points each; ``ratio(class, shape, point)``, None for a run without a box."""
    networks = [network] if isinstance(network, str) else network
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in CONFIG.items()}
    config["data"]["networks"] = networks
    for name, value in more.items():
        part, key = name.split("__")
        config[part][key] = value
    runs = []
    for name in networks:
        for class_name in ("cup", "vase"):
            for shape in range(4):
                for point in range(2):
                    for method in methods:
                        found = ratio(class_name, shape, point)
                        side = dict.fromkeys(SPACE.names, 1.0)
                        runs.append(
                            Run(
                                name,
                                class_name,
                                f"{class_name}:{shape}",
                                point,
                                method,
                                "1",
                                *(side, side, side),
                                ratio=found or 0.0,
                                raw_ratio=0.9,
                                status="verified" if found else "collapsed",
                                judgement=Judgement("valid" if found else "undecided"),
                                micro_batch_size=8,
                            )
                        )
    made = RunFolder(path)
    made.open(yaml.safe_dump(config))
    made.finish(runs, SPACE, {}, JOB)
    return str(path)


def base(class_name: str, shape: int, point: int) -> float:
    return 0.2 + 0.02 * shape + 0.01 * point


def worse_cups(class_name: str, shape: int, point: int) -> float | None:
    """Cups lose 0.1 and the box of one run; vases lose 0.04."""
    if (class_name, shape, point) == ("cup", 0, 0):
        return None
    return base(class_name, shape, point) - (0.1 if class_name == "cup" else 0.04)


def test_known_differences(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", "old", base), folder(tmp_path / "new", "new", worse_cups)
    (found,) = compare_folders(old, new)
    # Cups: 7 of 8 runs lose 0.1, one its box of 0.2.
    cup, vase = found["classes"]["cup"], found["classes"]["vase"]
    assert cup["estimate"] == pytest.approx(-(7 * 0.1 + 0.2) / 8)
    assert vase["estimate"] == pytest.approx(-0.04)
    assert cup["verdict"] == "too few shapes to compare"
    difference = found["difference"]
    assert difference["estimate"] == pytest.approx((cup["estimate"] + vase["estimate"]) / 2)
    assert difference["low"] <= difference["estimate"] <= difference["high"]
    assert difference["p_holm"] == difference["p_value"] == 2 / 2**8
    assert difference["verdict"] == "smaller"
    assert found["worse"] == ["verified SRVR"]
    assert found["viewpoints"] is None
    assert found["srvr"][1] - found["srvr"][0] == pytest.approx(difference["estimate"])
    assert found["lost"] == [{"class_name": "cup", "shape_id": "cup:0", "point": 0, "method": "verified"}]
    assert found["gained"] == []
    assert (found["tasks"], found["left_out"]) == (16, 0)
    (back,) = compare_folders(new, old)
    assert back["difference"]["estimate"] == pytest.approx(-difference["estimate"])
    assert (back["gained"], back["lost"], back["worse"]) == (found["lost"], [], [])
    (raw,) = compare_folders(old, new, metric="raw")
    assert raw["difference"]["estimate"] == 0
    assert not raw["worse"]


def test_viewpoint_accuracy_comes_first_and_counts_beside_the_volumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same boxes; the new network recognises fewer views of every shape but one."""
    old, new = (folder(tmp_path / name, name, base) for name in ("old", "new"))
    for path, loss in ((old, 0.0), (new, 0.25)):
        runs = read_runs(Path(path) / "runs.parquet")
        seen = [
            replace(run, judgement=replace(run.judgement, views=32, viewpoint_score=0.5,
                                           viewpoint_top1=0.75 - loss * (run.shape_id != "cup:0")))
            if run.point == 0 else run for run in runs
        ]  # fmt: skip
        RunFolder(path, (Path(path) / "config.yaml").read_text()).finish(seen, SPACE, {}, JOB)
    (found,) = compare_folders(old, new)
    difference = found["viewpoints"]["difference"]
    assert found["viewpoints"]["accuracy"] == [0.75, pytest.approx(0.75 - 0.25 * 7 / 8)]
    assert difference["estimate"] == pytest.approx(-0.25 * 7 / 8)
    # Two differences are shown; that of the volumes is 0.
    assert difference["p_value"] == 2 / 2**7
    assert difference["p_holm"] == 2 * 2 / 2**7
    assert found["difference"]["verdict"] == "not distinguishable"
    assert found["worse"] == ["viewpoint accuracy"]
    with pytest.raises(SystemExit) as stopped:
        program(["compare", old, new, "--fail_if", "worse"])
    assert stopped.value.code == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "old -> new"
    assert second.startswith("viewpoint accuracy 75.00 -> 53.12 percent of the views; new against old: -21.88 [")
    assert ", p = 0.031, less robust; " in second


def test_a_difference_that_the_shapes_do_not_show_is_none(tmp_path: Path) -> None:
    def mixed(class_name: str, shape: int, point: int) -> float:
        return base(class_name, shape, point) + (0.1 if shape % 2 else -0.11)

    (found,) = compare_folders(folder(tmp_path / "old", "net", base), folder(tmp_path / "new", "net", mixed))
    assert found["difference"]["estimate"] == pytest.approx(-0.005)
    assert found["difference"]["verdict"] == "not distinguishable"
    assert not found["worse"]


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = folder(tmp_path / "old", "old", base), folder(tmp_path / "new", "new", worse_cups)
    program(["compare", old, new, "--json", str(tmp_path / "found.json")])
    text = capsys.readouterr().out
    assert "old -> new\nverified SRVR, which depends on calibration, " in text
    assert ", smaller verified SRVR; " in text
    assert "robust" not in text
    assert "1 boxes valid before and not now:\n  cup:0 (cup), point 0, verified" in text
    assert json.loads((tmp_path / "found.json").read_text())["comparisons"][0]["classes"]["cup"]["low"] is None
    program(["compare", new, old, "--fail_if", "worse"])
    program(["compare", old, old, "--fail_if", "worse"])
    with pytest.raises(SystemExit) as stopped:
        program(["compare", old, new, "--fail_if", "worse"])
    assert stopped.value.code == 1
    assert "worse than before: new (verified SRVR)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        program(["compare", old, str(tmp_path / "nothing"), "--fail_if", "worse"])
    assert stopped.value.code == 2
    assert "is not the output folder of a finished job" in capsys.readouterr().err


def test_as_a_user_types_it(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", "old", base), folder(tmp_path / "new", "new", worse_cups)
    words = [sys.executable, "-m", "lightning_semrob", "compare", old, new, "--fail_if", "worse"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "worse than before: new (verified SRVR)" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model__eps_m": 0.5}, r"model\.eps_m: 0\.3 in '.*old', 0\.5 in '.*new'"),
        ({"model__confidence": 0.9}, r"model\.confidence: 0\.95 in"),
        ({"data__space": {"azimuth": [0, 90], "elevation": None}}, r"data\.space"),
        ({"data__image_size": 64}, r"data\.image_size: None in '.*old', 64 in"),
    ],
)
def test_other_questions_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    old, new = folder(tmp_path / "old", "net", base), folder(tmp_path / "new", "net", base, **change)
    with pytest.raises(ValueError, match=rf"(?s)different questions.*{message}"):
        compare_folders(old, new)


def test_networks_are_paired(tmp_path: Path) -> None:
    several = folder(tmp_path / "several", ["first", "second"], base, ("verified", "naive"))
    others = folder(tmp_path / "others", ["second", "third"], worse_cups, data__micro_batch_size=16)
    (found,) = compare_folders(several, others)
    assert (found["old"], found["new"], found["methods"]) == ("second", "second", ["verified"])
    pairs = {"first": "third", "second": "second"}
    assert [(item["old"], item["new"]) for item in compare_folders(several, others, pairs)] == list(pairs.items())
    single = folder(tmp_path / "single", "fourth", base)
    with pytest.raises(ValueError, match="--pair OLD_NAME NEW_NAME"):
        compare_folders(several, single)
    with pytest.raises(ValueError, match="the new folder has no network 'first'"):
        compare_folders(several, single, {"first": "first"})
    with pytest.raises(ValueError, match=r"asked for \['naive'\]; both have \['verified'\]"):
        compare_folders(several, others, methods=["naive"])


def test_a_baseline_from_other_points_is_refused(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", "net", base), tmp_path / "new"
    folder(new, "net", base)
    moved = RunFolder(new)
    runs = [replace(run, u0=run.u0 | {"azimuth": 7.0}) for run in read_runs(new / "runs.parquet")]
    moved.finish(runs, SPACE, {}, JOB)
    with pytest.raises(ValueError, match="starts at another point"):
        compare_folders(old, new)
