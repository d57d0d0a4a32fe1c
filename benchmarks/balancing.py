"""Do processes that hand rows over finish sooner than processes with fixed slices? A simulation.

    python benchmarks/balancing.py [--repeats 5]

Run lengths are real: the default finders run on smooth random maps, one map a (network, shape), and their boxes are
verified as in a job. An evaluation takes 30 ms on the first network and 60 ms on the second, a gradient 2.5 times as
long. Printed for jobs of several sizes, as a mean over repetitions: the time until the last process is done, over that
of an even division, for contiguous slices of equal numbers of rows (where every job starts) and for rounds of 1 to 20 s
after which idle processes get rows (``lightning_semrob.sharing``), and the first over the second; the same again with
one process that is half as fast as the others.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from lightning_semrob import Box, RecordedFunction, SemanticSpace, VerifiedFinder, verify
from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.sharing.shares import DONE, GROWN, OPEN, STARTED, loads, share, share_again

SPACE = SemanticSpace.default()
SECONDS, GRADIENT = (0.03, 0.06), 2.5
STEP = 0.5  # seconds between two looks at the clock
JOBS = ((2, 2, 2), (12, 2, 2), (34, 1, 1))  # shapes, networks, initial points


def run_lengths(shapes: int, networks: int, points: int, seed: int) -> Tensor:
    """Seconds of growing and of verification of each row of the table of tasks, (rows, 2)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shapes * networks, 1, 34, 120, generator=generator, dtype=torch.float64)
    noise = torch.nn.functional.pad(noise, (15, 15, 0, 0), mode="circular")
    smooth = torch.nn.functional.avg_pool2d(noise, (11, 31), 1, (5, 0), count_include_pad=False)[:, 0]
    hard = torch.randn(shapes, generator=generator, dtype=torch.float64).repeat_interleave(networks)
    level = 1.5 * hard[:, None, None]
    f = RecordedFunction(torch.sigmoid(4 * smooth / smooth.std() + level))
    index = torch.arange(shapes * networks).repeat_interleave(points)
    u0 = SPACE.sobol(shapes * points, seed).view(shapes, 1, points, 2).expand(-1, networks, -1, -1).reshape(-1, 2)
    growing = VerifiedFinder(growth_evaluations=200, verification_evaluations=200).find(f, u0, SPACE, index).evaluations
    growing, verifying = growing.double(), torch.zeros(len(u0), dtype=torch.float64)
    for finder in (NaiveFinder(), OIRBlackBoxFinder(), OIRWhiteBoxFinder()):
        box = finder.find(f, u0, SPACE, index)
        growing += box.evaluations + (GRADIENT - 1) * box.gradient_evaluations
        for row, most in enumerate(box.evaluations.tolist()):
            one = Box(box.a[[row]], box.b[[row]])
            verifying[row] += verify(f, one, SPACE, index[[row]], max_evaluations=most).evaluations.item()
    return torch.stack([growing, verifying], 1) * torch.tensor(SECONDS)[index % networks, None]


def rounds(seconds: Tensor, shape: Tensor, group: Tensor, network: Tensor, speed: Tensor) -> float:
    """When the last of the processes is done that meet and share rows again."""
    left, state, processes = seconds.clone(), torch.full_like(shape, OPEN), len(speed)
    total = seconds.sum(1)
    cost = torch.stack([total[network == k].mean() for k in network.unique()])[network]  # a job measures it
    owners, now = share(torch.ones_like(cost), shape, group, processes), 0.0
    while not bool((state == DONE).all()):
        owners = share_again(owners, state, cost, shape, group, processes)
        busy = loads(owners, state, cost, processes)
        deadline = min(max(float(busy[busy > 0].min()), 1.0), 20.0)
        ends = [0.0]
        for rank in range(processes):
            clock = 0.0
            while clock <= deadline and len(mine := ((owners == rank) & (state != DONE)).nonzero().flatten()):
                begun = mine[state[mine] != OPEN]
                rows = mine[group[mine] == group[(begun if len(begun) else mine)[0]]]
                state[rows[state[rows] == OPEN]] = STARTED
                # All rows of a group grow together; then their boxes are verified one after the other.
                work = left[rows, 0] if bool((left[rows, 0] > 0).any()) else left[rows[:1], 1]
                part = min(STEP, float(work.sum())) / max(float(work.sum()), 1e-12)
                clock += min(STEP, float(work.sum())) / float(speed[rank])
                if bool((left[rows, 0] > 0).any()):
                    left[rows, 0] = work * (1 - part) if part < 1 else torch.zeros_like(work)
                    grown = left[rows, 0] <= 0
                    state[rows[grown]] = torch.where(left[rows[grown], 1] > 0, GROWN, DONE)
                else:
                    left[rows[0], 1] = float(work) * (1 - part) if part < 1 else 0.0
                    state[rows[0]] = DONE if left[rows[0], 1] <= 0 else GROWN
            ends.append(clock)
        now += max(ends)
    return now


def ratios(seconds: Tensor, networks: int, points: int, speed: Tensor) -> list[float]:
    """Times over that of an even division: slices, rounds."""
    group = torch.arange(len(seconds)) // points
    shape, network = group // networks, group % networks
    slices = share(torch.ones(len(seconds), dtype=torch.float64), shape, group, len(speed))
    fixed = float((loads(slices, shape * 0, seconds.sum(1), len(speed)) / speed).max())
    even = float(seconds.sum() / speed.sum())
    return [fixed / even, rounds(seconds, shape, group, network, speed) / even]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of each job, with maps of their own")
    repeats = parser.parse_args().repeats
    print("shapes x networks x points  processes | slices  rounds   gain | one at half speed: slices  rounds   gain")
    for job in JOBS:
        lengths = [run_lengths(*job, seed) for seed in range(repeats)]
        for processes in (2, 4, 8):
            line = f"{' x '.join(map(str, job)):26}  {processes:9}"
            for slowest in (1.0, 0.5):
                speed = torch.ones(processes, dtype=torch.float64)
                speed[-1] = slowest
                found = torch.tensor([ratios(seconds, *job[1:], speed) for seconds in lengths])
                slices, ours = found.mean(0).tolist()
                line += f" | {slices:6.2f}  {ours:6.2f}  {float((found[:, 0] / found[:, 1]).mean()):5.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
