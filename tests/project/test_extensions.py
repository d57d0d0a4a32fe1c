"""A reader who has only the documentation adds a finder, a network and an axis: the page's files and commands run."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch

import lightning_semrob
from lightning_semrob import AnalyticFunction, RenderedFunction, SemanticSpace
from lightning_semrob.commands.evaluate import evaluate

SMALL = [
    "--data.shapes=[teapot]",
    "--data.initial_points=[[165, 20]]",
    "--model.num_iterations=3",
    "--model.verified_evaluations=60",
    "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]
MODULES = ("my_finder", "my_classifier", "my_renderer")


@pytest.fixture(autouse=True)
def files(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The Python blocks of the page, each in the file that its first line names, on the path."""
    blocks = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", (repository / "docs/extending.md").read_text(), re.DOTALL)
    assert tuple(name for name, _ in blocks) == MODULES
    for name, text in blocks:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def command(repository: Path, word: str) -> list[str]:
    """The arguments of the page's command in which ``word`` occurs."""
    text = (repository / "docs" / "extending.md").read_text()
    (line,) = [line for line in re.findall(r"```bash\npython evaluate\.py (.*?)\n```", text) if word in line]
    return shlex.split(line)


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    return found


@pytest.mark.parametrize("name", MODULES)
def test_they_use_public_names_alone(name: str, files: Path) -> None:
    from lightning_semrob import functional

    for node in ast.walk(ast.parse((files / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("lightning_semrob"):
            module = {"lightning_semrob": lightning_semrob, "lightning_semrob.functional": functional}[str(node.module)]
            assert {alias.name for alias in node.names} <= set(module.__all__)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr == "__init__"


def test_a_finder(repository: Path, files: Path) -> None:
    words = [
        *command(repository, "my_finder"),
        *SMALL,
        "--data.networks=[tiny_network:build]",
        "--data.image_size=32",
        "--trust.max_evaluations=0",
    ]
    summary = evaluate([*words, f"--output={files / 'out'}"])
    assert summary["methods"] == ["naive", "threshold"]
    found = {row["method"]: row for row in rows(files / "out")}
    assert found["threshold"]["steps"] > 0
    assert found["threshold"]["verdict"] in ("valid", "invalid", "undecided")
    assert found["threshold"]["a_azimuth"] != found["naive"]["a_azimuth"]


def test_the_finder_of_the_page_finds_the_level_set() -> None:
    """In one dimension the faces come to rest where f crosses the threshold."""
    from my_finder import ThresholdFinder  # type: ignore[import-not-found]

    space = SemanticSpace(SemanticSpace.default().axes[:1])
    f = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 10))
    box = ThresholdFinder(threshold=0.5, num_iterations=200).find(f, torch.tensor([[170.0]]), space)
    assert box.status == ["converged"]
    assert box.a.item() == pytest.approx(120, abs=1)
    assert box.b.item() == pytest.approx(240, abs=1)


def test_a_network(repository: Path, files: Path) -> None:
    words = [*command(repository, "my_classifier"), *SMALL, "--model.finders=[oir_w, verified]"]
    summary = evaluate([*words, f"--output={files / 'out'}"])
    assert summary["networks"] == ["my_classifier:build"]
    assert {row["status"] for row in rows(files / "out")} <= {"iteration_limit", "converged", "collapsed", "edge"}


def test_an_axis(repository: Path, files: Path) -> None:
    words = [*command(repository, "my_renderer"), *SMALL, "--data.networks=[tiny_network:build]"]
    words += [
        "--data.initial_points=[[165, 0.1]]",
        "--data.renderer.image_size=32",
        "--trust.max_evaluations=0",
        "--model.finders=[oir_w, verified]",
    ]
    evaluate([*words, f"--output={files / 'out'}"])
    for row in rows(files / "out"):
        assert 0 <= row["a_fog"] <= 0.1 <= row["b_fog"] <= 0.8
        assert row["gradient_ratio_fog"] is None or row["gradient_ratio_fog"] > 0


def test_the_axis_of_the_page_has_the_right_gradient() -> None:
    from my_renderer import FoggyRasterizer

    renderer = FoggyRasterizer(32)
    f = RenderedFunction.of("teapot", "tiny_network:build", ["azimuth", "fog"], renderer)
    u = torch.tensor([[[165.0, 0.1]]], dtype=torch.float64)
    step = torch.tensor([0.0, 1e-3], dtype=torch.float64)
    slope = (f(u + step) - f(u - step)) / 2e-3
    assert f.value_and_grad(u)[1][0, 0, 1].item() == pytest.approx(slope.item(), rel=0.05)
    clear = RenderedFunction.of("teapot", "tiny_network:build", ["azimuth", "elevation"], image_size=32)
    view = torch.tensor([[165.0, 15.0]])
    assert torch.allclose(f.images(torch.tensor([[165.0, 0.0]])), clear.images(view))
    assert torch.allclose(f.images(torch.tensor([[165.0, 1.0]])), torch.tensor(0.7))
