"""Rendered views to train on: shapes split into three, plans of what to render, and the loader that renders them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_semrob.functions import RenderedFunction
from lightning_semrob.networks import Classifier
from lightning_semrob.rendering.base import Renderer
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.rendering.sweep_space import sweep_space
from lightning_semrob.shapes import ShapeSpec, resolve_shapes
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.training.photographs import RealImages as RealImages
from lightning_semrob.training.samplers import Groups, ViewContext, ViewSampler, clean_bounds
from lightning_semrob.utilities.random import stream as stream


@dataclass
class ViewBatch:
    """One process's part of a training step: B images, k candidates for each of B / k views, then R real images.

    Args:
        images: (B + R, 3, H, W) float32 in [0, 1].
        label: (B + R,) int64 class.
        shape: (B,) int64 training shape.
        u: (B, n) float64 views.
        exploratory: (B,) bool, uniform over the space.
        candidates: k.
        rendered: images that all processes together rendered for this step.
        seconds: that rendering the B images took.
    """

    images: Tensor
    label: Tensor
    shape: Tensor
    u: Tensor
    exploratory: Tensor
    candidates: int
    rendered: int
    seconds: float = 0.0

    def to(self, device: torch.device) -> ViewBatch:
        """Images and labels on the device; the rest stays on the CPU."""
        return replace(self, images=self.images.to(device), label=self.label.to(device))

    def pin_memory(self) -> ViewBatch:
        """For Lightning's transfer to a GPU."""
        return replace(self, images=self.images.pin_memory())


@dataclass(frozen=True)
class _Plan:
    """What one process renders for one step. The main process makes it, so that workers need no state."""

    groups: Groups
    randomized: Tensor  # (G, V * k, m)
    real: Tensor  # (R,) indices of real images
    flip: Tensor  # (R,) bool
    candidates: int
    rendered: int

    def empty(self) -> _Plan:
        """Nothing to render."""
        none = slice(0)
        groups = Groups(self.groups.shape[none], self.groups.u[none], self.groups.exploratory[none])
        return _Plan(groups, self.randomized[none], self.real[none], self.flip[none], self.candidates, 0)


class _PlannedImages(Dataset[ViewBatch]):
    """Renders a plan; the index of an item is the plan itself."""

    def __init__(self, data: RenderedViews, split: str) -> None:
        self.data, self.split = data, split

    def __getitem__(self, plan: Any) -> ViewBatch:
        data = self.data
        shapes = data.splits[self.split]
        images = []
        start = time.perf_counter()
        for shape, u, extra in zip(plan.groups.shape.tolist(), plan.groups.u, plan.randomized, strict=True):
            images.append(data.render(shapes[shape], u, extra))
        seconds = time.perf_counter() - start
        each = plan.groups.u.shape[1]
        shape = plan.groups.shape.repeat_interleave(each)
        label = data.labels(self.split)[shape]
        for item, flipped in zip(plan.real.tolist(), plan.flip.tolist(), strict=True):
            assert data.real is not None
            picture, target = data.real[item]
            images.append((picture.flip(-1) if flipped else picture)[None])
            label = torch.cat([label, torch.tensor([target])])
        return ViewBatch(
            torch.cat(images) if images else torch.zeros(0, 3, *[data.renderer.image_size] * 2),
            label,
            shape,
            plan.groups.u.flatten(0, 1),
            plan.groups.exploratory.repeat_interleave(each),
            plan.candidates,
            plan.rendered,
            seconds,
        )


class _Plans:
    """The plans of an epoch; each is made when it is asked for."""

    def __init__(self, count: int, plan: Callable[[int], _Plan]) -> None:
        self.count, self.plan = count, plan

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[_Plan]:
        return (self.plan(step) for step in range(self.count))


class PlannedLoader:
    """A DataLoader over plans, hidden from Lightning, which would split them: they are this process's part already."""

    def __init__(self, images: _PlannedImages, plans: _Plans, num_workers: int, pin_memory: bool) -> None:
        self._loader: DataLoader[ViewBatch] = DataLoader(
            images,
            batch_size=None,
            sampler=plans,
            num_workers=num_workers,
            pin_memory=pin_memory,
        )
        self._count = len(plans)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ViewBatch]:
        return iter(self._loader)


class RenderedViews(pl.LightningDataModule):
    """Shapes split into training, validation and held-out ones, rendered from the views that the mode asks for.

    The shapes of each class are split in the order of their specification: the last ``held_out_per_class`` are held out
    for the final judgement, those before them are for validation, and the rest is for training. Labels are the
    positions of the classes in their order. A step has ``batch_size`` images in all processes together; every random
    number comes from (seed, epoch, step).

    Args:
        shapes: specifications as in :func:`lightning_semrob.shapes.resolve_shapes`.
        validation_per_class, held_out_per_class: shapes of every class that are not trained on.
        space: swept axes, names or name -> [low, high].
        clean: axis -> [low, high] of the clean views; other axes over their whole range. A periodic axis may start
            below its low end.
        randomized: axis of the renderer -> [low, high], drawn anew for every training image, so that light and colour
            do not tell the classes apart. Judging keeps the renderer's defaults.
        renderer: the renderer; the built-in rasteriser with ``image_size`` and one sample a pixel if None.
        image_size: side of the rendered image in pixels, when ``renderer`` is None.
        batch_size: images trained on in a step.
        views_per_shape: views of each shape of a step.
        images: rendered images that a run may spend, those of the finder and of candidates included.
        real: a folder of photographs ``class/*.jpg`` or a dataset, see :class:`RealImages`.
        real_share: real images of a step, as a share of ``batch_size``; they come on top. Every fifth real image is
            held out.
        validation_views: uniform, and as many clean, views of each validation or held-out shape.
        num_workers: processes that render; 0 renders in the training process.
        seed: of everything random.

    Raises:
        ValueError: sizes that do not fit each other, a class without training shapes, an unknown axis, a range
            that is empty or that the renderer gives no meaning.
    """

    def __init__(
        self,
        shapes: Sequence[str],
        validation_per_class: int = 1,
        held_out_per_class: int = 4,
        space: dict[str, list[float] | None] | list[str] | None = None,
        clean: dict[str, list[float]] | None = None,
        randomized: dict[str, list[float]] | None = None,
        renderer: Renderer | None = None,
        image_size: int = 48,
        batch_size: int = 64,
        views_per_shape: int = 4,
        images: int = 20000,
        real: str | Dataset[Any] | None = None,
        real_share: float = 0.25,
        validation_views: int = 16,
        num_workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(batch_size, views_per_shape, validation_views) < 1 or batch_size % views_per_shape:
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of views_per_shape {views_per_shape}, both and "
                f"validation_views {validation_views} at least 1"
            )
        if images < batch_size:
            raise ValueError(f"images {images} must be at least batch_size {batch_size}")
        if min(validation_per_class, held_out_per_class) < 1:
            raise ValueError(
                "validation_per_class and held_out_per_class must be at least 1: a result needs new shapes"
            )
        if not 0 <= real_share <= 1:
            raise ValueError(f"real_share must lie in [0, 1], got {real_share}")
        self.shape_specs = [shapes] if isinstance(shapes, str) else list(shapes)
        self.validation_per_class = validation_per_class
        self.held_out_per_class = held_out_per_class
        self.renderer = renderer if renderer is not None else Rasterizer(image_size=image_size, supersampling=1)
        self.space = sweep_space(self.renderer, space if space is not None else ["azimuth", "elevation"])
        self.clean_window = clean_bounds(self.space, clean if clean is not None else {"azimuth": [-30.0, 30.0]})
        drawn = {name: self.renderer.parameter(name).swept(ends) for name, ends in (randomized or {}).items()}
        self.randomized = {name: (axis.low, axis.high) for name, axis in drawn.items()}
        clash = sorted(set(self.randomized) & set(self.space.names))
        if clash:
            raise ValueError(f"data.randomized names {clash}, which are axes of the space: leave them out of one")
        self.batch_size, self.views_per_shape, self.images = batch_size, views_per_shape, images
        self.real_source, self.real_share = real, real_share
        self.validation_views, self.num_workers, self.seed = validation_views, num_workers, seed
        self.real: RealImages | None = None
        self.classes: list[str] = []
        self.splits: dict[str, list[ShapeSpec]] = {}
        self._ready: dict[ShapeSpec, tuple[Mesh, Renderer]] = {}

    # ---- shapes

    def setup(self, stage: str | None = None) -> None:
        """Resolve and split the shapes; every mistake in names or counts is raised here."""
        if self.splits:
            return
        shapes = resolve_shapes(self.shape_specs)
        self.classes = list(dict.fromkeys(shape.class_name for shape in shapes))
        splits: dict[str, list[ShapeSpec]] = {"train": [], "validation": [], "held_out": []}
        for class_name in self.classes:
            own = [shape for shape in shapes if shape.class_name == class_name]
            left = len(own) - self.validation_per_class - self.held_out_per_class
            if left < 1:
                raise ValueError(
                    f"class '{class_name}' has {len(own)} shapes, too few for {self.validation_per_class} of "
                    f"validation, {self.held_out_per_class} held out and one to train on: name more, or hold out fewer"
                )
            splits["train"] += own[:left]
            splits["validation"] += own[left : left + self.validation_per_class]
            splits["held_out"] += own[left + self.validation_per_class :]
        if self.real_source is not None:
            self.real = RealImages(self.real_source, self.classes, self.renderer.image_size)
        self.splits = splits

    def labels(self, split: str = "train") -> Tensor:
        """Class of each shape of a split, (S,) int64."""
        return torch.tensor([self.classes.index(shape.class_name) for shape in self.splits[split]])

    @property
    def context(self) -> ViewContext:
        """What view samplers draw from."""
        return ViewContext(self.space, self.clean_window, self.labels())

    def prepared(self, shape: ShapeSpec) -> tuple[Mesh, Renderer]:
        """The mesh of a shape and a renderer that keeps what it prepared of it."""
        if shape not in self._ready:
            self._ready[shape] = shape.load(), copy.copy(self.renderer)
        return self._ready[shape]

    def render(self, shape: ShapeSpec, u: Tensor, randomized: Tensor) -> Tensor:
        """Images (P, 3, H, W) of a shape at views u (P, n) and randomised parameters (P, m)."""
        mesh, renderer = self.prepared(shape)
        names = (*self.space.names, *self.randomized)
        images: Tensor = renderer(mesh, torch.cat([u.float(), randomized.float()], -1), names)
        return images

    def prepare_shapes(self, split: str) -> None:
        """Build the meshes of a split and draw one picture of each, before workers are forked."""
        for shape in self.splits[split]:
            if shape not in self._ready:
                self.render(shape, self.space.low[None], self._randomized(1, stream(self.seed))[:1])

    def function(self, split: str, shape: int, classifier: Classifier, points: int) -> RenderedFunction:
        """f of a shape, rendered without randomisation, ``points`` images in every network call."""
        mesh, renderer = self.prepared(self.splits[split][shape])
        label = int(self.labels(split)[shape])
        device = next(classifier.parameters()).device
        mesh = mesh if device.type == "cpu" else mesh.to(device)
        return RenderedFunction(renderer, classifier, mesh, label, self.space, "softmax", points)

    def _randomized(self, count: int, generator: torch.Generator) -> Tensor:
        if not self.randomized:
            return torch.zeros(count, 0)
        low, high = (torch.tensor(side) for side in zip(*self.randomized.values(), strict=True))
        return low + torch.rand(count, len(low), generator=generator) * (high - low)

    # ---- plans

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def real_indices(self, held_out: bool) -> list[int]:
        """Positions of the real images that are trained on, or held out."""
        count = 0 if self.real is None else len(self.real)
        return [k for k in range(count) if (k % 5 == 4) == held_out]

    def train_plan(self, views: ViewSampler, epoch: int, step: int) -> _Plan:
        """What this process renders in a step: its slice of the plan of all processes."""
        rank, world = self._place()
        count = self.batch_size // self.views_per_shape
        if count % world:
            raise ValueError(f"{count} shapes a step cannot be shared by {world} processes: change batch_size")
        generator = stream(self.seed, epoch, step)
        groups = views.draw(count, self.views_per_shape, generator)
        count, each = groups.u.shape[:2]  # a sampler may draw more groups of fewer views
        randomized = self._randomized(count * each, generator).view(count, each, -1)
        trained = self.real_indices(held_out=False)
        total = round(self.batch_size * self.real_share) // world * world if trained else 0
        chosen = torch.randint(max(len(trained), 1), (total,), generator=generator)
        real = torch.tensor(trained, dtype=torch.int64)[chosen] if trained else torch.zeros(0, dtype=torch.int64)
        flip = torch.rand(total, generator=generator) < 0.5
        own, own_real = (slice(n * rank // world, n * (rank + 1) // world) for n in (count, total))
        part = Groups(groups.shape[own], groups.u[own], groups.exploratory[own])
        return _Plan(part, randomized[own], real[own_real], flip[own_real], views.candidates, count * each)

    def judging_plans(self, split: str) -> list[_Plan]:
        """Uniform and clean views of each shape of a split, the same in every epoch, one plan a shape and kind."""
        space, (low, high) = self.space, self.clean_window
        engine = torch.quasirandom.SobolEngine(len(space), scramble=True, seed=self.seed)
        x = engine.draw(self.validation_views, dtype=torch.float64)
        plans = []
        for shape in range(len(self.splits[split])):
            for kind, u in enumerate((space.from_unit(x), low + x * (high - low))):
                groups = Groups(torch.tensor([shape]), u[None], torch.tensor([kind == 0]))
                none = torch.zeros(0, dtype=torch.int64)
                defaults = [self.renderer.semantic_parameters[name].default for name in self.randomized]
                extra = torch.tensor(defaults).expand(1, len(u), len(defaults))
                plans.append(_Plan(groups, extra, none, none.bool(), 1, len(u)))
        return plans

    # ---- Lightning

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move pictures and labels to the device; views stay on the CPU."""
        return batch.to(device)

    def train_dataloader(self) -> PlannedLoader:
        """The steps of the coming epoch: as many as its share of the rendered images still pays for."""
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        self.prepare_shapes("train")
        epoch = self.trainer.current_epoch
        steps = module.prepare_epoch(epoch)
        plans = _Plans(steps, lambda step: self.train_plan(module.views, epoch, step))
        return self._loader("train", plans)

    def val_dataloader(self) -> PlannedLoader:
        """Validation shapes at fixed views."""
        return self._judging("validation")

    def test_dataloader(self) -> PlannedLoader:
        """Held-out shapes at fixed views."""
        return self._judging("held_out")

    def _judging(self, split: str) -> PlannedLoader:
        rank, world = self._place()
        self.prepare_shapes(split)
        plans = self.judging_plans(split)
        # The same number on every process: processes with fewer plans end with an empty one.
        plans += [plans[0].empty()] * (-len(plans) % world)
        own = plans[rank::world]
        return self._loader(split, _Plans(len(own), own.__getitem__))

    def _loader(self, split: str, plans: _Plans) -> PlannedLoader:
        cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return PlannedLoader(_PlannedImages(self, split), plans, self.num_workers, cuda)
