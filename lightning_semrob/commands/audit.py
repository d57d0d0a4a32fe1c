"""``semrob audit``: does the gradient agree with the slope of f, for any mesh and network?"""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from lightning_semrob.commands.parsing import Parser, quiet
from lightning_semrob.functions import RenderedFunction, SemanticFunction
from lightning_semrob.networks import build_network
from lightning_semrob.networks.probe import probe_in_words, probe_network
from lightning_semrob.rendering import RENDERERS, Scene
from lightning_semrob.shapes.catalog import ShapeSpec, resolve_shapes
from lightning_semrob.verification.audit import GradientAudit, ImageScore, agreement, audit_gradient, smooth_score


def main(args: Sequence[str] | None = None) -> GradientAudit:
    """The command; returns what it prints."""
    parser = Parser(
        "audit",
        "Fit a straight line to f in a window of +-1 degree (+-1 % of another unit) around random views "
        "and compare its slope with the mean gradient there, and with finite differences. Counted are the slopes "
        "that exceed three standard errors.",
    )
    parser.add_argument("--shapes", type=str, nargs="+", default=["embedded"], help="as of evaluate.py --data.shapes")
    parser.add_argument(
        "--network", type=str | None, default=None, help="a network's name; a fixed smooth score if null"
    )
    parser.add_argument("--axes", type=str, nargs="+", default=["azimuth", "elevation"], help="axes to audit, or 'all'")
    parser.add_argument("--views", type=int, default=4, help="random views a shape")
    parser.add_argument("--points", type=int, default=15, help="evaluations in a window")
    parser.add_argument("--image_size", type=int, default=224, help="pixels")
    parser.add_argument("--supersampling", type=int, default=2, help="samples a pixel along each side")
    parser.add_argument("--backend", choices=list(RENDERERS), default="rasterizer", help="the renderer")
    parser.add_argument("--scene", type=Scene | None, default=None, help="what stands around the shapes")
    parser.add_argument("--seed", type=int, default=0, help="of the views")
    options = parser.parse_args(args)
    quiet()
    if options.views < 1:
        raise ValueError(f"--views must be at least 1, got {options.views}")
    make = RENDERERS[options.backend]
    renderer = make(options.image_size, supersampling=options.supersampling, scene=options.scene)
    table = renderer.semantic_parameters
    axes = [name for name, p in table.items() if p.axis.differentiable] if options.axes == ["all"] else options.axes
    space = renderer.space(*dict.fromkeys(["azimuth", "elevation", *axes]))
    specs: list[ShapeSpec] = resolve_shapes(options.shapes)
    network = None if options.network is None else build_network(options.network)
    parts = []
    for number, spec in enumerate(tqdm(specs, unit="shape", leave=False)):
        seed = options.seed * 100_003 + number
        f: SemanticFunction
        if network is None:
            f = ImageScore(renderer, spec.load(), smooth_score(options.image_size, seed), space)
        else:
            f = RenderedFunction(renderer, network, spec.load(), spec.target, space)
            if number == 0:
                print(probe_in_words(probe_network(network, f.images(space.sobol(4, 0)))))
        parts.append(audit_gradient(f, space.sobol(options.views, seed), space, options.points, axes=axes))
    audit = GradientAudit.cat(parts)
    print(
        f"{len(specs)} shapes, {options.views} views each, score {options.network or 'smooth'}, {options.backend}, "
        f"{options.image_size} px, supersampling {options.supersampling}"
    )
    print(audit.table())
    for axis in agreement(audit.ratio, audit.names):
        if axis.fails:
            print(f"the gradient along '{axis.axis}' fails: {axis.right} of {axis.counted} signs are right")
    return audit
