"""Semantic adversarial training: a classifier on rendered views, drawn by any view sampler."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from lightning_semrob.networks import Classifier, build_trainable
from lightning_semrob.training.data import RenderedViews, ViewBatch, stream
from lightning_semrob.training.views import UniformViews, ViewSampler
from lightning_semrob.utilities.distributed import all_gather

# The random streams of an epoch besides those of its steps, which are numbered from 0.
_FINDER_STREAM = 2**31 - 1
_FORWARD_STREAM = 2**31 - 2
_PLAN_STREAM = 2**31 - 3


class SemanticTraining(pl.LightningModule):
    """Trains a classifier on the views of a sampler, with a budget of rendered images.

    Every rendered image counts: the images trained on, the candidates of worst-of-k, the evaluations of f by a finder,
    and each gradient as one more. An epoch has as many steps as its share of the budget still pays for, so all
    samplers spend the same. The learning rate follows the budget too: linear from 0 to its value over ``warmup`` of
    it, then a half cosine to 0.

    Args:
        network: a name as in :func:`lightning_semrob.networks.build_trainable`; the head has one output a class.
        views: where the training views come from; uniform ones if None.
        learning_rate: of AdamW, at its largest.
        weight_decay: of AdamW.
        warmup: share of the budget.

    Attributes:
        rendered: images spent so far by all processes, (1,) int64; ``finder_images`` those of the finder.

    Raises:
        ValueError: a number out of its range.
    """

    rendered: Tensor
    finder_images: Tensor
    refreshed: Tensor

    def __init__(
        self,
        network: str = "small_resnet",
        views: ViewSampler | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.2,
    ) -> None:
        super().__init__()
        if learning_rate <= 0 or weight_decay < 0 or not 0 <= warmup < 1:
            raise ValueError(
                f"learning_rate {learning_rate} must be positive, weight_decay {weight_decay} not negative, warmup "
                f"{warmup} in [0, 1)"
            )
        self.network = network
        self.views = views if views is not None else UniformViews()
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.classifier: Classifier | None = None
        self.judged = nn.ModuleDict(
            {name: MeanMetric() for name in ("accuracy_space", "accuracy_clean", "score_space", "score_clean")}
        )
        for name in ("rendered", "finder_images"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.int64))
        self.register_buffer("refreshed", torch.full((1,), -1, dtype=torch.int64))
        self._observed: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def data(self) -> RenderedViews:
        """The DataModule of the Trainer."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, RenderedViews):
            raise ValueError(f"training needs a RenderedViews DataModule, got {type(data).__name__}")
        return data

    def setup(self, stage: str) -> None:
        """Build the network for the classes of the data; its random weights follow the seed alone."""
        if self.classifier is not None:
            return
        data = self.data
        self.views.bind(data.context)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(data.seed)
            self.classifier = build_trainable(self.network, len(data.classes)).train()
        epochs = self.trainer.max_epochs
        if stage != "fit" or epochs is None or epochs < 1:
            return
        share, largest = data.images // epochs, self.views.largest_cost
        if share < largest + data.batch_size * self.views.candidates:
            raise ValueError(
                f"data.images={data.images} over trainer.max_epochs={epochs} leaves {share} images an epoch, fewer "
                f"than a step and the finder may need ({largest + data.batch_size * self.views.candidates}): "
                "give more images, fewer epochs, or fewer regions"
            )

    # ---- the budget

    def prepare_epoch(self, epoch: int) -> int:
        """Grow the regions that the sampler asks for; returns how many steps the epoch's budget still pays for."""
        data = self.data
        if int(self.refreshed) != epoch:
            self._grow_regions(epoch)
            self.refreshed.fill_(epoch)
        epochs = int(self.trainer.max_epochs or 1)
        share = data.images * (epoch + 1) // epochs
        steps = max((share - int(self.rendered)) // (data.batch_size * self.views.candidates), 1)
        self.views.plan(epoch, epochs, steps * data.batch_size, stream(data.seed, epoch, _PLAN_STREAM))
        return steps

    def _grow_regions(self, epoch: int) -> None:
        """Boxes where the current network fails. A box that needs rendering is grown by one process and sent to all."""
        data, classifier = self.data, self.classifier
        assert classifier is not None
        generator = stream(data.seed, epoch, _FINDER_STREAM)
        self.views.refresh(epoch, generator)
        shape, u0 = self.views.tasks(epoch, generator)
        if not len(shape):
            return
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if world > 1:  # running means of batch normalisation are those of rank 0
            for buffer in classifier.buffers():
                torch.distributed.broadcast(buffer, 0)
        mode = classifier.training
        classifier.eval()
        found: list[tuple[int, Tensor, Tensor, int]] = []
        for task in range(rank, len(shape), world):
            f = data.function("train", int(shape[task]), classifier, self.views.points_per_call)
            box = self.views.grow(f, u0[task : task + 1])
            found.append((task, box.a, box.b, f.evaluations + f.gradient_evaluations))
        classifier.train(mode)
        merged = sorted((item for part in all_gather(found) for item in part), key=lambda item: item[0])
        self.views.store(shape, torch.cat([item[1] for item in merged]), torch.cat([item[2] for item in merged]))
        cost = sum(item[3] for item in merged)
        self.rendered += cost
        self.finder_images += cost

    # ---- training

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        """Cross-entropy of the step's images; with worst-of-k, of the candidates with the largest loss."""
        classifier = self.classifier
        assert classifier is not None
        images, label = batch.images, batch.label
        if batch.candidates > 1:
            images, label = self._worst(classifier, batch)
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):  # what is random inside a network follows (seed, epoch, step) too
            key = (self.data.seed, self.current_epoch, batch_idx, _FORWARD_STREAM, self.trainer.global_rank)
            torch.manual_seed(stream(*key).initial_seed())
            logits = classifier(images).float()
        loss = F.cross_entropy(logits, label)
        self.rendered += batch.rendered
        seen = torch.ones_like(batch.exploratory) if self.views.observes_all else batch.exploratory
        if batch.candidates == 1 and bool(seen.any()):
            score = logits.detach()[: len(seen)].softmax(-1).gather(1, label[: len(seen), None])[:, 0].cpu()
            self._observed.append((batch.shape[seen], batch.u[seen], score[seen].double()))
        accuracy = (logits.detach().argmax(-1) == label).float().mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(images))
        self.log("train/accuracy", accuracy, batch_size=len(images))
        self.log("images", self.rendered.float(), prog_bar=True, batch_size=1)
        return loss

    @torch.no_grad()
    def _worst(self, classifier: Classifier, batch: ViewBatch) -> tuple[Tensor, Tensor]:
        """The image with the largest loss of every ``candidates`` rendered ones; real images are all kept."""
        count, k = len(batch.shape), batch.candidates
        classifier.eval()
        losses = F.cross_entropy(classifier(batch.images[:count]).float(), batch.label[:count], reduction="none")
        classifier.train()
        worst = losses.view(-1, k).argmax(1) + torch.arange(0, count, k, device=losses.device)
        kept = torch.cat([worst, torch.arange(count, len(batch.label), device=worst.device)])
        return batch.images[kept], batch.label[kept]

    def on_train_epoch_end(self) -> None:
        """Tell the sampler the scores of the epoch's views, in the order of the steps."""
        parts = all_gather(self._observed)
        for step in range(max(len(part) for part in parts)):
            for part in parts:
                if step < len(part):
                    self.views.observe(*part[step])
        self._observed = []

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate follows the budget."""
        optimizer = AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        scheduler = LambdaLR(optimizer, lambda _: self.schedule(int(self.rendered) / self.data.images))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def schedule(self, progress: float) -> float:
        """Factor of the learning rate when ``progress`` of the budget is spent."""
        if progress < self.warmup:
            return max(progress / self.warmup, 0.01)
        return max(0.5 * (1 + math.cos(math.pi * min((progress - self.warmup) / (1 - self.warmup), 1.0))), 0.01)

    # ---- validation and test

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """Score and accuracy on uniform or clean views of a shape that is not trained on; an empty batch has none."""
        assert self.classifier is not None
        if not len(batch.shape):
            return
        probability = self.classifier(batch.images).float().softmax(-1)
        kind = "space" if bool(batch.exploratory[0]) else "clean"
        metrics: Any = self.judged
        metrics[f"score_{kind}"].update(probability.gather(1, batch.label[:, None]))
        metrics[f"accuracy_{kind}"].update((probability.argmax(-1) == batch.label).float())

    def test_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """The same on a held-out shape."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all processes."""
        self._log_judged("val")

    def on_test_epoch_end(self) -> None:
        """Log the means over all processes."""
        self._log_judged("test")

    def _log_judged(self, stage: str) -> None:
        metrics: Any = self.judged
        for name, metric in metrics.items():
            if self.trainer.world_size == 1 and not metric.update_called:
                continue
            if not metric.update_called:  # this process had no such view; the others have
                metric.update(torch.zeros(0, device=self.device))
            bar = name in ("accuracy_space", "accuracy_clean")
            self.log(f"{stage}/{name}", metric.compute(), prog_bar=bar, sync_dist=True)
            metric.reset()

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the view sampler has learnt."""
        checkpoint["views"] = dict(self.views.state_dict())

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take it over."""
        self.views.load_state_dict(checkpoint["views"])


class TrainingSpeed(Callback):
    """Measures images per second: of the whole training, of rendering, and of the network.

    Attributes:
        seconds: of this start's training steps, without validation and finder; ``waiting`` of them for the loader.
        rendering: seconds that this process's loader workers spent on rendering, together.
        steps, images: optimizer steps, and images that the loaders of all processes rendered for them.
        own_images: those of this process.
    """

    def __init__(self) -> None:
        self.seconds = self.waiting = self.rendering = 0.0
        self.steps = self.images = self.own_images = 0
        self._mark = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock when the epoch's loader is ready."""
        self._mark = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A batch has arrived: the time since the last one ended was spent waiting."""
        now = time.perf_counter()
        self.waiting += now - self._mark
        self.seconds += now - self._mark
        self._mark = now

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step is done."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self._mark = now
        self.steps += 1
        self.images += batch.rendered
        self.own_images += len(batch.shape)
        self.rendering += batch.seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Log images a second."""
        pl_module.log("images_per_second", self.rate, sync_dist=True)
        pl_module.log("images_per_second/rendering", self.rendering_rate, sync_dist=True)
        pl_module.log("images_per_second/network", self.network_rate, sync_dist=True)

    @property
    def rate(self) -> float:
        """Images of the loader a second."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def rendering_rate(self) -> float:
        """Images that one loader worker renders in a second."""
        return self.own_images / max(self.rendering, 1e-9)

    @property
    def network_rate(self) -> float:
        """Rendered images that the training steps of this process take in a second, without waiting."""
        return self.own_images / max(self.seconds - self.waiting, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Share of the time that was spent waiting for the loader."""
        return self.waiting / max(self.seconds, 1e-9)

    def describe(self) -> str:
        """One line."""
        return (
            f"{self.steps} steps with {self.images} rendered images in {self.seconds:.0f} s: {self.rate:.0f} images/s, "
            f"{100 * self.waiting_share:.0f} % of the time waiting for pictures; a loader worker renders "
            f"{self.rendering_rate:.0f} images/s, the network takes {self.network_rate:.0f}"
        )
