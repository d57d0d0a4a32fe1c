"""The command line: one program, one help page, one way of answering mistakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_semrob.commands import doctor, parsing
from lightning_semrob.commands.console import COMMANDS, help_page, main
from lightning_semrob.commands.evaluate import EvaluateCLI
from lightning_semrob.sharing.strategies import SharedTableStrategy

ALL = [
    "evaluate",
    "train",
    "maps",
    "traps",
    "audit",
    "verify",
    "compare",
    "merge",
    "report",
    "explore",
    "figures",
    "profile",
    "authors",
    "doctor",
]
SEMROB = Path(sys.executable).with_name("semrob")


def ends(*words: str) -> int | str | None:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return stopped.value.code


def test_the_help_page_lists_every_command(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(COMMANDS) == ALL
    modules = {path.stem for path in (repository / "lightning_semrob" / "commands").glob("*.py")}
    assert modules - set(ALL) == {"__init__", "console", "parsing"}
    for words in ([], ["--help"], ["-h"]):
        main(words)
        assert capsys.readouterr().out == help_page() + "\n"
    assert all(f"\n  {name} " in help_page() for name in ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_command_says_what_it_takes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "profile":
        main([name, "--help"])
    else:
        assert not ends(name, "--help")
    assert capsys.readouterr().out.startswith(f"usage: semrob {name}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evalute", "there is no command 'evalute', did you mean 'evaluate'?"),
        ("evaluate --config nothing.yaml", "there is no configuration 'nothing.yaml'; the package carries"),
        ("evaluate --data.netwroks=[x]", "unrecognized arguments: --data.netwroks=[x] (semrob evaluate --help"),
        ("train fit --data.x=1", "data.x"),
        ("train", "{fit,validate,test}"),
        ("audit --vews 3", "unrecognized arguments: --vews 3 (semrob audit --help lists the options)"),
        ("compare one two --metric=other", "invalid choice: 'other'"),
        ("compare one two", "'one' is not the output folder of a finished job"),
        ("merge nothing --output=all", "there is no 'nothing/config.yaml': give the output folder of a job"),
        ("verify nothing", "there is no 'nothing/statements.jsonl'"),
        ("report nothing", "nothing"),
        ("traps", "the following arguments are required: maps"),
        ("authors nothing", "nothing"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ends(*words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert "usage" not in error


def test_the_traceback_is_there_for_those_who_ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIGHTNING_SEMROB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="give the output folder of a job"):
        main(["merge", str(tmp_path), "--output", str(tmp_path / "all")])


def test_faults_of_the_program_are_not_called_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(args: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(doctor, "main", broken)
    with pytest.raises(KeyError):
        main(["doctor"])


def test_what_lightning_refuses_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    def refused(args: object) -> None:
        raise MisconfigurationException("no such accelerator")

    monkeypatch.setattr(doctor, "main", refused)
    assert ends("doctor") == 2
    assert capsys.readouterr().err == "error: no such accelerator\n"


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: object) -> None:
        raise KeyboardInterrupt

    def as_lightning_ends(args: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    for stop in (interrupted, as_lightning_ends):
        monkeypatch.setattr(doctor, "main", stop)
        assert ends("doctor") == 130
        assert capsys.readouterr().err == "interrupted\n"
    monkeypatch.setattr(doctor, "main", lambda args: sys.exit(1))
    assert ends("doctor") == 1


def test_the_name_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for called, name in (
        ("/x/evaluate.py", "evaluate.py"),
        ("semrob-evaluate", "semrob-evaluate"),
        ("semrob", "semrob evaluate"),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        assert parsing.program_name("evaluate") == name


@pytest.mark.parametrize(
    "program",
    [
        [str(SEMROB)],
        [sys.executable, "evaluate.py"],
        pytest.param([sys.executable, "-m", "lightning_semrob"], marks=pytest.mark.slow),
        pytest.param([sys.executable, "train.py"], marks=pytest.mark.slow),
    ],
)
def test_as_a_user_types_it(program: list[str], repository: Path) -> None:
    if not Path(program[0]).is_file():
        pytest.skip("the package is not installed")
    script = program[-1].endswith(".py")
    words = ["--flag", "1"] if script else ["audit", "--flag", "1"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [*program, *words], capture_output=True, text=True, check=False, cwd=repository, env=environment
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_a_reader_who_leaves_is_no_mistake(repository: Path) -> None:
    program = "import sys; from lightning_semrob.commands import console, doctor\n"
    program += "doctor.main = lambda args: [print(i) for i in range(10**6)]\nconsole.main(['doctor'])"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "0\n"
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 128 + signal.SIGPIPE


def test_the_command_takes_the_cores_that_have_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function runs in this process, the command in as many as there are groups for, on a CPU."""
    monkeypatch.setattr("lightning_semrob.commands.evaluate.usable_cores", lambda: 6)
    words = ["--trainer.accelerator=cpu", "--data.networks=[small_resnet]", "--data.shapes=[teapot,cup]"]
    assert EvaluateCLI(words).trainer.num_devices == 1
    assert EvaluateCLI(words, "auto").trainer.num_devices == 2
    assert isinstance(EvaluateCLI(words, "auto").trainer.strategy, SharedTableStrategy)
    assert EvaluateCLI([*words, "--dry_run=true"], "auto").trainer.num_devices == 1
    assert EvaluateCLI([*words, "--trainer.devices=3"], "auto").trainer.num_devices == 3
    names = ("NTASKS", "NTASKS_PER_NODE", "JOB_NAME", "LOCALID", "NODEID", "PROCID", "JOB_ID", "NODELIST")
    for name, value in zip(names, ("1", "1", "semrob", "0", "0", "0", "17", "localhost"), strict=True):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert EvaluateCLI(words, "auto").trainer.num_devices == 1  # SLURM has started one process
