"""The guaranteed map against the exact truth on recorded maps, on held-out maps and on adversarial truths.

    python benchmarks/trust_map.py [--maps path/to/maps.npz] [--parts targets held_out adversarial curve table]

``--maps`` is an npz whose array ``maps`` ends in (elevation -10 to 89 degrees, azimuth 0 to 360); ``paper_maps.npz`` by
default. f is multilinear between its samples, so the mean of each of the 24 x 8 tiles is known exactly.

- ``targets``: share of the space decided, evaluations, wrong calls by e-BH and with ``simultaneous``, eps 0.5 and 0.3;
- ``held_out``: the same on 60 smooth random maps and, with ``--rendered FILE``, on maps of other networks, which are
  drawn by this project's renderer (60 x 20 views each) and kept in the file;
- ``adversarial``: wrong calls in ``--repetitions`` maps of truths that are hard to call (8 x 2 tiles);
- ``curve``: share decided against evaluations, beside Clopper-Pearson with Bonferroni's correction on the same tiles
  (scores rounded to 0 or 1 at random, which keeps the mean) and adaptive concentration as in PRoA (Zhang et al. 2022;
  the inequality of Zhao et al. 2016), whose tiles are put in the order that is best for it, on every fourth map;
- ``table``: trusted and failing shares of each network with intervals over shapes, and pairs of networks.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from reference import REFERENCE
from torch import Tensor

from lightning_semrob import AnalyticFunction, RecordedFunction, SemanticSpace
from lightning_semrob.functional.trusted_share import compare_shares, share_intervals
from lightning_semrob.functional.uncertainty import ShapeInterval, clopper_pearson
from lightning_semrob.report.figures import save_figure
from lightning_semrob.trust import Tiles
from lightning_semrob.trust.sampling import MapSamples, sample_maps

SPACE = SemanticSpace.default()
TILES = Tiles(SPACE, (24, 8))
HARD = Tiles(SPACE, (8, 2))
ALPHA = 0.05


def tile_means(f: RecordedFunction, rows: int, elevations: int) -> Tensor:
    """Exact mean of each recorded map over each tile, (rows, T): midpoints of the pieces on which f is bilinear."""
    azimuth = torch.linspace(0, 360, math.lcm(24, f.maps.shape[1]) + 1).double()
    knots = torch.linspace(-10, 89, elevations).double()
    elevation = torch.cat([knots, torch.tensor([90.0]), TILES.low[:8, 1]]).double().unique()
    middles = [(line[1:] + line[:-1]) / 2 for line in (azimuth, elevation)]
    widths = [line.diff() for line in (azimuth, elevation)]
    points = torch.stack(torch.meshgrid(*middles, indexing="ij"), -1).reshape(1, -1, 2)
    weight = (widths[0][:, None] * widths[1]).flatten()
    position = (SPACE.to_unit(points[0]) * torch.tensor(TILES.shape)).long()
    tile = position[:, 0] * TILES.shape[1] + position[:, 1]
    total = torch.zeros(TILES.count).double().index_add_(0, tile, weight)
    means = [
        torch.zeros(TILES.count).double().index_add_(0, tile, weight * f(points, torch.tensor([row]))[0])
        for row in range(rows)
    ]
    return torch.stack(means) / total


def right_calls(mean: Tensor, eps: float) -> Tensor:
    """The call of each tile that its mean deserves, as a position in CALLS."""
    return torch.where(mean >= 1 - eps, 0, torch.where(mean <= eps, 1, 2))


def sample(f: RecordedFunction, rows: int, eps: float, budget: int, error: str = "fdr", seed: int = 0) -> MapSamples:
    """All maps, in groups that fit into memory."""
    parts = []
    for index in torch.arange(rows).split(80):
        streams = index.tolist()
        parts.append(
            sample_maps(
                f,
                TILES,
                index,
                eps=eps,
                alpha=ALPHA,
                error=error,
                max_evaluations=budget,
                seed=seed,
                streams=streams,
            )
        )
    fields = ("call", "log_e", "count", "mean", "evaluations")
    merged = {name: torch.cat([getattr(part, name) for part in parts]) for name in fields}
    empty = torch.zeros(0)
    return MapSamples(**merged, row=empty, tile=empty, value=empty, score=empty)


def judged(samples: MapSamples, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Share of wrong calls among the calls, and whether there is any, of each map."""
    called = samples.call >= 0
    wrong = (called & (samples.call != truth)).sum(-1)
    return wrong / called.sum(-1).clamp_min(1), (wrong > 0).double()


def targets(f: RecordedFunction, mean: Tensor, seeds: int, network: bool = True) -> bool:
    """Print the share decided, the cost and the errors; whether all goals are met (those of cost for networks only)."""
    print(
        f"{'eps':>4} {'error':>13} {'decided':>8} {'evaluations: median':>20} {'mean':>6} {'wrong calls':>16} "
        f"{'mean share wrong':>17} {'maps with any':>14}"
    )
    good = True
    for eps in (0.5, 0.3):
        for error in ("fdr", "simultaneous"):
            decided, cost, share, some, wrong, calls = [], [], [], [], 0, 0
            for seed in range(seeds):
                samples = sample(f, len(mean), eps, 4080, error, seed)
                false, any_false = judged(samples, right_calls(mean, eps))
                called = (samples.call >= 0).sum(-1)
                wrong, calls = wrong + round(float((false * called).sum())), calls + int(called.sum())
                decided.append(called / TILES.count)
                cost.append(samples.evaluations.double())
                share.append(false)
                some.append(any_false)
            parts = [torch.cat(x) for x in (decided, cost, share, some)]
            print(
                f"{eps:>4} {error:>13} {float(parts[0].mean()):>8.1%} {float(parts[1].median()):>20.0f} "
                f"{float(parts[1].mean()):>6.0f} {wrong:>7} of {calls:<6} {float(parts[2].mean()):>16.3%} "
                f"{float(parts[3].mean()):>14.2%}"
            )
            if error == "fdr":
                goal, limit = (0.9, 2000) if eps == 0.5 else (0.8, 4080)
                good &= not network or (float(parts[0].mean()) >= goal and float(parts[1].median()) <= limit)
                good &= float(parts[2].mean()) <= ALPHA
            else:
                good &= float(parts[3].mean()) <= ALPHA
    return good


def omniscient(f: RecordedFunction, rows: int, budget: int = 4080) -> None:
    """Print what a bettor decides who knows the scores of every tile: the best constant bet, easy tiles first.

    Evidence of log(1 / alpha) does, as where all tiles are called. Control variates are tried, too.
    """
    q = (torch.arange(12).double() + 0.5) / 12
    y = torch.cartesian_prod(q, q)
    tile = torch.arange(TILES.count).repeat_interleave(len(y))
    u = TILES.low[tile] + y.repeat(TILES.count, 1) * (TILES.high - TILES.low)[tile]
    x = f(u[None].expand(rows, -1, -1), torch.arange(rows)).view(rows, TILES.count, len(y))
    middle = y - 0.5
    slope = x @ middle @ torch.linalg.inv(middle.T @ middle)
    reach = slope.abs().sum(-1) / 2

    def rate(threshold: float, above: bool) -> Tensor:
        """Evidence that a sample gains against a mean on the other side of a threshold, (rows, T)."""
        best = torch.zeros_like(reach)
        for scores, wide in ((x, torch.zeros_like(reach)), (x - slope @ middle.T, reach)):
            gain = (scores - threshold) if above else (threshold - scores)
            room = (threshold if above else 1 - threshold) + wide
            for stake in torch.linspace(0.02, 0.98, 25):
                best = torch.maximum(best, torch.log1p(stake * gain / room[..., None]).mean(-1))
        return best.clamp_min(1e-9)

    for eps in (0.5, 0.3):
        two = 0.0 if eps == 0.5 else math.log(2)
        bar = math.log(1 / ALPHA)
        needs = [(bar + two) / rate(1 - eps, True), (bar + two) / rate(eps, False)]
        if eps < 0.5:
            needs.append(bar / torch.minimum(rate(eps, True), rate(1 - eps, False)))
        spent = torch.stack(needs).amin(0).ceil().sort(-1).values.cumsum(-1)
        goal = 0.9 if eps == 0.5 else 0.8
        needed = float(spent[:, math.ceil(goal * TILES.count) - 1].median())
        print(
            f"{eps:>4} a bettor who knows the scores of every tile: {float((spent <= budget).double().mean()):.1%} at "
            f"{budget}; {goal:.0%} at a median of {needed:.0f}"
        )


def smooth_maps(count: int, seed: int = 0) -> Tensor:
    """Random maps (count, 34, 120): plane waves of up to 12 periods through a sigmoid of random sharpness."""
    generator = torch.Generator().manual_seed(seed)
    azimuth = torch.arange(120).double() / 120 * 2 * math.pi
    elevation = torch.arange(34).double() / 34 * math.pi
    maps = []
    for _ in range(count):
        field = torch.zeros(34, 120).double()
        for _ in range(12):
            k = torch.randint(0, 13, (1,), generator=generator).item()
            m = torch.rand(1, generator=generator).item() * 6
            phase = torch.rand(1, generator=generator).item() * 2 * math.pi
            size = torch.randn(1, generator=generator).item() / (1 + 0.25 * (k + m))
            field += size * torch.cos(k * azimuth + m * elevation[:, None] + phase)
        level, sharp = torch.randn(1, generator=generator).item() * 0.7, 1 + 7 * torch.rand(1, generator=generator)
        maps.append(torch.sigmoid((field - level) * sharp))
    return torch.stack(maps)


def rendered_maps(path: Path, networks: list[str], shapes: list[str]) -> Tensor:
    """Maps (M, 20, 60) of networks on shapes: those of the file, where every shape is kept when it is drawn."""
    from lightning_semrob.evaluation.job import JobConfig

    job = JobConfig(data={"networks": networks, "shapes": shapes}, progress=False).make()
    job.prepare()
    environment = job.environment
    azimuth, elevation = torch.arange(60).double() * 6, torch.linspace(-10, 89, 20).double()
    points = torch.stack(torch.meshgrid(elevation, azimuth, indexing="ij"), -1).flip(-1).reshape(-1, 2)
    known: dict[str, np.ndarray] = dict(np.load(path)) if path.is_file() else {}
    names = [name.partition("@")[0] for name in networks]
    for number, shape in enumerate(environment.shapes):
        keys = [f"{name} on {shape.shape_id}" for name in names]
        if all(key in known for key in keys):
            continue
        functions = [environment.rendered_function(network, number) for network in range(len(networks))]
        # Networks look at the same pictures while these are remembered.
        parts = [[f(part[None])[0] for f in functions] for part in points.split(400)]
        for key, column in zip(keys, zip(*parts, strict=True), strict=True):
            known[key] = torch.cat(column).view(20, 60).numpy()
        np.savez(path, **known)
    wanted = [f"{name} on {shape.shape_id}" for name in names for shape in environment.shapes]
    return torch.stack([torch.from_numpy(known[key]) for key in wanted])


def adversarial(kind: str, eps: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A function on 8 x 2 tiles and the right call of each; every second tile is hard, the others score 1."""
    odd = HARD.cell.sum(-1) % 2 == 1
    middle = 1 if eps == 0.5 else 2  # of a mean a hair below 1 - eps

    def f(u: Tensor) -> Tensor:
        x = SPACE.to_unit(u) * torch.tensor(HARD.shape).double()
        y, is_odd = x - x.floor(), x.floor().sum(-1) % 2 == 1
        fine = (y[..., 0] * 50) % 1  # fifty stripes a tile
        if kind == "at 1 - eps, stripes":
            hard = (fine < 1 - eps - 1e-6).double()
        elif kind == "at eps, stripes":
            hard = (fine < eps + 1e-6).double()
        elif kind == "at 1 - eps, constant":
            hard = torch.full_like(fine, 1 - eps - 1e-6)
        elif kind == "rare hole":  # 2 % of the tile at 0, the rest a little above the threshold
            hard = torch.where((y - 0.5).abs().amax(-1) < 0.0707, 0.0, (1 - eps) / 0.98 - 1e-3)
        elif kind == "checkerboard":
            board = (y * 8).floor().sum(-1) % 2 == 0
            hard = torch.where(board, min(1.0, 2 * (1 - eps) - 1e-6), max(0.0, 2 * (1 - eps) - 1 - 1e-6))
        else:  # half the tile right, a sharp edge across it
            hard = (y[..., 0] < 1 - eps - 1e-6).double()
        return torch.where(is_odd, hard, 1.0)

    hard_call = middle
    if kind == "at eps, stripes":
        hard_call = 0 if eps == 0.5 else 2
    return f, torch.where(odd, hard_call, 0)


KINDS = ("at 1 - eps, stripes", "at eps, stripes", "at 1 - eps, constant", "rare hole", "checkerboard", "edge")


def adversaries(repetitions: int) -> bool:
    """Print wrong calls of each truth; whether every guarantee holds."""
    good = True
    print(f"{'truth':>22} {'eps':>4} {'mean share wrong (fdr)':>23} {'any wrong (simultaneous)':>25} {'called':>7}")
    for kind in KINDS:
        for eps in (0.5, 0.3):
            f, truth = adversarial(kind, eps)
            result, called = {}, 0.0
            for error in ("fdr", "simultaneous"):
                shares, some = [], []
                for streams in torch.arange(repetitions).split(250):
                    samples = sample_maps(
                        AnalyticFunction(f),
                        HARD,
                        torch.zeros_like(streams),
                        eps=eps,
                        alpha=ALPHA,
                        error=error,
                        max_evaluations=500,
                        seed=0,
                        streams=streams.tolist(),
                    )
                    share, wrong = judged(samples, truth)
                    shares.append(share)
                    some.append(wrong)
                    called += float((samples.call >= 0).double().mean(-1).sum()) / repetitions / 2
                result[error] = torch.cat(shares), torch.cat(some)
            share = result["fdr"][0]
            average, spread = float(share.mean()), float(share.std()) / math.sqrt(repetitions)
            errors = int(result["simultaneous"][1].sum())
            low = float(clopper_pearson(torch.tensor([errors]), torch.tensor([repetitions]), 0.998)[0])
            good &= average - 3 * spread <= ALPHA and low <= ALPHA
            print(
                f"{kind:>22} {eps:>4} {average:>14.3%} +- {spread:<6.3%} {errors / repetitions:>24.2%} {called:>7.1%}"
            )
    return good


def clopper_pearson_curve(f: RecordedFunction, mean: Tensor, eps: float, budgets: list[int]) -> list[float]:
    """Share decided with the same number of samples in every tile; each tile at the level ALPHA / T."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.arange(0, len(mean), 4)
    most = max(budgets) // TILES.count
    x = torch.rand(len(rows), TILES.count * most, 2, generator=generator).double()
    tile = torch.arange(TILES.count).repeat_interleave(most)
    u = TILES.low[tile] + x * (TILES.high - TILES.low)[tile]
    score = f(u, rows).view(len(rows), TILES.count, most)
    hit = (torch.rand(score.shape, generator=generator).double() < score).double()
    result = []
    for budget in budgets:
        n = budget // TILES.count
        if n == 0:
            result.append(0.0)
            continue
        low, high = clopper_pearson(hit[..., :n].sum(-1), torch.tensor(float(n)), 1 - ALPHA / TILES.count)
        decided = (low >= 1 - eps) | (high <= eps) | ((low > eps) & (high < 1 - eps))
        result.append(float(decided.double().mean()))
    return result


def concentration_curve(f: RecordedFunction, mean: Tensor, eps: float, budgets: list[int]) -> list[float]:
    """Share decided by adaptive concentration, every tile at ALPHA / T, the tiles that decide soonest first."""
    generator = torch.Generator().manual_seed(2)
    rows, most = torch.arange(0, len(mean), 4), 400
    counts = torch.arange(1, most + 1).double()
    delta = ALPHA / TILES.count
    width = ((0.6 * torch.log(torch.log(counts) / math.log(1.1) + 1) + math.log(24 / delta) / 1.8) / counts).sqrt()
    cost = torch.full((len(rows), TILES.count), torch.inf).double()
    for start in range(0, TILES.count, 16):
        tile = torch.arange(start, start + 16).repeat_interleave(most)
        x = torch.rand(len(rows), len(tile), 2, generator=generator).double()
        u = TILES.low[tile] + x * (TILES.high - TILES.low)[tile]
        average = f(u, rows).view(len(rows), 16, most).cumsum(-1) / counts
        low, high = average - width, average + width
        decided = (low >= 1 - eps) | (high <= eps) | ((low > eps) & (high < 1 - eps))
        first = torch.where(decided, counts, torch.inf).amin(-1)
        cost[:, start : start + 16] = first
    spent = cost.sort(-1).values.cumsum(-1)
    return [float((spent <= budget).double().mean()) for budget in budgets]


def curve(f: RecordedFunction, mean: Tensor, figure: Path | None) -> None:
    """Print the share decided against evaluations on every fourth map, and draw it."""
    budgets, found = [400, 800, 1200, 1600, 2000, 3000, 4080, 8000], {}
    fourth = RecordedFunction(f.maps.transpose(1, 2)[::4])
    print(f"share of the space decided; evaluations: {'':>14}" + "".join(f"{budget:>8}" for budget in budgets))
    for eps in (0.5, 0.3):
        ours = [float((sample(fourth, len(fourth.maps), eps, n).call >= 0).double().mean()) for n in budgets]
        rows = {
            "trust map (e-BH)": ours,
            "Clopper-Pearson, Bonferroni": clopper_pearson_curve(f, mean, eps, budgets),
            "adaptive concentration (PRoA)": concentration_curve(f, mean, eps, budgets),
        }
        for name, values in rows.items():
            print(f"eps {eps}  {name:<46}" + "".join(f"{value:>8.1%}" for value in values))
        found[eps] = rows
    if figure is not None:
        print(save_figure(plot_curves(budgets, found), figure))


def plot_curves(budgets: list[int], found: dict[float, dict[str, list[float]]]) -> Figure:
    """Share decided against evaluations, a panel for each eps."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (eps, rows) in zip(panels, found.items(), strict=True):
        for (name, values), style in zip(rows.items(), ("o-", "s--", "^:"), strict=True):
            axes.plot(budgets, [100 * value for value in values], style, label=name, markersize=4)
        axes.set_xscale("log")
        axes.set_xticks(budgets[::2] + budgets[-1:], [f"{budget:,}" for budget in budgets[::2] + budgets[-1:]])
        axes.minorticks_off()
        axes.set_title(f"eps {eps:g}", fontsize="medium")
        axes.set_xlabel("evaluations")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("decided, percent of the space")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def table(f: RecordedFunction, mean: Tensor, networks: list[str], classes: int) -> None:
    """Print the shares of each network with intervals over shapes, beside the exact shares, and compare networks."""
    shapes = len(mean) // len(networks)
    labels = torch.arange(classes).repeat_interleave(shapes // classes)

    def text(found: ShapeInterval) -> str:
        return f"{found.estimate:.1%} [{found.low:.1%}, {found.high:.1%}]"

    for eps in (0.5, 0.3):
        samples, truth = sample(f, len(mean), eps, 4080), right_calls(mean, eps)
        average = float(samples.evaluations.double().mean())
        print(f"eps {eps}, mean of the classes [95 % interval over shapes]; {average:.0f} evaluations a map")
        columns = ("network", 14), ("trusted", 24), ("failing", 24), ("mixed", 7), ("undecided", 10), ("exact", 7)
        print(" ".join(f"{name:>{width}}" for name, width in columns) + "  failing")
        trusted, failing, mixed, undecided = (
            (samples.call == code).double().mean(-1).view(len(networks), shapes) for code in (0, 1, 2, -1)
        )
        exact = [(truth == code).double().mean(-1).view(len(networks), shapes).mean(-1).tolist() for code in (0, 1)]
        intervals = zip(share_intervals(trusted, labels), share_intervals(failing, labels), strict=True)
        for n, (high, low) in enumerate(intervals):
            print(
                f"{networks[n]:>14} {text(high):>24} {text(low):>24} {float(mixed[n].mean()):>7.1%} "
                f"{float(undecided[n].mean()):>10.1%} {exact[0][n]:>7.1%} {exact[1][n]:>8.1%}"
            )
        for first, second, found in compare_shares(trusted, labels):
            print(
                f"{networks[first]} and {networks[second]}: trusted share {100 * found.estimate:+.1f} points "
                f"[{100 * found.low:.1f}, {100 * found.high:.1f}], p = {found.p_holm:.4f} (Holm): {found.verdict}"
            )


def main(arguments: list[str] | None = None) -> int:
    parts = ("targets", "held_out", "adversarial", "curve", "table")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, default=REFERENCE / "paper_maps.npz")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--repetitions", type=int, default=2000, help="maps of each adversarial truth")
    parser.add_argument("--seeds", type=int, default=1, help="times that every map is sampled")
    parser.add_argument("--figure", type=Path, help="png of the curve")
    parser.add_argument("--limit", type=int, help="only about this many maps")
    parser.add_argument("--rendered", type=Path, metavar="FILE", help="npz of the drawn maps; made if absent")
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "efficientnet_lite1"], help="to draw")
    parser.add_argument("--shapes", nargs="+", default=["teapot", "park_bench", "drum", "umbrella"], help="to draw")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    good = True
    started = time.monotonic()
    if set(options.parts) & {"targets", "curve", "table"}:
        if not options.maps.is_file():
            raise SystemExit(f"{options.maps} is absent: docs/differences.md says how to get the authors' maps")
        with np.load(options.maps) as data:
            maps = torch.as_tensor(data["maps"]).double()
            networks = [str(x) for x in data["networks"]] if "networks" in data else ["all maps"]
            classes = maps.shape[1] if maps.dim() == 5 else 1
        maps = maps.reshape(-1, *maps.shape[-2:])
        if options.limit:
            maps, networks, classes = maps[:: max(1, len(maps) // options.limit)], ["all maps"], 1
        f = RecordedFunction(maps)
        mean = tile_means(f, len(maps), maps.shape[-2])
        print(f"{options.maps.name}: {len(maps)} maps, 24 x 8 tiles, alpha {ALPHA}")
        if "targets" in options.parts:
            good &= targets(f, mean, options.seeds)
        if "curve" in options.parts:
            curve(f, mean, options.figure)
        if "table" in options.parts:
            table(f, mean, networks, classes)
    if "held_out" in options.parts:
        print("held out: 60 smooth random maps")
        f = RecordedFunction(smooth_maps(60))
        good &= targets(f, tile_means(f, 60, 34), options.seeds, network=False)
        omniscient(f, 60)
        if options.rendered:
            drawn = rendered_maps(options.rendered, options.networks, options.shapes)
            names = ", ".join(name.partition("@")[0] for name in options.networks)
            print(f"held out: {len(drawn)} maps of {names}, 60 x 20 views each")
            f = RecordedFunction(drawn)
            mean = tile_means(f, len(drawn), 20)
            good &= targets(f, mean, options.seeds)
    if "adversarial" in options.parts:
        print(f"adversarial truths: {options.repetitions} maps each, 8 x 2 tiles, alpha {ALPHA}")
        good &= adversaries(options.repetitions)
    print(f"{'all goals met' if good else 'A GOAL IS MISSED'} ({time.monotonic() - started:.0f} s)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
