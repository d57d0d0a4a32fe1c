"""What every room uses: messages, files, random streams, collectives, loaders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from processes import in_processes

from lightning_semrob.utilities.distributed import all_gather, all_reduce, connected
from lightning_semrob.utilities.files import read_json, write_atomically, write_text
from lightning_semrob.utilities.loaders import ListLoader
from lightning_semrob.utilities.messages import did_you_mean, percent, unknown_name
from lightning_semrob.utilities.random import row_generator, stream


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("azimut", ["elevation", "azimuth"], before=", ") == ", did you mean 'azimuth'?"
    assert did_you_mean("azimut", ["azimuth"], first=["a"]) == "; did you mean 'a'?"
    assert did_you_mean("xyz", ["elevation", "azimuth"]) == ""
    assert (
        unknown_name("axis", "xyz", ("elevation", "azimuth")) == "unknown axis 'xyz'. Known: ['elevation', 'azimuth']"
    )
    assert "'azimut', did you mean 'azimuth'? Known" in unknown_name("axis", "azimut", iter(["azimuth"]))


def test_percent() -> None:
    assert (percent(0.5), percent(-0.00126, 1), percent(float("nan"), unit=" %")) == ("50.00", "-0.1", "n/a")


def test_a_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    write_text(path, '{"ä": 1}')
    assert read_json(path) == {"ä": 1}

    def broken(file: Path) -> None:
        file.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write '.*file\.json' \(No space left on device\): free space"):
        write_atomically(path, broken)
    assert read_json(path) == {"ä": 1}
    assert os.listdir(path.parent) == ["file.json"]


def test_a_stream_depends_on_its_key_alone() -> None:
    key = torch.tensor([1.0, 2.0], dtype=torch.float64)
    draws = [torch.rand(4, generator=row_generator(0, index, key)) for index in (0, 1, 0)]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], torch.rand(4, generator=row_generator(0, 0, key + 1e-12)))
    # Drawn once and written down: results of earlier versions stay as they are.
    assert stream(0, 1, 2).initial_seed() == 8340944691342176559
    assert row_generator(0, 1, key).initial_seed() == 6707446053220236447


def test_a_single_process_is_a_group_of_one() -> None:
    tensor = torch.tensor([3])
    assert not connected()
    assert all_gather("x") == ["x"]
    assert all_reduce(tensor) is tensor


def _collectives(rank: int) -> None:
    place = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    torch.distributed.init_process_group("gloo", place, rank=rank, world_size=2)
    value = torch.tensor([rank, -rank])
    assert all_gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    assert all_reduce(value).tolist() == [1, -1]
    assert all_reduce(value, largest=True).tolist() == [1, 0]
    assert value.tolist() == [rank, -rank]
    torch.distributed.destroy_process_group()


def test_two_processes() -> None:
    in_processes(2, _collectives)


def test_a_loader_of_a_list() -> None:
    loader = ListLoader(["a", "b"])
    assert (len(loader), [*loader], [*loader]) == (2, ["a", "b"], ["a", "b"])
