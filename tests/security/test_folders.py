"""Folders of commands: a home folder by ``~``, one that another job works in, one that is nobody's, a read-only one."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lightning_semrob.commands import console
from lightning_semrob.commands.train import train
from lightning_semrob.evaluation.finished.merge import merge
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.records import Run
from lightning_semrob.evaluation.statements import JobDescription
from lightning_semrob.evaluation.summary import summarize
from lightning_semrob.shapes.classes import read_class_table
from lightning_semrob.space import SemanticSpace
from lightning_semrob.training.photographs import RealImages

TRAINING = ["fit", '--data.shapes=["street_sign:0-3", "folding_chair:0-3"]', "--data.held_out_per_class=1",
            "--trainer.accelerator=cpu", "--judging.verified_evaluations=400"]  # fmt: skip


def part_of_a_job(path: Path) -> Path:
    folder, space = RunFolder(path), SemanticSpace.default()
    config = {
        "data": {"networks": ["net"], "shapes": ["cup"]},
        "model": {"simultaneous": False, "eps_m": 0.3, "eps_v": 0.05},
    }
    folder.open(yaml.safe_dump(config))
    side = dict.fromkeys(space.names, 1.0)
    job = folder.note_job(JobDescription(adversarial={"naive": False}))
    runs = [Run("net", "cup", "cup:0", 0, "naive", "1", side, side, side, ratio=0.1)]
    folder.finish(runs, space, summarize(runs, ["naive"]), job)
    return path


@pytest.mark.parametrize("command", sorted(console.COMMANDS))
def test_every_command_knows_the_home_folder(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Shells replace ``~`` where a word begins with it, and not behind a ``=``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    got: list[Sequence[str]] = []
    module = SimpleNamespace(main=got.append, run=got.append, train=got.append)
    monkeypatch.setattr(console, "import_module", lambda name: module)
    console.main([command, "~/in", "--output=~/out", "--text=a~b", "~", "--npz=~nobody-of-this-name/x"])
    home = str(tmp_path)
    assert got == [[f"{home}/in", f"--output={home}/out", "--text=a~b", home, "--npz=~nobody-of-this-name/x"]]


def test_files_that_a_configuration_names_may_be_in_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "table.yaml").write_text("thing: 3\n")
    assert read_class_table("~/table.yaml")["thing"].indices == (3,)
    with pytest.raises(ValueError, match=f"there is no folder '{tmp_path}/photographs'"):
        RealImages("~/photographs", ["cup"], 32)
    stopped: list[Path] = []
    monkeypatch.setattr("lightning_semrob.commands.train.train_run", lambda *given: stopped.append(given[3]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train([*TRAINING, "--output=~/trained"])
    assert stopped == [tmp_path / "trained"]
    assert (tmp_path / "trained" / "config.yaml").is_file()


def test_merge_and_train_leave_a_folder_alone_that_another_job_works_in(tmp_path: Path) -> None:
    part = part_of_a_job(tmp_path / "part")
    with RunFolder(tmp_path / "out").locked():
        with pytest.raises(ValueError, match=r"works in '.*out': wait for it"):
            merge([part], tmp_path / "out")
        with pytest.raises(ValueError, match=r"works in '.*out': wait for it"):
            train([*TRAINING, f"--output={tmp_path / 'out'}"])
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert merge([part], tmp_path / "out")["runs"] == 1


def test_train_does_not_delete_the_weights_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "best.pth").write_text("mine")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match="is not empty and is no output folder of a job"):
        train([*TRAINING, f"--output={tmp_path}", "--overwrite=true"])
    assert (tmp_path / "best.pth").read_text() == "mine"
    assert json.loads((tmp_path / "notes.json").read_text()) == {}


def test_a_read_only_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a file system that is mounted read-only: also root cannot write there."""
    place, opened = tmp_path / "read-only", Path.open

    def refusing(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if place in (path, *path.parents) and set(mode) & set("wax+"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, mode, *arguments, **more)

    place.mkdir()
    monkeypatch.setattr(Path, "open", refusing)
    monkeypatch.setattr(Path, "touch", lambda path, **_: refusing(path, "w"))
    monkeypatch.setattr("lightning_semrob.functions.RenderedFunction.images", lambda *_: pytest.fail("work"))
    small = ("--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32")
    part = part_of_a_job(tmp_path / "part")
    for words in (
        ("evaluate", *small, "--trainer.accelerator=cpu"),
        ("maps", *small, "--accelerator=cpu", f"--output={place / 'maps.nc'}"),
        ("merge", str(part)),
        ("train", *TRAINING),
    ):
        output = () if words[0] == "maps" else (f"--output={place}",)
        with pytest.raises(SystemExit) as stopped:
            console.main([*words, *output])
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert stopped.value.code == 2, said
        assert said.startswith("error: ")
        assert "cannot write" in said
        assert "(Read-only file system): free space or choose another --output" in said
