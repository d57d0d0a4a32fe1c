"""Verified SRVR of a network while somebody else's LightningModule trains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.metrics import SRVR
from lightning_semrob.finders.verified.finder import VerifiedFinder
from lightning_semrob.functional.srvr import verified_ratio
from lightning_semrob.functions import RenderedFunction


class SemanticRobustnessCallback(Callback):
    """Measures verified SRVR and scores of the network in training at the end of epochs, and logs them.

    Logged: ``semrob/verified_srvr``, as ``evaluate.py`` measures it with the verified finder alone;
    ``semrob/mean_score``, the mean of f over Sobol views of every shape; ``semrob/worst_score``, the mean over shapes
    of the smallest of these. The first process measures and tells the others. Training does not change by a bit: modes,
    gradients and random generators are as before.

    Args:
        environment: shapes, space, initial points, renderer, score and seed; its ``networks`` are not used.
        classifier: the module of the LightningModule that maps images (B, 3, H, W) float32 in [0, 1] to logits whose
            indices are those of the shapes' targets, say ``lambda module: module.model``.
        every_n_epochs: epochs between two measurements.
        eps_m, eps_v, confidence: Eq. 2, and the confidence of each run.
        verified_evaluations: most evaluations of f for a run, half of them for growing.
        views: Sobol views of each shape for the scores.

    Attributes:
        history: what was logged, one dictionary a measurement, with the ``epoch`` and the ``evaluations`` of f.

    Raises:
        ValueError: numbers below 1; an environment with a density, over which the finder makes no statement.
    """

    def __init__(
        self,
        environment: SemanticEnvironment,
        classifier: Callable[[Any], nn.Module],
        every_n_epochs: int = 1,
        eps_m: float = 0.3,
        eps_v: float = 0.05,
        confidence: float = 0.95,
        verified_evaluations: int = 400,
        views: int = 64,
    ) -> None:
        super().__init__()
        if min(every_n_epochs, views) < 1 or verified_evaluations < 2:
            raise ValueError(
                f"every_n_epochs {every_n_epochs} and views {views} must be at least 1, verified_evaluations "
                f"{verified_evaluations} at least 2"
            )
        if environment.density is not None:
            raise ValueError("the callback measures uniform views: leave the environment's density out")
        half = verified_evaluations // 2
        self.environment = environment
        self.classifier = classifier
        self.every_n_epochs = every_n_epochs
        self.views = views
        self.finder = VerifiedFinder(eps_m, eps_v, confidence, 1, half, half, environment.seed)
        self.history: list[dict[str, float]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Resolve the shapes; every mistake in their names is raised before training."""
        self.environment.setup()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure and log."""
        epoch = trainer.current_epoch
        if (epoch + 1) % self.every_n_epochs:
            return
        found: dict[str, float] = {}
        if trainer.is_global_zero:
            found = self.measure(self.classifier(pl_module), pl_module.device)
        found = trainer.strategy.broadcast(found)
        for name in ("verified_srvr", "mean_score", "worst_score"):
            pl_module.log(f"semrob/{name}", found[name])
        self.history.append({"epoch": epoch} | found)

    def measure(self, classifier: nn.Module, device: torch.device | str = "cpu") -> dict[str, float]:
        """``verified_srvr``, ``mean_score``, ``worst_score`` and ``evaluations`` of a classifier on ``device``.

        Scores that are not finite make theirs NaN; such a run is not counted in SRVR, as in ``evaluate.py``.
        """
        modes = [(module, module.training) for module in classifier.modules()]
        try:
            with isolate_rng(), torch.no_grad():
                classifier.eval()
                return self._measure(classifier, torch.device(device))
        finally:
            for module, mode in modes:
                module.training = mode

    def _measure(self, classifier: nn.Module, device: torch.device) -> dict[str, float]:
        made = self.environment
        made.setup()
        # One process measures: the metric must not wait for the others.
        srvr = SRVR(1, len(made.class_names), 1, sync_on_compute=False)
        means, worst, evaluations = [], [], 0
        points = made.space.sobol(self.views, made.seed)[None]
        for shape, spec in enumerate(made.shapes):
            mesh, renderer = made.mesh(shape).to(device), made.renderer.to(device)
            f = RenderedFunction(renderer, classifier, mesh, spec.target, made.space, made.score, made.micro_batch)
            scores = f(points)
            means.append(scores.mean())
            worst.append(scores.min())
            rows = [row for row in range(len(made)) if made.describe(row)[:2] == (shape, 0)]
            self.finder.join(1, made.seed, [made.names_of(row) for row in rows])  # the streams of evaluate.py
            box = self.finder.find(f, made.u0[rows], made.space)
            broken = torch.tensor([status == "invalid_score" for status in box.status])
            ratio = made.volume_ratio(box.a, box.b).masked_fill(broken, torch.nan)
            valid = verified_ratio(ratio, ["valid" if status == "verified" else "undecided" for status in box.status])
            zero = torch.zeros(len(rows), dtype=torch.int64)
            srvr.update(valid, zero, zero + made.class_of(shape), zero)
            evaluations += f.evaluations
        return {
            "verified_srvr": float(srvr.compute().nanmean()),
            "mean_score": float(torch.stack(means).mean()),
            "worst_score": float(torch.stack(worst).mean()),
            "evaluations": float(evaluations),
        }
