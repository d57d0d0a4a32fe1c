"""Every example runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from lightning_semrob.cli import evaluate


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
    assert summary["runs"] == 2


def test_every_example_is_tested(repository: Path) -> None:
    names = {path.stem for path in (repository / "examples").glob("*.py")}
    assert names == {"analytic_region", "my_network"}
