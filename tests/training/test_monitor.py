"""The callback that measures verified SRVR while another module trains: right numbers, and training as without it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from tiny_network import build
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.training.dense import look_at
from lightning_semrob.training.monitor import SemanticRobustnessCallback


def environment(**changes: Any) -> SemanticEnvironment:
    arguments = {"networks": ["tiny_network:build"], "shapes": ["teapot"], "initial_points": [[165.0, 20.0]]}
    return SemanticEnvironment(**(arguments | {"image_size": 32} | changes))  # type: ignore[arg-type]


class Foreign(pl.LightningModule):
    """A module that knows nothing of this package: batch normalisation, dropout, a frozen part, shuffled data."""

    def __init__(self) -> None:
        super().__init__()
        frozen = nn.Linear(8, 8)
        self.model = nn.Sequential(
            nn.Conv2d(3, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.model.append(nn.Linear(4, 1000))
        self.model.append(nn.Dropout(0.1).eval())
        self.other = frozen
        self.modes: list[list[bool]] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.modes.append([module.training for module in self.modules()])
        noise = 0.01 * torch.randn(1) + 0.01 * float(np.random.rand()) + 0.01 * random.random()  # noqa: NPY002
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1]) + noise * self.model[0].weight.sum()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 0.01)


def train(folder: Path, callbacks: list[pl.Callback], epochs: int = 3) -> tuple[Foreign, pl.Trainer]:
    pl.seed_everything(3)
    module = Foreign()
    images, labels = torch.rand(16, 3, 32, 32), torch.randint(1000, (16,))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=CSVLogger(folder),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, DataLoader(TensorDataset(images, labels), 4, shuffle=True))
    return module, trainer


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:Found 1 module")
def test_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    callback = SemanticRobustnessCallback(
        environment(), lambda module: module.model, every_n_epochs=2, verified_evaluations=40, views=4
    )
    with_it, trainer = train(tmp_path / "with", [callback])
    state = [torch.get_rng_state(), np.random.get_state()[1], random.getstate()]  # noqa: NPY002
    logged = trainer.callback_metrics
    assert [item["epoch"] for item in callback.history] == [1]
    assert float(logged["semrob/verified_srvr"]) == pytest.approx(callback.history[0]["verified_srvr"])
    assert 0 < float(logged["semrob/worst_score"]) < float(logged["semrob/mean_score"]) < 1
    columns = (tmp_path / "with").rglob("metrics.csv").__next__().read_text().splitlines()[0]
    assert "semrob/verified_srvr" in columns
    without, plain = train(tmp_path / "without", [])
    assert torch.equal(state[0], torch.get_rng_state())  # type: ignore[arg-type]
    assert np.array_equal(state[1], np.random.get_state()[1])  # type: ignore[arg-type]  # noqa: NPY002
    assert state[2] == random.getstate()
    for (name, value), other in zip(with_it.state_dict().items(), without.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert with_it.modes == without.modes
    assert not with_it.modes[-1][-2]  # the part that stays in evaluation mode
    optimizers = [found.optimizers[0].state_dict()["state"] for found in (trainer, plain)]
    for slot, found in optimizers[0].items():
        for name, value in found.items():
            assert torch.equal(value, optimizers[1][slot][name])


def test_modes_and_gradients_are_left_alone() -> None:
    callback = SemanticRobustnessCallback(environment(), lambda module: module, verified_evaluations=40, views=2)
    model = Foreign().model.train()
    model[3].eval()
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    buffers = [buffer.clone() for buffer in model.buffers()]
    callback.measure(model)
    assert [module.training for module in model] == [True, True, True, False, True, True, True, True]
    for parameter, gradient in zip(model.parameters(), before, strict=True):
        assert parameter.requires_grad
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    assert all(torch.equal(one, other) for one, other in zip(model.buffers(), buffers, strict=True))

    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("no logits")

    broken = Broken().train()
    with pytest.raises(RuntimeError, match="no logits"):
        callback.measure(broken)
    assert broken.training


def test_the_numbers_are_those_of_evaluate(tmp_path: Path) -> None:
    shapes, points = ["teapot", "dumbbell"], [[165.0, 20.0]]
    made = environment(shapes=shapes, initial_points=points)
    found = SemanticRobustnessCallback(made, lambda module: module, views=16).measure(build())
    summary = evaluate(
        [
            "--data.networks=[tiny_network:build]",
            "--data.shapes=[teapot,dumbbell]",
            "--data.initial_points=[[165,20]]",
            "--data.image_size=32",
            "--trust.max_evaluations=0",
            "--model.finders=[verified]",
            "--model.verified_evaluations=400",
            "--report_grid=[]",
            "--trainer.enable_progress_bar=false",
            "--trainer.accelerator=cpu",
            f"--output={tmp_path}",
        ]
    )
    expected = float(summary["srvr"]["verified"]["verified"][0].nanmean())
    assert expected > 0
    assert found["verified_srvr"] == pytest.approx(expected, abs=1e-6)
    clean = made.space.from_unit(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    statistics = look_at(made, ["net"], clean, 16).statistics()
    assert found["mean_score"] == pytest.approx(statistics["net"].score, abs=1e-6)
    assert found["worst_score"] == pytest.approx(statistics["net"].worst_score, abs=1e-6)


def test_mistakes_come_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'teapot'"):
        train(tmp_path, [SemanticRobustnessCallback(environment(shapes=["teapott"]), lambda module: module.model)])
    with pytest.raises(ValueError, match="every_n_epochs 0"):
        SemanticRobustnessCallback(environment(), lambda module: module, every_n_epochs=0)
    with pytest.raises(ValueError, match="density"):
        SemanticRobustnessCallback(environment(density={"azimuth": [1.0, 2.0]}), lambda module: module)


@pytest.mark.slow
def test_two_processes_log_the_numbers_of_the_first(tmp_path: Path, repository: Path) -> None:
    """Each process trains on other images, so batch normalisation differs; both hold what the first measured."""
    script = tmp_path / "job.py"
    script.write_text(
        "import lightning_semrob\n"
        "import sys, json, torch, pytorch_lightning as pl\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.training import test_monitor as t\n"
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "if __name__ == '__main__':\n"
        "    pl.seed_everything(0); torch.set_num_threads(1)\n"
        "    budget = dict(verified_evaluations=40, views=4)\n"
        "    callback = t.SemanticRobustnessCallback(t.environment(), lambda m: m.model, **budget)\n"
        "    module = t.Foreign()\n"
        "    trainer = pl.Trainer(accelerator='cpu', devices=2, strategy='ddp_find_unused_parameters_true',\n"
        "        max_epochs=1, logger=False, callbacks=[callback],\n"
        "        enable_checkpointing=False, enable_progress_bar=False)\n"
        "    data = TensorDataset(torch.rand(16, 3, 32, 32), torch.randint(1000, (16,)))\n"
        "    trainer.fit(module, DataLoader(data, 4))\n"
        "    path = f'{sys.argv[2]}/rank{trainer.global_rank}.json'\n"
        "    alone = callback.measure(module.model)\n"
        "    logged = float(trainer.callback_metrics['semrob/mean_score'])\n"
        "    open(path, 'w').write(json.dumps([callback.history[0], alone, logged]))\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "tests")])}
    words = [sys.executable, str(script), str(repository / "tests"), str(tmp_path)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import json

    (first, alone, logged), (second, _, other) = (json.loads((tmp_path / f"rank{k}.json").read_text()) for k in (0, 1))
    assert first == second
    assert logged == other == pytest.approx(first["mean_score"])
    assert first["mean_score"] == alone["mean_score"]
