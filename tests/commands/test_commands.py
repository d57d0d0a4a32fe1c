"""``semrob maps | traps | figures`` in process, on a cheap network and small pictures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("h5py")

from lightning_semrob.commands.console import COMMANDS, main
from lightning_semrob.commands.maps import environment_of
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.report.job import boxes_of_run

SMALL = [
    "--data.networks=[tiny_network:build,tiny_network:build_other]",
    "--data.shapes=[teapot:0-1,dumbbell]",
    "--data.image_size=32",
    "--maps.steps=[24,8]",
    "--accelerator=cpu",
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "maps.nc"
    main(["maps", *SMALL, "--output", str(path)])
    return path


def test_maps_are_measured_and_say_how(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = SemanticMaps.load(saved)
    assert maps.grid == (24, 8)
    assert maps.class_names == ("teapot", "teapot", "dumbbell")
    again = environment_of(maps, trust=True)
    again.setup()
    assert (again.networks, again.renderer.image_size) == (list(maps.networks), 32)
    value = again.function(1, 2)(torch.tensor([[[15.0, -10.0]]]).double())
    assert float(value) == pytest.approx(float(maps.scores[1, 2, 1, 0]), abs=1e-6)
    with pytest.raises(ValueError, match="do not say how they were made"):
        environment_of(SemanticMaps(maps.scores, maps.axes, maps.networks, maps.shapes, maps.class_names))


def test_the_paper_grid_is_one_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.nc"
    words = ["--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=8"]
    main(["maps", "--config", "maps_paper.yaml", *words, "--accelerator=cpu", "--output", str(path)])
    maps = SemanticMaps.load(path)
    assert maps.evaluations == 34 * 120
    assert maps.values(1)[-2:].tolist() == [86, 89]
    assert "4080 evaluations" in capsys.readouterr().out


def test_traps_are_listed_and_drawn(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["traps", str(saved), "--output", str(tmp_path), "--points=1", "--trust=true"])
    text = capsys.readouterr().out
    assert "worst view" in text
    with (tmp_path / "traps.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["class_name"] for row in rows if row["kind"] == "worst view"} == {"dumbbell", "teapot"}
    assert all(float(row["depth"]) >= 0 for row in rows)
    assert (tmp_path / "traps.png").stat().st_size > 1000


def test_boxes_of_a_run_are_taken(saved: Path, tmp_path: Path) -> None:
    from lightning_semrob.commands.evaluate import evaluate

    arguments = ["--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32"]
    arguments += ["--trust.max_evaluations=0"]
    arguments += ["--model.finders=[verified]", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    arguments += ["--data.initial_points=2", "--output", str(tmp_path / "run")]
    summary = evaluate(arguments)
    maps = SemanticMaps.load(saved)
    valid = summary["verdict"]["verified"].get("valid", 0)
    assert valid > 0
    box, index = boxes_of_run(maps, tmp_path / "run")
    assert len(box) == valid
    assert index.tolist() == [0] * valid
    with pytest.raises(ValueError, match="there is no"):
        boxes_of_run(maps, tmp_path)
    with pytest.raises(ValueError, match="no valid box"):
        boxes_of_run(maps.select(networks=[1]), tmp_path / "run")


def test_figures_of_a_file(saved: Path, tmp_path: Path) -> None:
    main(["figures", str(saved), "--output", str(tmp_path)])
    names = {f"{kind}_{name}.png" for kind in ("maps", "data", "over_azimuth") for name in ("teapot", "dumbbell")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_mistakes_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    for words, message in (
        (["mpas"], "there is no command 'mpas'"),
        (["figures", "absent.nc"], "there is no file 'absent.nc'"),
        (["maps", "--data.shapes=[teapto]"], "teapto"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.slow
def test_two_processes_measure_the_same_maps(saved: Path, repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.nc"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'tests'}",
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, "-m", "lightning_semrob", "maps", *SMALL, "--devices=2", "--output", str(path)]
    subprocess.run(words, check=True, env=environment, cwd=tmp_path, timeout=300)
    assert torch.equal(SemanticMaps.load(path).scores, SemanticMaps.load(saved).scores)


def test_profile_prints_shares_that_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    from lightning_semrob.commands.profile import main as profile

    words = [
        "--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32",
        "--data.initial_points=1", "--model.finders=[naive,oir_w]", "--model.num_iterations=2",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    shares = profile([*words, "--trust.tiles=[8,4]"])  # the maps take more of the time than the runs
    assert all(shares[name] > 0 for name in ("rendering", "network", "gradient", "framework"))
    assert sum(shares.values()) == pytest.approx(2 * shares["total"])
    lines = capsys.readouterr().out.partition("Where the time of")[2].splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["rendering", "network", "gradient", "framework", "total"]
    assert lines[-1].endswith("100.0 %")
