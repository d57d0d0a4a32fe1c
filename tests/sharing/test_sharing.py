"""Who works on which row: nothing dropped, nothing twice, meshes together, idle processes get rows of others."""

from __future__ import annotations

import heapq
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import in_processes
from torch import Tensor

from lightning_semrob.sharing.shares import DONE, GROWN, OPEN, STARTED, loads, share, share_again
from lightning_semrob.sharing.work import Work


def table(shapes: int, networks: int, points: int) -> tuple[Tensor, Tensor]:
    """Shape and group of each row, in the order of the task table."""
    group = torch.arange(shapes * networks * points) // points
    return group // networks, group


@settings(deadline=None)
@given(
    shapes=st.integers(1, 6), networks=st.integers(1, 4), points=st.integers(1, 4), processes=st.integers(1, 9),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_slices_are_contiguous_and_even(shapes: int, networks: int, points: int, processes: int, seed: int) -> None:
    shape, group = table(shapes, networks, points)
    cost = torch.rand(len(shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.1
    owners = share(cost, shape, group, processes)
    assert bool((owners[1:] >= owners[:-1]).all())
    assert int(owners.min()) >= 0
    assert int(owners.max()) < processes
    per_process = torch.zeros(processes, dtype=torch.float64).index_add(0, owners, cost)
    assert float(per_process.max()) <= 1.25 * float(cost.sum()) / processes + 2 * float(cost.max())


def test_meshes_stay_with_one_process_where_shares_stay_even() -> None:
    shape, group = table(8, 2, 3)
    owners = share(torch.ones(len(shape), dtype=torch.float64), shape, group, 4)
    for number in range(8):
        assert len(owners[shape == number].unique()) == 1


@pytest.mark.parametrize(("points", "processes"), [(4, 2), (4, 4), (1, 3)])
def test_one_group_is_split_between_processes(points: int, processes: int) -> None:
    shape, group = table(1, 1, points)
    owners = share(torch.ones(points, dtype=torch.float64), shape, group, processes)
    assert len(owners.unique()) == min(points, processes)


def test_an_idle_process_gets_half_of_what_is_not_begun() -> None:
    shape, group = table(4, 1, 2)
    owners = torch.zeros(8, dtype=torch.int64)
    state = torch.tensor([DONE, DONE, STARTED, STARTED, OPEN, OPEN, OPEN, OPEN])
    again = share_again(owners, state, torch.ones(8, dtype=torch.float64), shape, group, 2)
    assert again.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]  # half of 5, in whole shapes


def test_the_last_group_is_split() -> None:
    shape, group = table(1, 1, 4)
    state = torch.full((4,), OPEN)
    again = share_again(torch.zeros(4, dtype=torch.int64), state, torch.ones(4, dtype=torch.float64), shape, group, 2)
    assert again.tolist() == [0, 0, 1, 1]


def test_boxes_that_are_left_to_verify_travel_at_the_end() -> None:
    shape, group = table(1, 1, 4)
    owners, cost = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.float64)
    again = share_again(owners, torch.tensor([DONE, GROWN, GROWN, GROWN]), cost, shape, group, 2)
    assert again.tolist() == [0, 0, 1, 1]
    only = share_again(owners, torch.tensor([DONE, DONE, DONE, GROWN]), cost, shape, group, 2)
    assert only.tolist() == [0, 0, 0, 0]


@settings(deadline=None)
@given(data=st.data(), processes=st.integers(1, 5), rows=st.integers(1, 12))
def test_rows_at_work_stay_and_no_process_stays_idle(data: st.DataObject, processes: int, rows: int) -> None:
    shape, group = table(rows, 1, 1)
    owners = torch.tensor(data.draw(st.lists(st.integers(0, processes - 1), min_size=rows, max_size=rows)))
    state = torch.tensor(
        data.draw(st.lists(st.sampled_from([OPEN, STARTED, GROWN, DONE]), min_size=rows, max_size=rows))
    )
    cost = torch.tensor(data.draw(st.lists(st.floats(0.01, 100), min_size=rows, max_size=rows)), dtype=torch.float64)
    again = share_again(owners, state, cost, shape, group, processes)
    movable = (state == OPEN) | (state == GROWN)
    assert torch.equal(again[~movable], owners[~movable])
    left = loads(again, state, cost, processes)
    spare = torch.bincount(again[movable], minlength=processes)
    spare += torch.bincount(again[state == STARTED], minlength=processes).clamp(max=1)
    if bool((left == 0).any()):
        assert int(spare.max()) <= 1  # nobody has a row to give


@settings(deadline=None, max_examples=30)
@given(
    shapes=st.integers(1, 5), networks=st.integers(1, 3), points=st.integers(1, 3), processes=st.integers(1, 4),
    seed=st.integers(0, 100),
)  # fmt: skip
def test_every_row_is_worked_on_once(shapes: int, networks: int, points: int, processes: int, seed: int) -> None:
    """Simulated processes that work one row after the other, each with its own cost, and meet when one is idle."""
    shape, group = table(shapes, networks, points)
    cost = torch.rand(len(shape), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.01
    owners = share(torch.ones_like(cost), shape, group, processes)
    state = torch.full_like(owners, OPEN)
    done: list[int] = []
    clock = [(0.0, rank) for rank in range(processes)]
    at_work: dict[int, int] = {}
    while not bool((state == DONE).all()):
        now, rank = heapq.heappop(clock)
        if rank in at_work:
            done.append(at_work.pop(rank))
            state[done[-1]] = DONE
        owners = share_again(owners, state, cost, shape, group, processes)
        mine = ((owners == rank) & (state == OPEN)).nonzero().flatten()
        if len(mine):
            at_work[rank] = int(mine[0])
            state[mine[0]] = STARTED
        heapq.heappush(clock, (now + (float(cost[mine[0]]) if len(mine) else 0.01), rank))
    assert sorted(done) == list(range(len(shape)))


def test_a_single_process_does_one_step_a_round_and_finishes_a_group_first() -> None:
    shape, group = table(2, 2, 2)
    work = Work(shape, group % 2)
    left = torch.tensor([2, 3, 1, 1, 1, 1, 0, 1])

    def pending(rows: Tensor) -> Tensor:
        return rows[left[rows] > 0]

    visited = []
    while work.meet(left > 0, left > 0):
        for batch in work.batches(pending, lambda: 0):
            visited.append((batch.shape, batch.network, batch.rows.tolist()))
            left[batch.rows] = (left[batch.rows] - 1).clamp(min=0)
    assert visited == [(0, 0, [0, 1])] * 3 + [(0, 1, [2, 3]), (1, 0, [4, 5]), (1, 1, [7])]
    assert work.remaining == 0


def test_processes_that_see_different_finished_runs_say_so(tmp_path: Path) -> None:
    """A row that only one of them takes for ended would count as ended for all, and never be measured."""
    shape, group = table(2, 1, 2)

    def meet(rank: int) -> str:
        torch.distributed.init_process_group("gloo", f"file://{tmp_path}/{os.getppid()}", rank=rank, world_size=2)
        try:
            Work(shape, group % 1, rank, 2).meet(torch.arange(4) >= 2 * rank, torch.arange(4) >= 2 * rank)
        except ValueError as error:
            return str(error)
        return "nothing"

    assert all("the processes disagree about which runs have ended" in said for said in in_processes(2, meet))
