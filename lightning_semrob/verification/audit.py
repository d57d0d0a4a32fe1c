"""Does the gradient of f agree with its slope? Finders that follow gradients rely on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_semrob.functional.uncertainty import clopper_pearson
from lightning_semrob.functions import SemanticFunction, window_half_widths
from lightning_semrob.rendering import Renderer
from lightning_semrob.shapes.mesh import Mesh
from lightning_semrob.space import SemanticSpace

#: An axis fails when fewer of its gradients have the right sign: with a real network f bends within the window, so
#: that not even an exact gradient agrees everywhere.
LEAST_SIGN_RIGHT = 0.85


@dataclass(frozen=True)
class GradientAudit:
    """Slopes and gradients of f around K points along n axes, per unit of the axis, all (K, n) float64.

    Args:
        names: of the axes.
        slope: of the straight line fitted to f over a window.
        standard_error: of that slope.
        gradient: mean of the gradient that f reports over the same points.
        difference: the central difference over the ends of the window, as by finite differences.
    """

    names: tuple[str, ...]
    slope: Tensor
    standard_error: Tensor
    gradient: Tensor
    difference: Tensor

    @property
    def counted(self) -> Tensor:
        """Where the slope exceeds three standard errors, (K, n) bool."""
        return self.slope.abs() > 3 * self.standard_error

    @property
    def ratio(self) -> Tensor:
        """Gradient over slope, NaN where it does not count, (K, n)."""
        return torch.where(self.counted, self.gradient / self.slope, torch.nan)

    @staticmethod
    def cat(parts: Sequence[GradientAudit]) -> GradientAudit:
        """Several audits over the same axes as one."""
        fields = ("slope", "standard_error", "gradient", "difference")
        return GradientAudit(parts[0].names, *(torch.cat([getattr(part, name) for part in parts]) for name in fields))

    def table(self) -> str:
        """One line an axis and one for all: pairs, counted, sign right and relative error of both gradients."""
        lines = [f"{'axis':16s} {'pairs':>6s} {'counted':>8s} {'sign right':>11s} {'median error':>13s} {'90 %':>8s}"
                 f" | {'finite: sign':>12s} {'median error':>13s}"]  # fmt: skip
        columns = [(name, slice(k, k + 1)) for k, name in enumerate(self.names)]
        for name, column in [*columns, ("all", slice(None))] if len(columns) > 1 else columns:
            counted = self.counted[:, column]
            line = f"{name:16s} {counted.numel():6d} {int(counted.sum()):8d}"
            if counted.any():
                slope = self.slope[:, column][counted]
                for values in (self.gradient, self.difference):
                    ratio = values[:, column][counted] / slope
                    error = (ratio - 1).abs()
                    line += f" {float((ratio > 0).double().mean()):11.1%} {float(error.median()):13.1%}"
                    line += f" {float(error.quantile(0.9)):8.1%} |" if values is self.gradient else ""
            lines.append(line)
        return "\n".join(lines)


@dataclass(frozen=True)
class AxisAgreement:
    """How often the gradient along an axis has the sign of the slope, among points whose slope is significant."""

    axis: str
    counted: int
    right: int

    @property
    def fails(self) -> bool:
        """Whether the share of right signs is below :data:`LEAST_SIGN_RIGHT`, at 95 % confidence."""
        if self.counted == 0:
            return False
        _, high = clopper_pearson(torch.tensor([self.right]), torch.tensor([self.counted]), 0.9)
        return float(high) < LEAST_SIGN_RIGHT


def agreement(ratio: Tensor, names: Sequence[str]) -> list[AxisAgreement]:
    """The agreement of each axis, from ratios (K, n) as of :attr:`GradientAudit.ratio`."""
    counted, right = (~ratio.isnan()).sum(0), (ratio > 0).sum(0)
    return [AxisAgreement(*item) for item in zip(names, counted.tolist(), right.tolist(), strict=True)]


def audit_gradient(
    f: SemanticFunction,
    u: Tensor,
    space: SemanticSpace,
    points: int = 15,
    index: Tensor | None = None,
    axes: Sequence[str] | None = None,
) -> GradientAudit:
    """Compare gradient and slope of f along each axis (or some, by name) around each point u (K, n).

    f and its gradient are evaluated at ``points`` even steps of a window of +-1 degree (+-1 % of the range in another
    unit), moved inside the range at its ends; least squares give the slope and its standard error. Costs ``points``
    gradient evaluations a point and axis.

    Raises:
        ValueError: fewer than 3 points, an axis that is not swept, or an f without gradient.
    """
    if points < 3:
        raise ValueError(f"an audit needs at least 3 points in a window, got {points}")
    names = space.names if axes is None else tuple(axes)
    unknown = [name for name in names if name not in space.names]
    if unknown:
        raise ValueError(f"the space sweeps {space.names}, not {unknown}")
    columns = [space.names.index(name) for name in names]
    u = u.detach().double().cpu()
    count, n = u.shape
    half = window_half_widths(space)
    steps = torch.linspace(-1, 1, points, dtype=torch.float64)
    windows = u[:, None, None].repeat(1, len(columns), points, 1)
    for place, k in enumerate(columns):
        values = u[:, None, k] + half[k] * steps
        axis = space.axes[k]
        if not axis.periodic:
            values = values + (axis.low - values[:, :1]).clamp_min(0) - (values[:, -1:] - axis.high).clamp_min(0)
        windows[:, place, :, k] = values
    value, gradient = f.value_and_grad(windows.view(count, -1, n), index)
    value, gradient = value.cpu().view(count, len(columns), points), gradient.cpu().view(*windows.shape)
    x = half[columns][:, None] * steps
    spread = (x**2).sum(-1)
    mean = value.mean(-1, keepdim=True)
    slope = ((value - mean) * x).sum(-1) / spread
    rest = ((value - mean - slope[..., None] * x) ** 2).sum(-1) / (points - 2)
    along = torch.stack([gradient[:, place, :, k].mean(-1) for place, k in enumerate(columns)], -1)
    difference = (value[..., -1] - value[..., 0]) / (2 * half[columns])
    return GradientAudit(names, slope, (rest / spread).sqrt(), along, difference)


class ImageScore(SemanticFunction):
    """f(u) of any differentiable score of the image, (B, 3, H, W) to (B,), where no network is asked."""

    def __init__(self, renderer: Renderer, mesh: Mesh, score: Callable[[Tensor], Tensor], space: SemanticSpace) -> None:
        super().__init__()
        self.renderer, self.mesh, self.score = renderer, mesh, score
        self.names = space.names

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad():
            return self._score(u.flatten(0, 1)).double().view(u.shape[:2])

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = [], []
        for part in u.flatten(0, 1).split(16):
            with torch.enable_grad():
                point = part.detach().clone().requires_grad_(True)
                value = self._score(point)
                gradients.append(torch.autograd.grad(value.sum(), point)[0])
                values.append(value.detach())
        return torch.cat(values).double().view(u.shape[:2]), torch.cat(gradients).view(u.shape)

    def _score(self, u: Tensor) -> Tensor:
        assert self.names is not None
        return self.score(self.renderer(self.mesh, u, self.names))


def smooth_score(size: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Images to their mean product with a fixed random field of 6 x 6 bicubic patches."""
    coarse = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0]
    return lambda images: (images * field).mean((1, 2, 3))
