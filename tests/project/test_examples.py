"""Every example runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

import lightning_semrob as semrob
from lightning_semrob.commands.evaluate import evaluate


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_analytic_region(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = load(repository / "examples" / "analytic_region.py").main()
    assert verdicts["verified"] == "valid"
    assert capsys.readouterr().out.count("mean f") == 4


def test_my_network(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "examples"))
    summary = evaluate(
        [
            "--data.networks=[my_network:build]",
            "--data.shapes=[teapot]",
            "--data.image_size=64",
            "--model.finders=[naive]",
            "--model.num_iterations=2",
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
            "--output",
            str(tmp_path),
        ]
    )
    assert summary["runs"] == 1


def test_dozen_lines(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = repository / "examples" / "dozen_lines.py"
    body = path.read_text().split("    f = ")[1].split("return box")[0]
    assert len(body.splitlines()) < 12
    box = load(path).main("teapot", "tiny_network:build", 32, str(tmp_path / "region.png"))
    assert box.status[0] == "verified"
    assert "verified: [" in capsys.readouterr().out
    assert (tmp_path / "region.png").read_bytes().startswith(b"\x89PNG")


def test_the_snippet_of_the_readme(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, but for a cheaper network and smaller pictures."""
    monkeypatch.chdir(tmp_path)
    (found,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    snippet = found.replace('"efficientnet_lite0"', '"tiny_network:build", image_size=32')
    assert snippet != found
    names: dict[str, object] = {}
    exec(snippet, names)
    assert names["box"].status == ["verified"]  # type: ignore[attr-defined]
    trust = names["m"]
    assert trust.verdict.shape == (12, 4)  # type: ignore[attr-defined]
    assert trust.evaluations <= 400  # type: ignore[attr-defined]


def test_every_example_is_tested(repository: Path) -> None:
    names = {path.stem for path in (repository / "examples").glob("*.py")}
    assert names == {"analytic_region", "dozen_lines", "my_network"}


def test_public_names() -> None:
    assert set(semrob._LAZY) == set(semrob.__all__) - {"Axis", "Box", "SemanticSpace", "__version__"}
    for name in semrob.__all__:
        assert getattr(semrob, name) is not None
        assert name in dir(semrob)
    with pytest.raises(AttributeError, match="no attribute 'VerifiedFindr'"):
        semrob.VerifiedFindr  # noqa: B018


def test_f_from_names_is_f_from_parts() -> None:
    renderer, (shape,) = semrob.Rasterizer(32), semrob.resolve_shapes(["teapot:1"])
    space = renderer.space("azimuth", "distance")
    network = semrob.build_network("tiny_network:build")
    parts = semrob.RenderedFunction(renderer, network, shape.load(), shape.target, space)
    u = space.sobol(3, 0)[None]
    for made in (
        semrob.RenderedFunction.of("teapot:1", "tiny_network:build", ["azimuth", "distance"], image_size=32),
        semrob.RenderedFunction.of("teapot:1", network.train(), space, renderer),
    ):
        assert made.space.names == ("azimuth", "distance")
        assert not made.classifier.training
        assert torch.equal(made(u), parts(u))
    with pytest.raises(ValueError, match="'teapot:0-1' stands for 2 shapes"):
        semrob.RenderedFunction.of("teapot:0-1", "tiny_network:build")
    with pytest.raises(ValueError, match="unknown renderer 'rasteriser', did you mean 'rasterizer'"):
        semrob.RenderedFunction.of("teapot", "tiny_network:build", renderer="rasteriser")
