"""benchmarks/training.py on a few tiny pictures: the same weights as the package's own data, and tables that resume."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image

from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.module import SemanticTraining
from lightning_semrob.training.views import AimedViews

DATA: dict[str, Any] = {
    "shapes": ["street_sign:0-3", "folding_chair:0-3"],
    "held_out_per_class": 1,
    "clean": {"azimuth": [-30, 30], "elevation": [0, 45]},
    "randomized": {"background": [0, 1]},
    "image_size": 16,
    "batch_size": 8,
    "views_per_shape": 1,
    "images": 160,
    "num_workers": 0,
}


@pytest.fixture
def benchmark(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = repository / "benchmarks" / "training.py"
    spec = importlib.util.spec_from_file_location("training_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.syspath_prepend(str(path.parent))  # as where the script is run
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_rendering_an_epoch_shape_by_shape_changes_no_weight(benchmark: ModuleType) -> None:
    weights = []
    for kind in (RenderedViews, benchmark.WholeEpochs):
        module = SemanticTraining("small_resnet?input_size=16", AimedViews(settle=1))
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=3,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            limit_val_batches=0,
            reload_dataloaders_every_n_epochs=1,
        )
        trainer.fit(module, datamodule=kind(**DATA))
        assert module.classifier is not None
        weights.append(module.classifier.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


@pytest.mark.slow
def test_the_benchmark_tunes_trains_judges_and_goes_on(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "TRAINING_SHAPES", 2)
    for name in ("street_sign", "folding_chair"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("RGB", (20, 30), (50 * k, 0, 0)).save(tmp_path / "photographs" / name / f"{k}.png")
    data = DATA | {"real": str(tmp_path / "photographs")}
    config = {"data": data, "model": {"network": "small_resnet?input_size=16"}, "trainer": {"max_epochs": 2}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    words = [f"--config={tmp_path / 'c.yaml'}", f"--output={tmp_path / 'out'}", "--only", "uniform", "aimed", "clean"]
    words += ["--rates", "0.004", "0.008", "--tuning-seeds", "9", "--seeds", "0", "1", "--side-seeds", "0"]
    words += ["--validation=1", "--held-out=3", "--mapped=1", "--resamples=20"]
    benchmark.main(words)
    first = capsys.readouterr().out
    assert "best: uniform 0.00" in first
    assert first.count(" CPU s") == 2 * 2 + 2 * 2 + 1
    table = first[first.index("6 held-out shapes of 2 classes") :]
    assert table.count("worst tenth") == 1 + 2
    assert table.count("verified") == 2 + 2
    assert table.split()[table.split().index("photographs") - 1] == "verified"
    benchmark.main(words)
    again = capsys.readouterr().out
    assert " CPU s" not in again
    assert again[again.index("6 held-out shapes") :] == table
