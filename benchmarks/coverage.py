"""Do the intervals and calls about shapes hold, how wide are they, what do so many shapes show, what does a budget?

Over 400 lines: each part is a table of its own, and they share the populations and functions.


    python benchmarks/coverage.py [--parts intervals calls ...] [--repetitions N] [--every]

intervals: coverage and width of 95 % intervals of the class mean, over populations (most shapes zero, most one, classes
alike and different, resampled from the entries of the leaderboard) and layouts (6 to 60 shapes in equal and unequal
classes). Classes are fixed, the shapes of a class are drawn from it. Printed: for each method the lowest coverage, the
number of populations below 94.5 %, and the mean width in units of that of ``mean_interval_over_shapes``; ``--every``
prints each population too.

calls: how often "more robust" is said of networks that are exchangeable, or whose means agree, by the rule of 0.1.0
(the bootstrap interval excludes zero) and by the sign-flip test after Holm's correction.

power: how often the difference is called that ``detectable_difference`` says so many shapes show.

budgets, calibration, bounds, streams, range: the verified finder and ``verify`` on functions whose truth is known.
What a budget can reach and verifies; networks that are right on the same views and differ in how sure they are; whether
the bounds printed beside a verified box contradict it; which random points repeat; scores outside [0, 1]. Version 0.1.0
is what its rules give on the same samples.

several: how often ``verify`` of a folder, and ``compare`` with its table of classes, say something wrong at all.

No network is run: everything is drawn by a seeded generator. The leaderboard's entries are read where populations are
resampled from them.
"""

from __future__ import annotations

if __name__ == "coverage":  # asked for as the package of this name, by a script beside this one
    raise ImportError("benchmarks/coverage.py is a script, not the package of this name")

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from intervals import bootstrap_interval, variance_interval
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from lightning_semrob import Box, SemanticFunction, SemanticSpace
from lightning_semrob.finders.verified import search as verified_search
from lightning_semrob.finders.verified.search import VerifiedRun, VerifiedSearch
from lightning_semrob.functional import betting
from lightning_semrob.functional.betting import mean_interval
from lightning_semrob.functional.uncertainty import (
    detectable_difference,
    holm,
    interval_ends,
    sign_flip_p_value,
)
from lightning_semrob.report.tables import format_table
from lightning_semrob.utilities.random import named_seed, row_generator
from lightning_semrob.verification.region import verify

Array = NDArray[np.float64]
ENTRIES = Path(__file__).resolve().parent / "leaderboard" / "results"
REFERENCE = [4, 6, 6, 5, 6, 6, 6, 6, 6, 6]  # shapes of the ten classes of the reference protocol
LAYOUTS: dict[str, list[int]] = {
    "34 x 1": [1] * 34,
    "57 in 10": REFERENCE,
    "10 x 6": [6] * 10,
    "20 x 3": [3] * 20,
    "10 x 1": [1] * 10,
    "6 x 1": [1] * 6,
    "1 x 6": [6],
    "3 x 2": [2] * 3,
    "2 x 5": [5] * 2,
    "1, 2, 7": [1, 2, 7],
    "1, 9 x 6": [1, *[6] * 9],
    "2, 9 x 6": [2, *[6] * 9],
}
_CONFIDENCE = 0.95


class Class(NamedTuple):
    """Values of one class: 0 but for a share ``some``, which ``draw`` gives with the mean ``mean``."""

    some: float
    draw: Callable[[np.random.Generator, tuple[int, int]], Array]
    mean: float


def _beta(a: float, b: float) -> Callable[[np.random.Generator, tuple[int, int]], Array]:
    return lambda random, shape: random.beta(a, b, shape)


def _ones(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return np.ones(shape)


#: Name -> the population of class c of C.
POPULATIONS: dict[str, Callable[[int, int], Class]] = {
    "15 % uniform": lambda c, classes: Class(0.15, _beta(1, 1), 0.5),
    "5 % small": lambda c, classes: Class(0.05, _beta(2, 30), 2 / 32),
    "40 % middling": lambda c, classes: Class(0.4, _beta(1.5, 3), 1 / 3),
    "5 % one": lambda c, classes: Class(0.05, _ones, 1.0),
    "30 % one": lambda c, classes: Class(0.3, _ones, 1.0),
    "50 % one": lambda c, classes: Class(0.5, _ones, 1.0),
    "90 % one": lambda c, classes: Class(0.9, _ones, 1.0),
    "every other class zero": lambda c, classes: Class(0.5 * (c % 2), _beta(2, 2), 0.5),
    "first class alone": lambda c, classes: Class(0.7 * (c == 0), _ones, 1.0),
    "classes of 80 % and of none": lambda c, classes: Class(0.8 * (c % 2 == 0), _ones, 1.0),
    "dense": lambda c, classes: Class(1.0, _beta(2, 2), 0.5),
    "classes from 0.1 to 0.9": lambda c, classes: Class(1.0, *_around(0.1 + 0.8 * (c + 0.5) / classes)),
    "nearly one": lambda c, classes: Class(1.0, lambda r, s: np.where(r.random(s) < 0.95, 1.0, r.random(s)), 0.975),
}


def _around(mean: float) -> tuple[Callable[[np.random.Generator, tuple[int, int]], Array], float]:
    return _beta(8 * mean, 8 * (1 - mean)), mean


class Population(NamedTuple):
    """Samples (R, S) of a population, the class of each shape and the true class mean."""

    name: str
    layout: str
    values: Array
    classes: Array
    truth: float


def populations(repetitions: int, seed: int = 0) -> Iterator[Population]:
    """All layouts with all populations, then those resampled from the entries of the leaderboard."""
    random = np.random.default_rng(seed)
    for layout, sizes in LAYOUTS.items():
        classes = np.repeat(np.arange(len(sizes)), sizes)
        for name, population in POPULATIONS.items():
            made = [population(c, len(sizes)) for c in range(len(sizes))]
            drawn = [
                np.where(random.random((repetitions, size)) < one.some, one.draw(random, (repetitions, size)), 0.0)
                for one, size in zip(made, sizes, strict=True)
            ]
            truth = float(np.mean([one.some * one.mean for one in made]))
            yield Population(name, layout, np.concatenate(drawn, 1), classes, truth)
    for path in sorted(ENTRIES.glob("*/*.json")):
        shapes = json.loads(path.read_text(encoding="utf-8"))["shapes"]
        names = list(dict.fromkeys(shape["class_name"] for shape in shapes))
        classes = np.array([names.index(shape["class_name"]) for shape in shapes])
        single = len(names) == len(shapes)  # then classes are drawn from those of the protocol
        for what in ("verified_srvr", "accuracy"):
            x = np.array([shape[what] for shape in shapes])
            groups = [np.arange(len(x))] if single else [np.flatnonzero(classes == c) for c in range(len(names))]
            drawn = [x[group][random.integers(len(group), size=(repetitions, len(group)))] for group in groups]
            truth = float(np.mean([x[group].mean() for group in groups]))
            word = "verified" if what == "verified_srvr" else "accuracy"
            yield Population(f"{path.stem} {word}", path.parent.name, np.concatenate(drawn, 1), classes, truth)


def weights_of(classes: Array) -> Array:
    """Weight of each shape in the class mean."""
    _, place, counts = np.unique(classes, return_inverse=True, return_counts=True)
    weights: Array = 1 / (len(counts) * counts[place])
    return weights


class Stratum(NamedTuple):
    """Shapes that are resampled together: their weight in the class mean, and how many of them are drawn."""

    members: NDArray[np.intp]
    weight: float
    drawn: int


def strata_of(classes: Array) -> list[Stratum]:
    """The classes with several shapes, and those of one shape together; a lone one has the spread of all."""
    values, counts = np.unique(classes, return_counts=True)
    strata = [
        Stratum(np.flatnonzero(classes == c), 1 / len(values), n) for c, n in zip(values, counts, strict=True) if n > 1
    ]
    single = np.flatnonzero(np.isin(classes, values[counts == 1]))
    if len(single) > 1:
        strata.append(Stratum(single, len(single) / len(values), len(single)))
    elif len(single):
        strata.append(Stratum(np.arange(len(classes)), 1 / len(values), 1))
    return strata


def deviation(values: Array, strata: Sequence[Stratum]) -> Array:
    """Standard error (...,) of the class mean of values (..., S)."""
    total = sum(part.weight**2 * values[..., part.members].var(-1, ddof=1) / part.drawn for part in strata)
    root: Array = np.sqrt(total)
    return root


def resampled(values: Array, strata: Sequence[Stratum], weight: Array, draws: int, seed: int) -> tuple[Array, Array]:
    """Class means and their standard errors of bootstrap samples, (R, draws) each."""
    random = np.random.default_rng(seed)
    mean = np.repeat((values @ weight)[:, None], draws, 1)
    square = np.zeros_like(mean)
    for part in strata:
        own = values[:, part.members]
        picked = own[:, random.integers(own.shape[1], size=(draws, part.drawn))]
        mean += part.weight * (picked.mean(-1) - own.mean(1)[:, None])
        if part.drawn > 1:
            square += part.weight**2 * picked.var(-1, ddof=1) / part.drawn
        else:
            square += part.weight**2 * own.var(1, ddof=1)[:, None]
    return mean, np.sqrt(square)


Ends = tuple[Array, Array]
_TAIL = (1 - _CONFIDENCE) / 2


def student(values: Array, classes: Array) -> Ends:
    """Student's t on the stratified standard error."""
    strata = strata_of(classes)
    freedom = max(1, len(classes) - len(strata))
    half = stats.t.isf(_TAIL, freedom) * deviation(values, strata)
    middle = values @ weights_of(classes)
    return middle - half, middle + half


def percentile(values: Array, classes: Array) -> Ends:
    """``bootstrap_interval`` of 0.1.0 with 300 resamples for all rows at once, deviations rescaled (Rao and Wu)."""
    weight, strata = weights_of(classes), strata_of(classes)
    random = np.random.default_rng(4)
    drawn = np.repeat((values @ weight)[:, None], 300, 1)
    for part in strata:
        own = values[:, part.members]
        size = own.shape[1]
        picked = own[:, random.integers(size, size=(300, part.drawn))].mean(-1)
        drawn += part.weight * math.sqrt(size / (size - 1)) * (picked - own.mean(1)[:, None])
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL], axis=1)
    return low, high


def bias_corrected(values: Array, classes: Array) -> Ends:
    """BCa (Efron 1987), acceleration by leaving out one shape at a time."""
    weight, strata = weights_of(classes), strata_of(classes)
    middle = values @ weight
    drawn, _ = resampled(values, strata, weight, 300, 1)
    drawn.sort(1)
    below = ((drawn < middle[:, None] - 1e-12).mean(1) + (drawn <= middle[:, None] + 1e-12).mean(1)) / 2
    bias = stats.norm.ppf(below.clip(1e-3, 1 - 1e-3))
    influence = weight * (values - values.mean(1, keepdims=True))
    scale = (influence**2).sum(1) ** 1.5
    bend = np.where(scale > 0, (influence**3).sum(1) / (6 * np.where(scale > 0, scale, 1)), 0.0)
    ends = []
    for z in (stats.norm.ppf(_TAIL), stats.norm.isf(_TAIL)):
        level = stats.norm.cdf(bias + (bias + z) / (1 - bend * (bias + z)))
        place = (level * (drawn.shape[1] - 1)).round().astype(int).clip(0, drawn.shape[1] - 1)
        ends.append(drawn[np.arange(len(drawn)), place])
    return ends[0], ends[1]


def bootstrap_t(values: Array, classes: Array) -> Ends:
    """Bootstrap of the studentised mean."""
    weight, strata = weights_of(classes), strata_of(classes)
    middle, error = values @ weight, deviation(values, strata)
    drawn, errors = resampled(values, strata, weight, 300, 2)
    t = (drawn - middle[:, None]) / np.where(errors > 1e-9, errors, np.inf)
    low, high = np.quantile(t, [_TAIL, 1 - _TAIL], axis=1)
    return middle - high * error, middle - low * error


def gaffke_heaviest(values: Array, classes: Array) -> Ends:
    """Gaffke's bound with weights, an imagined shape of the heaviest weight, classes as they are."""
    weight = weights_of(classes)
    random = np.random.default_rng(3)
    share = random.exponential(size=(1000, len(weight))) * weight
    extra = random.exponential(size=1000) * weight.max()
    total = share.sum(1) + extra
    mean = values @ share.T
    low = np.quantile(mean / total, _TAIL, axis=1)
    high = np.quantile((mean + extra) / total, 1 - _TAIL, axis=1)
    return low, high


def fixed_bets(values: Array, classes: Array) -> Ends:
    """Fixed bets (Waudby-Smith and Ramdas 2024), smaller for lighter shapes: holds without a conjecture.

    ``prod (1 + b w_i (x_i - m))`` has an expectation <= 1 where m is the class mean, by Jensen, also for classes that
    differ; the average over ten bets b is compared with 2 / alpha.
    """
    weight = weights_of(classes) / weights_of(classes).max()

    def lower(x: Array) -> Array:
        low, high = np.zeros(len(x)), np.ones(len(x))
        for _ in range(14):
            middle = (low + high) / 2
            bets = 0.95 / middle[:, None] * 0.6 ** np.arange(10)
            wealth = np.log1p(bets[:, :, None] * weight * (x - middle[:, None])[:, None, :]).sum(-1)
            rejected = np.logaddexp.reduce(wealth, -1) - math.log(10) >= -math.log(_TAIL)
            low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
        return low

    return lower(values), 1 - lower(1 - values)


def empirical_bernstein(values: Array, classes: Array) -> Ends:
    """Maurer and Pontil (2009) with as many shapes as the heaviest weight stands for."""
    weight = weights_of(classes)
    count = 1 / weight.max()
    middle, level = values @ weight, math.log(4 / (1 - _CONFIDENCE))
    variance = values.var(1, ddof=1)
    half = np.sqrt(2 * variance * level / count) + 7 * level / (3 * max(count - 1, 1))
    return middle - half, middle + half


def anderson(values: Array, classes: Array) -> Ends:
    """Anderson (1969): the mean of the largest and smallest distribution functions in a band (Dvoretzky et al.)."""
    weight = weights_of(classes)
    band = math.sqrt(math.log(1 / _TAIL) * weight.max() / 2)
    order = values.argsort(1)
    x = np.take_along_axis(values, order, 1)
    below = np.take_along_axis(np.broadcast_to(weight, x.shape), order, 1).cumsum(1)
    steps = np.diff(x, axis=1, append=1.0)
    high = 1 - (steps * (below - band).clip(0, 1)).sum(1)
    before = np.concatenate([np.zeros((len(x), 1)), below[:, :-1]], 1)
    low = (np.diff(x, axis=1, prepend=0.0) * (1 - before - band).clip(0, 1)).sum(1)
    return low, high


def stated(values: Array, classes: Array) -> Ends:
    """What the project states: ``mean_interval_over_shapes``, with 1000 draws instead of 10,000."""
    low, high = interval_ends(torch.from_numpy(values), torch.from_numpy(classes), _CONFIDENCE, 1000, 0)
    return low.numpy(), high.numpy()


METHODS: dict[str, Callable[[Array, Array], Ends]] = {
    "percentile bootstrap (0.1.0)": percentile,
    "Student": student,
    "BCa": bias_corrected,
    "bootstrap-t": bootstrap_t,
    "Gaffke, heaviest weight": gaffke_heaviest,
    "stated: Gaffke, fitted weight, centred": stated,
    "betting": fixed_bets,
    "empirical Bernstein": empirical_bernstein,
    "Anderson": anderson,
}


def intervals(repetitions: int, every: bool) -> None:
    """Coverage and width of every method."""
    names, lines = list(METHODS), []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for one in populations(4 * repetitions):
        cells = [one.layout, one.name, f"{100 * one.truth:.1f}"]
        for name, method in METHODS.items():
            rows = 4 * repetitions if method is stated else repetitions
            low, high = method(one.values[:rows], one.classes)
            held = float(((low <= one.truth + 1e-9) & (one.truth - 1e-9 <= high)).mean())
            width = float((high.clip(0, 1) - low.clip(0, 1)).mean())
            found[name].append((held, width))
            cells.append(f"{100 * held:.1f} ({100 * width:.1f})")
        lines.append(cells)
    if every:
        print(f"coverage (width), percent, of {repetitions} samples of each population\n")
        print(format_table(["shapes", "population", "mean", *names], lines, left=2), "\n")
    own = np.array([width for _, width in found["stated: Gaffke, fitted weight, centred"]])
    summary = []
    for name in names:
        held, width = (np.array(part) for part in zip(*found[name], strict=True))
        ratio = float(np.exp(np.log((width + 1e-4) / (own + 1e-4)).mean()))
        worst = lines[int(held.argmin())]
        row = [name, f"{100 * held.min():.1f}", f"{worst[0]}: {worst[1]}"]
        summary.append([*row, f"{(held < 0.945).sum()} of {len(held)}", f"{100 * width.mean():.1f}", f"{ratio:.2f}"])
    columns = [
        "95 % interval",
        "lowest coverage, %",
        "where",
        "below 94.5 %",
        "mean width, points",
        "to the stated one",
    ]
    print(f"{len(lines)} populations, {repetitions} samples of each, {4 * repetitions} for what is stated\n")
    print(format_table(columns, summary, left=1), flush=True)


def networks(kind: str, count: int, repetitions: int, shapes: int, random: np.random.Generator) -> Array:
    """Values (R, networks, S) of networks that are exchangeable, or of which only the means agree."""
    size = (repetitions, count, shapes)
    if kind == "exchangeable, most zero":  # the same shapes are hard for all
        easy = random.random((repetitions, 1, shapes)) < 0.3
        return np.where(easy & (random.random(size) < 0.5), random.random(size), 0.0)
    if kind == "exchangeable, dense":
        return (random.beta(2, 2, (repetitions, 1, shapes)) + random.beta(2, 2, size)) / 2
    often, rare = 0.1 * (random.random(size) < 0.5), 1.0 * (random.random(size) < 0.05)
    which = (np.arange(count) % 2 == 0)[None, :, None]
    if kind == "equal means, most zero":
        return np.where(which, often, rare)
    return np.where(which, random.beta(4, 4, size), random.beta(0.3, 0.3, size))


def p_value(difference: Array, classes: Tensor) -> float:
    return sign_flip_p_value(torch.from_numpy(difference), classes, 1000)


def excludes_zero(difference: Array, classes: Tensor) -> bool:
    """The rule of 0.1.0."""
    _, low, high, _ = bootstrap_interval(torch.from_numpy(difference)[None], classes, _CONFIDENCE, 500)
    return bool(low > 0) or bool(high < 0)


def calls(repetitions: int) -> None:
    """False calls of one pair, and of any of the six pairs of four networks."""
    random, lines = np.random.default_rng(1), []
    kinds = ["exchangeable, most zero", "exchangeable, dense", "equal means, most zero", "equal means, dense"]
    for layout in ("34 x 1", "57 in 10", "10 x 6", "10 x 1"):
        classes = torch.arange(len(LAYOUTS[layout])).repeat_interleave(torch.tensor(LAYOUTS[layout]))
        for kind in kinds:
            values = networks(kind, 4, repetitions, len(classes), random)
            old, new, any_old, any_new, any_holm = [], [], [], [], []
            for four in values:
                pairs = [four[i] - four[k] for i, k in combinations(range(4), 2)]
                by_interval = [excludes_zero(pair, classes) for pair in pairs]
                p = [p_value(pair, classes) for pair in pairs]
                old.append(by_interval[0])
                new.append(p[0] <= 0.05)
                any_old.append(any(by_interval))
                any_new.append(min(p) <= 0.05)
                any_holm.append(min(holm(p)) <= 0.05)
            shares = [f"{100 * np.mean(part):.1f}" for part in (old, new, any_old, any_new, any_holm)]
            lines.append([layout, kind, *shares])
    print(f'\n"more robust" said wrongly, percent of {repetitions} draws\n')
    columns = ["one pair: bootstrap (0.1.0)", "sign flips", "any of six: bootstrap (0.1.0)", "sign flips", "after Holm"]
    print(format_table(["shapes", "four networks", *columns], lines, left=2), flush=True)


def differences(gain: float, kind: str, repetitions: int, shapes: int, random: np.random.Generator) -> Array:
    """Differences (R, S) of two networks with the mean ``gain``."""
    size = (repetitions, shapes)
    if kind == "most zero":  # boxes of the same sizes, in more shapes
        one, other = (random.random(size) * (random.random(size) < some) for some in (0.2 + 2 * gain, 0.2))
        found: Array = one - other
        return found
    return gain + random.beta(4, 4, size) - random.beta(4, 4, size)


def power(repetitions: int) -> None:
    """How often the sign-flip test calls a difference of the size that ``detectable_difference`` says."""
    random, lines = np.random.default_rng(2), []
    for layout in ("34 x 1", "57 in 10", "10 x 6"):
        classes = torch.arange(len(LAYOUTS[layout])).repeat_interleave(torch.tensor(LAYOUTS[layout]))
        size = (repetitions, len(classes), random)
        for kind in ("most zero", "dense"):
            for alpha in (0.05, 0.05 / 6):
                pilot = differences(0.0, kind, *size)
                said = [detectable_difference(torch.from_numpy(row), classes, alpha) for row in pilot]
                gain = float(np.nanmedian(said))
                called = [
                    np.mean([p_value(row, classes) <= alpha for row in differences(part * gain, kind, *size)])
                    for part in (0.5, 1.0, 1.5)
                ]
                lines.append([layout, kind, f"{alpha:.4f}", f"{100 * gain:.1f}", *(f"{100 * x:.0f}" for x in called)])
    print("\nthe difference that so many shapes show with 80 %, and how often half, all and 1.5 of it is called\n")
    columns = ["shapes", "networks", "alpha", "detectable, points", "half, %", "it, %", "1.5 of it, %"]
    print(format_table(columns, lines, left=2), flush=True)


class Patches(SemanticFunction):
    """f of K networks: ``right`` where the network is right, ``wrong`` in scattered patches of a share of the space.

    The patches are where a random sum of waves over azimuth and elevation is lowest. index (K,) is the network.
    """

    names = ("azimuth", "elevation")

    def __init__(self, count: int, share: float, right: float, wrong: float, waves: int = 6) -> None:
        super().__init__()
        azimuth, elevation = np.arange(0.5, 360.0)[None], np.arange(-9.5, 90.0)[:, None]
        maps = []
        for number in range(count):
            random = np.random.default_rng(number)
            field = np.zeros((100, 360))
            for _ in range(40):
                across, up = random.integers(-waves, waves + 1), waves * random.normal()
                phase = np.radians(across * azimuth) + np.radians(up * elevation) + 2 * np.pi * random.random()
                field += random.normal() * np.cos(phase)
            maps.append(np.where(field < np.quantile(field, share), wrong, right))
        self.maps = torch.from_numpy(np.stack(maps))

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        azimuth, elevation = (u[..., 0] % 360).long().clamp(0, 359), (u[..., 1] + 10).long().clamp(0, 99)
        return self.maps[index[:, None], elevation, azimuth]

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class OldRun(verified_search.VerifiedRun):
    """A run of version 0.1.0: three attempts at any budget, and what the error of one without a box was is lost."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.attempts = verified_search._THREE

    def _next_attempt(self) -> None:
        self.level = 0.0
        super()._next_attempt()


@contextmanager
def old_schedule(old: bool = True) -> Iterator[None]:
    """The attempts of version 0.1.0."""
    new = verified_search.VerifiedRun
    verified_search.VerifiedRun = OldRun if old else new  # type: ignore[misc]
    try:
        yield
    finally:
        verified_search.VerifiedRun = new  # type: ignore[misc]


def search_boxes(f: SemanticFunction, count: int, growing: int, verifying: int) -> tuple[Box, list[VerifiedRun]]:
    """A verified search around one random point for each of ``count`` networks."""
    space = SemanticSpace.default()
    u0 = space.from_unit(torch.rand(count, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    search = VerifiedSearch(growth_evaluations=growing, verification_evaluations=verifying)
    runs = search.start(u0, space, torch.arange(count))
    return search.run(f, runs, torch.arange(count)), runs


def verified_share(box: Box) -> Array:
    """Share of the space in each verified box, 0 for the others."""
    volume = ((box.b - box.a) / SemanticSpace.default().extent).prod(-1)
    valid = np.array([word == "verified" for word in box.status])
    found: Array = volume.numpy() * valid
    return found


def budgets() -> None:
    """What a budget of the verified finder can reach, before and after its schedule follows from the budget."""
    count, lines = 40, []
    kinds = {
        "right on 98 % of the views": Patches(count, 0.02, 0.99, 0.02),
        "right on 90 %": Patches(count, 0.1, 0.99, 0.02),
        "f = 0.72 everywhere": Patches(count, 0.0, 0.72, 0.72),
    }
    for growing, verifying in ((200, 200), (200, 400), (500, 500), (1150, 1800)):
        asked = VerifiedSearch(growth_evaluations=growing, verification_evaluations=verifying).reach(2)
        first = f"{asked[0].mean:.3f}, {asked[0].variance:.4f}"
        for name, f in kinds.items():
            cells = []
            for old in (True, False):
                with old_schedule(old):
                    share = verified_share(search_boxes(f, count, growing, verifying)[0])
                cells += [f"{(share > 0).sum()} of {count}", f"{100 * share.mean():.1f}"]
            lines.append([f"{growing} + {verifying}", name, str(len(asked)), first, *cells])
    print("\nthe verified finder, (eps_m, eps_v) = (0.3, 0.05), 95 %: boxes verified and verified SRVR, percent\n")
    columns = ["attempts now", "first asks mean, variance", "0.1.0: verified", "SRVR", "now: verified", "SRVR"]
    print(format_table(["growing + verifying", "network", *columns], lines, left=2), flush=True)


def calibration() -> None:
    """Verified SRVR of networks that are right on the same views and differ in how sure they are."""
    count, lines = 34, []
    for right, wrong in ((0.99, 0.02), (0.9, 0.02), (0.8, 0.02), (0.75, 0.02), (0.72, 0.02), (0.8, 0.3)):
        share = verified_share(search_boxes(Patches(count, 0.4, right, wrong, 2), count, 200, 400)[0])
        lines.append([f"{right:g}", f"{wrong:g}", "60.0", str((share > 0).sum()), f"{100 * share.mean():.1f}"])
    print(f"\n{count} shapes, the same right views: verified SRVR is not monotone in how sure a network is\n")
    columns = ["score where right", "score where wrong", "viewpoint accuracy, %", "boxes verified", "verified SRVR, %"]
    print(format_table(columns, lines, left=0), flush=True)


def bounds() -> None:
    """Whether what is printed beside a verified box contradicts its verdict."""
    lines = []
    for growing, verifying in ((200, 400), (1150, 1800)):
        _, every = search_boxes(Patches(40, 0.1, 0.97, 0.05, 2), 40, growing, verifying)
        runs = [run for run in every if run.status == "verified"]
        old = [(run.scores[None], run.level) for run in runs]
        mean = sum(float(mean_interval(x, level)[0]) < 0.7 for x, level in old)
        variance = sum(float(variance_interval(x, level)[1]) > 0.05 for x, level in old)
        new = [run.bounds() for run in runs]
        below, above = (float(b.mean_low) < 0.7 for b in new), (float(b.variance_high) > 0.05 for b in new)
        numbers = [len(runs), mean, variance, sum(below), sum(above)]
        lines.append([f"{growing} + {verifying}", *(str(number) for number in numbers)])
    print("\nverified boxes beside which a bound stands that contradicts the verdict\n")
    columns = ["boxes", "0.1.0: mean low < 0.7", "variance high > 0.05", "now: mean low < 0.7", "variance high > 0.05"]
    print(format_table(["growing + verifying", *columns], lines, left=1), flush=True)


def streams() -> None:
    """Whether two networks are verified at the same points, and whether description repeats those of verification."""
    u0 = torch.tensor([130.0, 30.0], dtype=torch.float64)

    def drawn(generator: torch.Generator) -> Tensor:
        return torch.rand(100, 2, generator=generator, dtype=torch.float64)

    def same(one: torch.Generator, other: torch.Generator) -> str:
        return f"{100 * float((drawn(one) == drawn(other)).all(-1).double().mean()):.0f}"

    first, second = (named_seed(0, network, "cup", "1") for network in ("resnet50", "vgg11"))
    lines = [
        [
            "two networks, the same shape and initial point",
            same(row_generator(0, 0, u0), row_generator(0, 0, u0)),
            same(row_generator(first, 0, u0, 1), row_generator(second, 0, u0, 1)),
        ],
        [
            "verification and description of a box whose lower corner is u0",
            same(row_generator(0, 0, u0), row_generator(0, 0, u0)),
            same(row_generator(first, 0, u0, 1), row_generator(first, 0, u0)),
        ],
    ]
    print("\nrandom points that are the same, percent\n")
    print(format_table(["streams", "0.1.0", "now"], lines, left=1), flush=True)


def out_of_range() -> None:
    """How often a function with rare values of -199 is called valid where scores outside [0, 1] are let through."""
    space, lines = SemanticSpace.default(), []
    box = Box(space.low.repeat(60, 1), space.high.repeat(60, 1))
    for share in (0.001, 0.003, 0.01):
        f = Patches(60, share, 1.0, -199.0)
        try:
            verify(f, box, space, torch.arange(60))
            now = "no error"
        except ValueError as error:
            now = str(error).partition(":")[0]
        allowed = betting._ROUNDING
        betting._ROUNDING = math.inf
        try:
            valid = verify(f, box, space, torch.arange(60)).verdict.count("valid")
        finally:
            betting._ROUNDING = allowed
        mean = float(f.maps.mean())
        lines.append([f"{100 * share:g} %", f"{mean:.2f}", f"{100 * valid / 60:.0f} %", now])
    print("\nf = 1 with rare values of -199: `verify` of the whole space\n")
    print(format_table(["share", "true mean", "0.1.0: valid", "now"], lines, left=1), flush=True)


class Threshold(SemanticFunction):
    """f with the mean 0.7 and the variance 0.02 over the whole space: exactly as Eq. 2 allows at eps_m = 0.3."""

    names = ("azimuth", "elevation")

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return torch.where(u[..., 0] < 360 / 3, 0.9, 0.6).double()

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def several() -> None:
    """How often one command says something wrong that speaks of many regions, classes or networks at once."""
    space, folders, regions = SemanticSpace.default(), 40, 40
    box = Box(space.low.repeat(folders * regions, 1), space.high.repeat(folders * regions, 1))
    lines, index = [], torch.arange(folders * regions)
    shares = []
    for together in (1, regions):
        found = verify(Threshold(), box, space, index, max_evaluations=600, seed=5, runs=together)
        wrong = np.array([word == "invalid" for word in found.verdict]).reshape(folders, regions)
        shares.append(f"{100 * wrong.any(1).mean():.0f}")
    lines.append([f"`verify`: a true region of {regions} is found invalid (worst case)", f"{folders} folders", *shares])
    random, draws, classes = np.random.default_rng(6), 100, 10
    size = (draws, classes, 12)
    pairs = random.beta(2, 2, size) - random.beta(2, 2, size)
    same = torch.zeros(size[-1], dtype=torch.int64)
    old = [any(excludes_zero(one, same) for one in pair) for pair in pairs]
    new = [min(holm([p_value(one, same) for one in pair])) <= 0.05 for pair in pairs]
    cells = [f"{100 * np.mean(part):.0f}" for part in (old, new)]
    lines.append([f"`compare`: equal networks, one of {classes} classes is called", f"{draws} pairs", *cells])
    print("\none command, several statements: wrong in percent of the cases\n")
    print(format_table(["command", "of", "0.1.0", "now"], lines, left=2), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[], None]] = {
        "intervals": lambda: intervals(options.repetitions, options.every),
        "calls": lambda: calls(options.repetitions),
        "power": lambda: power(options.repetitions),
        "budgets": budgets,
        "calibration": calibration,
        "bounds": bounds,
        "streams": streams,
        "range": out_of_range,
        "several": several,
    }
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--repetitions", type=int, default=1000, help="samples of each population")
    parser.add_argument("--every", action="store_true", help="print each population too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.parts:
        parts[name]()


if __name__ == "__main__":
    main()
