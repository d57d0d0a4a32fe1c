"""Results are of what is there now, or are refused by name: nothing false gets out of an output folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import pytorch_lightning as pl
import torch

from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.job import Job, JobConfig, make_trainer
from lightning_semrob.evaluation.records import origin_of_runs, read_runs, run_space, runs_table, write_runs
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.report.page.html import report_folder
from lightning_semrob.sharing.strategies import refuse_cuts
from lightning_semrob.utilities.origin import Origin

CUBE = """v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 {depth}\nv 1 -1 {depth}\nv 1 1 {depth}\nv -1 1 {depth}
f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"""


class Place:
    """A job whose class table, weights and mesh are files that can be changed."""

    def __init__(self, root: Path) -> None:
        self.root, self.output = root, root / "out"
        self.table, self.weights, self.mesh = root / "classes.yaml", root / "net.pth", root / "box.obj"

    @classmethod
    def made(cls, root: Path) -> Place:
        place = cls(root)
        place.table.write_text("thing: 3\n")
        place.mesh.write_text(CUBE.format(depth=1))
        place.save_weights(0)
        return place

    def save_weights(self, seed: int) -> None:
        from lightning_semrob.networks import build_network

        torch.manual_seed(seed)
        state = build_network("small_resnet").backbone.state_dict()
        torch.save({k: v + 0.01 * torch.randn_like(v) if v.is_floating_point() else v for k, v in state.items()},
                   self.weights)  # fmt: skip

    def config(self, **changes: Any) -> JobConfig:
        data = {
            "networks": [f"small_resnet@{self.weights}"], "shapes": [f"{self.mesh}=thing"], "image_size": 16,
            "class_table": str(self.table), "micro_batch_size": 4, "initial_points": 1,
        }  # fmt: skip
        model = {"finders": ["naive"], "num_iterations": 2, "verification": 4}
        changes = {"trust": {"max_evaluations": 0}} | changes
        return JobConfig(data, model, output=self.output, accelerator="cpu", progress=False, **changes)

    def run(self, **changes: Any) -> dict[str, Any]:
        return self.config(**changes).make().run().summary

    @property
    def part(self) -> Path:
        (path,) = (self.output / "parts").glob("*.parquet")
        return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    Place.made(root).run()
    return root


@pytest.fixture
def place(finished: Path) -> Any:
    """The finished job; every file is put back afterwards."""
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    yield Place(finished)
    shutil.rmtree(finished)
    for path, content in before.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_the_same_job_is_taken_over(place: Place) -> None:
    assert place.run()["computed_evaluations"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda place: place.table.write_text("thing: 5\n"),
            r"that count as right for class 'thing'.*3, now 5",
        ),
        (lambda place: place.save_weights(1), r"the weights of network 'small_resnet@.*net\.pth' has changed"),
        (lambda place: place.mesh.write_text(CUBE.format(depth=2)), "the mesh of shape 'box' of class 'thing'"),
        (lambda place: place.mesh.write_text("v 0 0 0\n"), "'box', one of which cannot be loaded now"),
        (lambda place: (place.output / "config.yaml").unlink(), "parts.* without the config.yaml"),
    ],
)
def test_what_decides_the_numbers_is_noticed_when_all_runs_are_finished(
    place: Place, change: Callable[[Place], Any], words: str
) -> None:
    change(place)
    with pytest.raises(ValueError, match=words):
        place.run()


def test_an_edited_configuration_is_noticed(place: Place) -> None:
    """Thresholds changed in config.yaml and on the command line alike: the parts are of the old ones."""
    config = place.output / "config.yaml"
    config.write_text(config.read_text().replace("eps_m: 0.3", "eps_m: 0.1"))
    with pytest.raises(ValueError, match=r"config\.yaml has changed since the finished runs in '.*\.parquet'"):
        RunFolder(place.output).load_parts()


def test_another_renderer_or_runtime_is_named() -> None:
    then = Origin("net", "0" * 64, "torch", "cup", "1", (968,), "1" * 64, "Rasterizer of lightning_semrob 0.1.0")
    assert then.sha256 == Origin.of_plain(then.__dict__).sha256
    for name, words in (("renderer", "the renderer has changed"), ("runtime", "what computes network 'net'")):
        now = Origin(**{**then.__dict__, name: "another"})
        assert now.sha256 != then.sha256
        with pytest.raises(ValueError, match=rf"{words}.*now another"):
            then.check(now, Path("parts/x.parquet"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("verdict", "certainly", r"the verdict 'certainly', which is none of \['valid'"),
        ("status", "perfect", "the status 'perfect'"),
        ("evaluations", -1, "a count below 0"),
        ("mean", 1.5, r"the mean 1\.5 outside its bounds \["),
        ("variance_high", -0.1, r"outside its bounds \[.*, -0\.1\]"),
        ("u0_azimuth", 77.0, "starts at azimuth 77, its task at"),
        ("a_elevation", 89.0, "on elevation, which no finder grows"),
        ("b_elevation", 120.0, "on elevation, which no finder grows"),
    ],
)
def test_rows_that_no_job_writes_are_refused(place: Place, column: str, value: object, words: str) -> None:
    """Also where the checksum is right: somebody wrote the part anew."""
    path, origin = place.part, origin_of_runs(place.part, "")
    space, (row, *_) = run_space(path), pyarrow.parquet.read_table(path).to_pylist()
    (run,) = read_runs(path)
    changed = type(run).of_columns({**row, column: value}, space.names)
    write_runs(path, runs_table([changed], space), origin)
    with pytest.raises(ValueError, match=words):
        place.run()


def test_a_part_written_by_another_program_is_refused(place: Place) -> None:
    table = pyarrow.parquet.read_table(place.part)
    pyarrow.parquet.write_table(table, place.part)
    with pytest.raises(ValueError, match=r"cannot be read \(its content does not match its checksum\): delete it"):
        place.run()


def test_flipped_bits_of_a_part_are_found(place: Place) -> None:
    content, folder = place.part.read_bytes(), RunFolder(place.output)
    for k in range(400):
        changed = bytearray(content)
        changed[(k * len(content)) // 400] ^= 1 << k % 8
        place.part.write_bytes(changed)
        with pytest.raises(ValueError, match=rf"(?s){place.part.name}' cannot be read .*delete it and its runs"):
            folder.load_parts()


def test_results_behind_a_link_are_not_dropped_in_silence(place: Place, tmp_path: Path) -> None:
    shutil.move(place.output / "parts", tmp_path / "parts")
    (place.output / "parts").symlink_to(tmp_path / "parts")
    with pytest.raises(OSError, match=r"cannot drop the old results '.*parts' \(it is a link.*delete them"):
        place.run(overwrite=True)
    assert list((tmp_path / "parts").iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_job_is_left_alone(place: Place, tmp_path: Path, overwrite: bool) -> None:
    place.output = tmp_path / "mine"
    (place.output / "parts").mkdir(parents=True)
    (place.output / "report.html").write_text("mine")
    (place.output / "parts" / "wheel.stl").write_text("mine")
    (place.output / "config.yaml").write_text("site: mine\n")
    with pytest.raises(ValueError, match=r"mine' is not empty and is no output folder of a job"):
        place.run(overwrite=overwrite)
    assert sorted(path.read_text() for path in place.output.rglob("*.*l")) == ["mine", "mine", "site: mine\n"]


def test_hidden_files_are_no_content(place: Place, tmp_path: Path) -> None:
    place.output = tmp_path / "new"
    place.output.mkdir()
    (place.output / ".gitkeep").touch()
    assert place.run()["runs"] == 1


def test_two_jobs_in_one_folder(place: Place) -> None:
    """The second is told who the first is; a process that was killed holds nothing."""
    lock = place.output / ".lock"
    with RunFolder(place.output).locked():
        assert lock.read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(ValueError, match=rf"process {os.getpid()} on .* works in '.*out': wait for it, or choose"):
            place.run()
    code = "import fcntl, sys, time\nfile = open(sys.argv[1])\nfcntl.flock(file, 2)\nprint('locked', flush=True)\n"
    code += "time.sleep(99)"
    first = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"locked\n"
    with pytest.raises(ValueError, match="works in"):
        place.run()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    time.sleep(0.1)
    assert place.run()["computed_evaluations"] == 0


CUTS = {
    "max_time": "00:00:00:01", "max_steps": 3, "max_epochs": 0, "fast_dev_run": True, "overfit_batches": 1,
    "limit_train_batches": 1, "limit_test_batches": 0.5, "limit_predict_batches": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
def test_settings_that_cut_a_job_short_are_refused(name: str) -> None:
    trainer = make_trainer(accelerator="cpu", enable_progress_bar=False, **{name: CUTS[name]})
    with pytest.raises(ValueError, match=rf"trainer\.{name} would cut the job short: leave it out"):
        refuse_cuts(trainer)


def job(place: Place, trainer: pl.Trainer) -> Job:
    made = place.config().make()
    return Job(made.environment, made.suite, trainer, made.config, place.output, trust=made.trust)


def test_endless_epochs_end(place: Place) -> None:
    place.output = place.root / "endless"
    trainer = make_trainer(accelerator="cpu", enable_progress_bar=False, max_epochs=-1)
    assert job(place, trainer).run().summary["runs"] == 1


def test_a_job_that_something_else_stops_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.output = place.root / "stopped"
    monkeypatch.setattr(FinderSuite, "on_train_batch_start", lambda *_: -1)
    with pytest.raises(ValueError, match="the Trainer stopped while 1 of 1 runs were left"):
        place.run()
    assert not (place.output / "runs.parquet").exists()
    monkeypatch.undo()
    assert place.run()["runs"] == 1


def test_a_page_is_about_what_its_runs_are_of(place: Place) -> None:
    changes: list[Callable[[], Any]] = [
        lambda: place.table.write_text("thing: 5\n"),
        lambda: place.save_weights(1),
        lambda: place.mesh.write_text(CUBE.format(depth=2)),
    ]
    for change, words in zip(changes, ("outputs of class 'thing'", "network 'small", "shape 'box'"), strict=True):
        before = {path: path.read_bytes() for path in (place.table, place.weights, place.mesh)}
        change()
        with pytest.raises(ValueError, match=rf"{words}.* changed since the runs of this job"):
            report_folder(place.output, [2, 2])
        for path, content in before.items():
            path.write_bytes(content)
    config = place.output / "config.yaml"
    config.write_text(config.read_text().replace("eps_m: 0.3", "eps_m: 0.1"))
    with pytest.raises(ValueError, match=r"config\.yaml' has changed since the runs beside it"):
        report_folder(place.output, [2, 2])


def test_a_network_that_is_no_function_of_one_picture_is_refused_by_a_job(place: Place) -> None:
    assert place.run()["probe_pictures"] == 16
    for network, words in (("build_dropout", "random numbers"), ("build_probabilities", "returns probabilities")):
        place.output = place.root / network
        config = place.config()
        data = {**config.data, "networks": [f"tests.tiny_network:{network}"]}
        with pytest.raises(ValueError, match=words):
            replace(config, data=data).make().run()
        assert not (place.output / "parts").exists()
