"""Does the gradient of a renderer agree with the slope of f? A table for any shapes, axes and network.

    python benchmarks/gradient_audit.py --shapes embedded --score smooth
    python benchmarks/gradient_audit.py --shapes "path/to/folder#chair:2" --score efficientnet_lite0 --axes azimuth

For each shape, view and axis, f is evaluated at points of a window around the view; a straight line fitted to f
gives the slope and its standard error; the analytic gradient is averaged over the same points. Counted are the
pairs whose slope exceeds three standard errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from lightning_semrob.rendering import Rasterizer, Renderer
from lightning_semrob.shapes.catalog import ShapeSpec, resolve_shapes
from lightning_semrob.shapes.mesh import Mesh

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    """One (shape, view, axis): fitted slope of f, its standard error and mean gradient, per unit of the axis."""

    shape: str
    axis: str
    view: tuple[float, ...]
    slope: float
    standard_error: float
    gradient: float

    @property
    def counts(self) -> bool:
        """Whether the slope exceeds three standard errors."""
        return abs(self.slope) > 3 * self.standard_error

    @property
    def relative_error(self) -> float:
        """|gradient / slope - 1|."""
        return abs(self.gradient / self.slope - 1)


def smooth_score(size: int, seed: int) -> Score:
    """Images to their mean product with a fixed random field of 6 x 6 bicubic patches."""
    coarse = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0]
    return lambda images: (images * field).mean((1, 2, 3))


def network_score(name: str, target: Sequence[int]) -> Score:
    """Images to the softmax score of the target classes."""
    network = _network(name)
    columns = list(target)
    return lambda images: network(images).softmax(-1)[:, columns].sum(-1)


@cache
def _network(name: str) -> torch.nn.Module:
    from lightning_semrob.networks import build_network

    return build_network(name)


def audit(
    renderer: Renderer,
    mesh: Mesh,
    score: Score,
    views: Tensor,
    axes: Sequence[str],
    points: int = 15,
    micro_batch: int = 15,
    name: str = "",
) -> list[Pair]:
    """Compare gradient and fitted slope along each axis at each view.

    Args:
        renderer: a differentiable renderer.
        mesh: the shape.
        score: images (B, 3, H, W) to (B,).
        views: (K, n) in the order of ``renderer.semantic_parameters``.
        axes: names; a window is +-1 degree, or +-1 % of the range of an axis in another unit.
        points: evaluations of f in a window.
        micro_batch: images at once.
        name: of the shape, for the rows.
    """
    table = renderer.semantic_parameters
    names = tuple(table)
    pairs = []
    for view in views.to(torch.float32):
        for axis in axes:
            column, parameter = names.index(axis), table[axis].axis
            half = 1.0 if parameter.unit == "degree" else 0.01 * parameter.extent
            steps = torch.linspace(-half, half, points)
            u = view.repeat(points, 1)
            u[:, column] += steps
            if not parameter.periodic:
                u[:, column] += max(0.0, parameter.low - float(u[0, column]))
                u[:, column] -= max(0.0, float(u[-1, column]) - parameter.high)
            values, gradients = [], []
            for chunk in u.split(micro_batch):
                at = chunk.clone().requires_grad_(True)
                f = score(renderer(mesh, at, names))
                gradients.append(torch.autograd.grad(f.sum(), at)[0][:, column])
                values.append(f.detach())
            f, x = torch.cat(values).double(), steps.double()
            slope = ((f - f.mean()) * x).sum() / (x**2).sum()
            rest = ((f - f.mean() - slope * x) ** 2).sum() / (points - 2)
            error = (rest / (x**2).sum()).sqrt()
            gradient = float(torch.cat(gradients).double().mean())
            pairs.append(Pair(name, axis, tuple(view.tolist()), float(slope), float(error), gradient))
    return pairs


def random_views(renderer: Renderer, count: int, swept: Sequence[str], generator: torch.Generator) -> Tensor:
    """(count, n): ``swept`` parameters uniform in their range, the others at their default."""
    table = renderer.semantic_parameters
    columns = []
    for name, parameter in table.items():
        low, extent = parameter.axis.low, parameter.axis.extent
        column = torch.full((count,), parameter.default)
        columns.append(low + extent * torch.rand(count, generator=generator) if name in swept else column)
    return torch.stack(columns, -1)


def summary(pairs: Sequence[Pair]) -> str:
    """The table, one line an axis."""
    lines = ["axis              pairs  counted  sign right  median error  75 %   90 %"]
    for axis in (*dict.fromkeys(pair.axis for pair in pairs), "all"):
        rows = [pair for pair in pairs if axis in (pair.axis, "all")]
        counted = [pair for pair in rows if pair.counts]
        if not counted:
            lines.append(f"{axis:16s} {len(rows):6d} {0:8d}")
            continue
        right = sum(pair.gradient * pair.slope > 0 for pair in counted) / len(counted)
        errors = torch.tensor([pair.relative_error for pair in counted])
        q50, q75, q90 = (float(errors.quantile(q)) for q in (0.5, 0.75, 0.9))
        numbers = f"{len(rows):6d} {len(counted):8d} {right:10.1%} {q50:13.1%} {q75:6.1%} {q90:6.1%}"
        lines.append(f"{axis:16s} {numbers}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["embedded"], help="as of evaluate.py --data.shapes")
    parser.add_argument("--score", default="smooth", help="'smooth' or the name of a network")
    parser.add_argument("--axes", nargs="+", default=["azimuth", "elevation"], help="axes, or 'all'")
    parser.add_argument("--views", type=int, default=4, help="random views a shape")
    parser.add_argument("--points", type=int, default=15, help="evaluations in a window")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--supersampling", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worst", type=int, default=0, help="also list so many of the worst pairs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

    renderer = Rasterizer(options.image_size, supersampling=options.supersampling)
    table = renderer.semantic_parameters
    axes = [n for n, p in table.items() if p.axis.differentiable] if options.axes == ["all"] else options.axes
    specs: list[ShapeSpec] = resolve_shapes(options.shapes)
    swept = {"azimuth", "elevation", *axes} - {"distance", "field_of_view", "light_intensity"}
    pairs: list[Pair] = []
    for index, spec in enumerate(specs):
        generator = torch.Generator().manual_seed(options.seed * 100_003 + index)
        views = random_views(renderer, options.views, sorted(swept), generator)
        if options.score == "smooth":
            score = smooth_score(options.image_size, options.seed * 100_003 + index)
        else:
            score = network_score(options.score, spec.target)
        pairs += audit(renderer, spec.load(), score, views, axes, options.points, name=spec.shape_id)
    print(f"{len(specs)} shapes, {options.views} views each, score {options.score}, {options.image_size} px, "
          f"supersampling {options.supersampling}")  # fmt: skip
    print(summary(pairs))
    worst = sorted((pair for pair in pairs if pair.counts), key=lambda pair: -pair.relative_error)
    for pair in worst[: options.worst]:
        print(f"{pair.shape} {pair.axis} slope {pair.slope:.2e} +- {pair.standard_error:.1e}, "
              f"gradient {pair.gradient:.2e}, azimuth {pair.view[0]:.1f}, elevation {pair.view[1]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
