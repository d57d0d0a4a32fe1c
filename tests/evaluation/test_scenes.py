"""Jobs in front of pictures, and averaged over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import RunFolder, environment_of
from lightning_semrob.evaluation.job import JobConfig
from lightning_semrob.evaluation.summary import read_summary
from lightning_semrob.trust.record import read_maps
from lightning_semrob.utilities.files import read_json
from tests.evaluation.test_job import MODEL, WORDS

SCENE = ["--data.scene.background=embedded:wood,tiles", "--data.scene.shadow=0.5", "--data.nuisances=3"]
MAPPED = ["--trust.max_evaluations=16", "--trust.tiles=[4,2]", "--model.views=8"]  # as many views as tiles


def test_scene_and_nuisances_decide_the_numbers_of_a_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, *SCENE, *MAPPED, f"--output={tmp_path / 'a'}"]
    summary = evaluate(words)
    assert summary["renderings_per_evaluation"] == 3
    said = capsys.readouterr().out
    assert "each is 3 renderings" in said
    assert "spread over draws, %" in said
    (spread,) = summary["viewpoints"]["spread"].tolist()
    assert 0 < spread < 0.6
    config = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["data"]
    assert config["scene"] == {"background": "embedded:wood,tiles", "panorama": None, "shadow": 0.5}
    assert config["nuisances"] == 3
    job = read_json(tmp_path / "a" / "job.json")
    assert sorted(job["nuisances"]["picture"]) in ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    assert "light_azimuth" not in job["fixed"]
    assert "scene" in job["renderer"]["version"]
    (record,) = read_maps(tmp_path / "a")
    assert record.about["nuisances"] == job["nuisances"]
    assert environment_of(tmp_path / "a", trust=True).draws == 3
    assert evaluate(words)["computed_evaluations"] == 0  # the same job goes on
    runs = RunFolder(tmp_path / "a").load_parts()
    plain = evaluate([*WORDS, f"--output={tmp_path / 'b'}"])
    assert plain.viewpoints is not None
    assert plain.viewpoints.spread is None
    for folder, known in (("a", summary), ("b", plain)):
        saved = read_summary(tmp_path / folder / "summary.json")
        assert saved.viewpoints is not None
        assert str(saved.viewpoints.spread) == str(known.viewpoints and known.viewpoints.spread)
    assert [run.a for run in RunFolder(tmp_path / "b").load_parts()] != [run.a for run in runs]
    with pytest.raises(ValueError, match="another configuration"):
        evaluate([*words, "--data.nuisances=4"])


def data(**changes: Any) -> dict[str, Any]:
    return {"networks": ["tiny_network:build"], "shapes": ["teapot"], "image_size": 32, "initial_points": 2, **changes}


def test_an_estimate_says_how_many_renderings_an_evaluation_takes() -> None:
    job = JobConfig(data(nuisances=5), MODEL, accelerator="cpu", progress=False, trust={"max_evaluations": 0})
    estimate = job.make().estimate()
    assert estimate.renderings == 5
    assert "each of them 5 renderings" in estimate.describe()


def test_the_scene_of_a_renderer_is_written_there() -> None:
    renderer = {"class_path": "Rasterizer", "init_args": {"image_size": 32, "scene": {"shadow": 0.5}}}
    made = JobConfig(data(renderer=renderer), MODEL, accelerator="cpu").make()
    assert "scene" in str(made.environment.renderer.version)
    with pytest.raises(ValueError, match=r"write data\.renderer\.scene"):
        JobConfig(data(renderer=renderer, scene={"shadow": 0.5}), MODEL, accelerator="cpu").make()
    with pytest.raises(ValueError, match="did you mean 'grass'"):
        JobConfig(data(scene={"background": "embedded:gras"}), MODEL, accelerator="cpu").make()
