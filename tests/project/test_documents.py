"""The commands and snippets of the documents: bash, python and yaml blocks, and commands and flags named in the text.

A bash line goes through the first rule that knows it; a line that no rule knows fails. By default snippets run, jobs
are made as written and estimated (``--dry_run``), training is resolved (``--print_config``), other programs take their
arguments and stop. ``-m slow`` runs the jobs, the training and the commands of ``RUN`` in bash blocks, with small
pictures and a cheap network; ``explore`` (a server), benchmarks and examples only take their arguments there too.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
import trimesh
import yaml
from torch import nn

import lightning_semrob
from lightning_semrob.__main__ import main as run_command
from lightning_semrob.commands.evaluate import EvaluateCLI, evaluate
from lightning_semrob.commands.train import TrainCLI
from lightning_semrob.networks import Classifier, NetworkSpec, network_spec
from lightning_semrob.rendering import Rasterizer
from tests.maps.test_authors import METHODS as AUTHORS_METHODS
from tests.maps.test_authors import POINTS as AUTHORS_POINTS
from tests.maps.test_authors import box, region, save_bounds, save_map  # noqa: F401 (region is a fixture)

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

#: What is not run here, and why.
NOT_RUN = {
    "python3 -m venv": "makes an environment; .ci/run and the nox sessions do",
    ". .venv/bin/activate": "of the same environment",
    ".venv/bin/python -m pip install": "as above",
    ".venv/bin/python -m pytest": "is this test suite",
    "ruff": "test_style.py runs it",
    "mypy": "test_style.py runs it",
    "pip install": "installs packages; test_packaging.py installs the wheel",
    "mkdocs": "test_site.py builds the site",
    "nox": "makes environments; its sessions are checked by test_packaging.py",
    "docker": "needs a Docker engine",
    "sbatch": "needs a cluster; the script that it names is a block of its own",
    "git": "of the checkout",
    "wandb": "asks W&B's server",
    "pre-commit": "fetches its hooks",
    "cd": "changes the folder",
    "export": "sets a variable",
}
#: Starters of processes: what follows them is a command of ours.
LAUNCHERS = ("torchrun", "srun", "time", "nohup", "python", ".venv/bin/python")
#: What pip installs of ours.
CONSOLE_SCRIPTS = ("semrob", "semrob-evaluate", "semrob-train")
#: Variables of a cluster's scripts, with the value of its first task.
VARIABLES = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NUM_NODES": "1", "SLURM_NNODES": "1", "SLURM_NTASKS": "1"}


class Parsed(Exception):
    """The arguments of a program were taken."""


# ---- what the documents hold


def blocks(language: str) -> list[tuple[str, str]]:
    """(document:number, text) of the fenced blocks of a language."""
    found = []
    for document in DOCUMENTS:
        texts = [match[3] for match in FENCE.finditer(document.read_text()) if match[2] == language]
        found += [(f"{document.relative_to(REPOSITORY)}:{number}", text) for number, text in enumerate(texts)]
    return found


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each command: lines that go on are joined, ``&&`` separates, comments and settings are dropped."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word in ("&&", ";"):
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def commands() -> list[Any]:
    """Every command of a bash block, once, with the place where it stands first."""
    found: dict[tuple[str, ...], str] = {}
    for place, text in blocks("bash"):
        for words in commands_of(text):
            found.setdefault(tuple(words), place)
    return [pytest.param(list(words), id=f"{place} {' '.join(words)}"[:100]) for words, place in found.items()]


def inline(pattern: str) -> list[str]:
    """What the text names between backticks, outside of blocks."""
    texts = [FENCE.sub("", document.read_text()) for document in DOCUMENTS]
    return sorted({" ".join(match.split()) for text in texts for match in re.findall(rf"`({pattern}[^`]*)`", text)})


def named_commands() -> list[str]:
    """Our programs with their arguments; a bare name is none."""
    pattern = r"(?:python (?:benchmarks/|(?:evaluate|train)\.py |-m lightning_semrob \w+ )|semrob \w+ )"
    return [line for line in inline(pattern) if "…" not in line]


# ---- where they run


def package() -> list[ModuleType]:
    """Every module of the package."""
    found = pkgutil.walk_packages(lightning_semrob.__path__, "lightning_semrob.")
    return [lightning_semrob, *(importlib.import_module(item.name) for item in found if "__main__" not in item.name)]


class Cheap(nn.Module):
    """Logits from the mean colour."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(images.mean((2, 3)))
        return logits


@contextmanager
def forgotten(*folders: Path) -> Iterator[None]:
    """Modules of these folders that are imported meanwhile leave ``sys.modules``: other tests have such names too."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = Path(getattr(sys.modules[name], "__file__", None) or "/")
            if any(file.is_relative_to(folder) for folder in folders):
                del sys.modules[name]


def test_modules_of_the_documents_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_scene_of_the_documents.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with forgotten(tmp_path):
        importlib.import_module("a_scene_of_the_documents")
        assert "a_scene_of_the_documents" in sys.modules
        kept = importlib.import_module("this")
    assert "a_scene_of_the_documents" not in sys.modules
    assert sys.modules["this"] is kept


def cheap_network(name: str, **settings: Any) -> Classifier:
    """A network of any name, as the name says that it is fed, on small pictures."""
    spec: NetworkSpec = network_spec(name)
    return Classifier(replace(spec, input_size=32), Cheap(spec.num_classes), **settings)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents name: a user's meshes, modules and class table."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    (folder / "my_models").mkdir()
    trimesh.creation.box().export(folder / "my_models" / "mug.glb")
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "shapes").symlink_to(folder / "scale")
    torch.save({}, folder / "weights.pth")
    paper = ("aeroplane", "bathtub", "bench", "bottle", "chair", "cup", "piano", "rifle", "vase", "toilet")
    for classes in ("ShapeNetCore.v2/03797390", *(f"scale/{name}" for name in paper)):
        models = folder / classes / "a1" / "models"
        models.mkdir(parents=True)
        trimesh.creation.box().export(models / "model_normalized.obj")
    for _, text in [*blocks("python"), *blocks("yaml")]:
        if named := re.match(r"# (\w+\.(?:py|yaml))\n", text):
            (folder / named[1]).write_text(text)
    (folder / "my_scene.py").write_text(
        "def images(u):\n    return (u[:, 0, None, None, None] / 3).expand(-1, 3, 224, 224)\n"
    )
    return folder


@pytest.fixture
def place(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The workspace as the current folder, its modules importable, networks cheap, nothing sent anywhere."""
    monkeypatch.chdir(workspace)
    scripts = REPOSITORY / "benchmarks"
    for folder in (workspace, REPOSITORY / "examples", scripts, scripts / "leaderboard"):
        monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for module in package():
        if hasattr(module, "build_network"):
            monkeypatch.setattr(module, "build_network", cheap_network)
    with forgotten(workspace, REPOSITORY / "examples", scripts):
        yield workspace


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs take their arguments and stop there."""

    depth = 0

    def whole(original: Callable[..., Any]) -> Callable[..., Any]:
        def parse_args(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            original(self, *args, **kwargs)
            raise Parsed

        return parse_args

    def part(original: Callable[..., Any]) -> Callable[..., Any]:
        def parse_known_args(self: Any, *args: Any, **kwargs: Any) -> Any:
            found = original(self, *args, **kwargs)
            if depth:
                return found
            raise Parsed

        return parse_known_args

    for parser in (argparse.ArgumentParser, jsonargparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", whole(parser.parse_args))
        monkeypatch.setattr(parser, "parse_known_args", part(parser.parse_known_args))


# ---- the rules


def expanded(words: Sequence[str]) -> list[str]:
    """Words with the variables of a cluster filled in."""
    filled = [re.sub(r"\$\{?(\w+)\}?", lambda match: VARIABLES[match[1]], word) for word in words]
    return filled


def program_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """(program of ours, its arguments), also behind a launcher: ``evaluate``, ``train``, a benchmark, a command."""
    if words[0] not in (*LAUNCHERS, *CONSOLE_SCRIPTS):
        return None
    for position, word in enumerate(words):
        if Path(word).name in CONSOLE_SCRIPTS:
            given = [*word.split("-")[1:], *expanded(words[position + 1 :])]  # semrob-train is semrob train
            return (given[0], given[1:]) if given[0] in ("evaluate", "train") else ("lightning_semrob", given)
        if word in ("evaluate.py", "train.py") or word.startswith(("benchmarks/", "examples/")):
            return word.removesuffix(".py"), expanded(words[position + 1 :])
        if word == "-m" and words[position + 1] == "lightning_semrob":
            return "lightning_semrob", expanded(words[position + 2 :])
    return None


def leaves(run: Callable[[], Any]) -> bool:
    """Whether a program ends by itself after printing (help, configuration)."""
    try:
        run()
    except SystemExit as stopped:
        if stopped.code:
            raise
        return True
    return False


def estimate(args: list[str]) -> None:
    """``evaluate.py`` made as written, its cost estimated."""
    if leaves(lambda: evaluate([*args, "--trainer.accelerator=cpu", "--dry_run=true"])):
        assert {"--help", "--print_config"} & set(args)


def resolve(args: list[str]) -> None:
    """``train.py``: the configuration is read, checked and printed."""
    assert leaves(lambda: TrainCLI([*args, "--print_config"]))


def take(program: str, args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that stops once it has its arguments."""
    path = REPOSITORY / f"{program}.py"
    file = str(path if path.is_file() else REPOSITORY / program)
    monkeypatch.setattr(sys, "argv", [program, *args])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(Parsed):
        _ = run_command(args) if program == "lightning_semrob" else runpy.run_path(file, run_name="__main__")


def check(words: list[str], request: pytest.FixtureRequest) -> None:
    """A command by its rule."""
    line = " ".join(words)
    program = program_of(words)
    if program is None:
        assert any(line.startswith(start) for start in NOT_RUN), f"no rule knows '{line}'"
        return
    name, args = program
    if name == "evaluate":
        estimate(args)
    elif name == "train":
        resolve(args)
    else:
        request.getfixturevalue("parse_only")
        take(name, args, request.getfixturevalue("monkeypatch"))


@pytest.mark.parametrize("words", commands())
def test_a_command_is_as_the_documents_say(
    words: list[str], place: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    check(words, request)


@pytest.mark.parametrize("line", named_commands())
def test_a_command_that_the_text_names(
    line: str, place: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line)
    form = "FIGURE" in words or "[--" in line  # a form, not a command
    check(words[:2] if form else words, request)


@pytest.mark.parametrize("line", inline(r"--(?:data|model|trainer|report_grid|overwrite)[\w.]*="))
def test_a_flag_that_the_text_names_is_one(line: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of ``evaluate.py`` or of ``train.py fit``, with a value of its type."""
    if "…" in line:
        return
    flags = [*shlex.split(line), "--print_config"]
    with suppress(SystemExit):
        EvaluateCLI(flags)
    if "error" in capsys.readouterr().err:
        resolve(["fit", *flags[:-1]])


def test_what_no_rule_knows_fails(place: Path, request: pytest.FixtureRequest, capsys: Any) -> None:
    assert len(commands()) > 40
    for line in ("rm -r outputs", "python setup.py install"):
        with pytest.raises(AssertionError, match="no rule knows"):
            check(line.split(), request)
    with pytest.raises(SystemExit):
        test_a_flag_that_the_text_names_is_one("--data.netwroks=[x]", place, capsys)
    assert len(named_commands()) > 20
    with pytest.raises(SystemExit):
        estimate(["--data.netwroks=[efficientnet_lite0]"])
    for start in NOT_RUN:
        assert program_of(shlex.split(start)) is None


# ---- the commands, run (slow)

SMALL_JOB = {
    "--data.shapes": "[teapot]",
    "--data.initial_points": "1",
    "--data.image_size": "32",
    "--model.num_iterations": "1",
    "--model.verified_evaluations": "40",
    "--report_grid": "[]",
    "--trainer.devices": "1",
    "--trainer.num_nodes": "1",
    "--trainer.accelerator": "cpu",
    "--trainer.enable_progress_bar": "false",
}
SMALL_TRAINING = {
    "--data.shapes": "[coffee_mug:0-3, bucket:0-3]",
    "--data.held_out_per_class": "1",
    "--data.image_size": "16",
    "--data.batch_size": "8",
    "--data.images": "1000",
    "--data.num_workers": "0",
    "--judging.initial_points": "1",
    "--judging.verified_evaluations": "40",
    "--judging.views": "8",
    "--judging.maps": "1",
    "--trainer.max_epochs": "2",
    "--trainer.accelerator": "cpu",
    "--trainer.enable_progress_bar": "false",
}
SMALL_MAPS = {"--data.image_size": "16", "--maps.steps": "[12,4]", "--accelerator": "cpu"}
#: Commands that run on what the jobs of ``folders`` leave behind; others only take their arguments.
RUN = ("audit", "authors", "compare", "doctor", "figures", "maps", "merge", "profile", "report", "traps", "verify")
#: What an argument of a job in the documents decides stays as it is.
KEPT = ("--data.shapes", "--data.initial_points")


def shrunk(args: Sequence[str], small: dict[str, str], kept: Sequence[str] = KEPT) -> list[str]:
    """The arguments with those of a small job behind them."""
    given = {word.partition("=")[0] for word in args}
    more = {name: value for name, value in small.items() if not (name in kept and name in given)}
    if "--maps.axes" in given:
        more["--maps.steps"] = "[4]"
    return [*args, *(f"{name}={value}" for name, value in more.items())]


@pytest.fixture(scope="module")
def folders(workspace: Path, request: pytest.FixtureRequest) -> Path:
    """What earlier commands left: maps, finished jobs, parts of an array job; and the authors' published files."""
    made = request.getfixturevalue("region")
    for network in ("AlexNet", "VGG"):
        place = workspace / "semantic-robustness" / "checkpoint" / network / "0" / "0"
        save_map(place, np.full((34, 120), 0.9))
        save_bounds(place, made, dict.fromkeys(AUTHORS_METHODS, [box((100, 0), (200, 50))] * 2), AUTHORS_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        patch.setattr("lightning_semrob.evaluation.models.build_network", cheap_network)
        run_command(["maps", *shrunk(["--data.shapes=[teapot:0-1]"], SMALL_MAPS)])
        for name, shape in (("1a2b3c4d", "cup"), ("cups", "cup:0-1"), ("array/0", "teapot"), ("array/1", "cup")):
            evaluate(shrunk([f"--data.shapes=[{shape}]", f"--output=outputs/{name}"], SMALL_JOB))
        for name, network in (("released", "efficientnet_lite0"), ("candidate", "efficientnet_lite1")):
            evaluate(shrunk([f"--data.networks=[{network}]", f"--output=outputs/{name}"], SMALL_JOB))
    return workspace


@pytest.mark.slow
# Fine-tuning starts from a network in evaluation mode, and Lightning says so.
@pytest.mark.filterwarnings("ignore:Found .* module\\(s\\) in eval mode")
@pytest.mark.parametrize("words", commands())
def test_a_command_runs(words: list[str], place: Path, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, args = program_of(words) or ("", [])
    if name == "evaluate":
        leaves(lambda: evaluate(shrunk(args, SMALL_JOB)))
    elif name == "train" and args[0] == "fit":
        assert TrainCLI(shrunk(args, SMALL_TRAINING, kept=())).result["srvr"]
    elif name == "lightning_semrob" and args[0] in RUN:
        args = [path for word in args for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        small = {"maps": SMALL_MAPS, "profile": SMALL_JOB}.get(args[0], {})
        run_command(shrunk(args, small))


# ---- snippets


def namespace() -> dict[str, Any]:
    """What the snippets take for granted: f, initial points and boxes."""
    from lightning_semrob import Box, SemanticSpace
    from lightning_semrob.functions import AnalyticFunction

    f: Any = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 120).abs()) / 5))
    f.space = SemanticSpace.default()
    u0 = torch.tensor([[120.0, 30.0]])
    box = Box(u0.double() - 5, u0.double() + 5, ["converged"])
    index = torch.zeros(1, dtype=torch.int64)
    return {"f": f, "u0": u0, "index": index, "space": SemanticSpace.default(), "other_box": box, "torch": torch}


@pytest.mark.parametrize(("source", "code"), [pytest.param(*block, id=block[0]) for block in blocks("python")])
def test_a_snippet_runs(source: str, code: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small pictures and a cheap network where it asks for the defaults."""
    original = Rasterizer.__init__
    monkeypatch.setattr(Rasterizer, "__init__", lambda self, size=32, *rest, **more: original(self, 32, *rest, **more))
    exec(compile(code, source, "exec"), namespace())


@pytest.mark.slow
@pytest.mark.parametrize(("source", "code"), [pytest.param(*block, id=block[0]) for block in blocks("python")])
def test_a_snippet_runs_as_written(source: str, code: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    with forgotten(workspace):
        exec(compile(code, source, "exec"), namespace())


@pytest.mark.parametrize(("source", "text"), [pytest.param(*block, id=block[0]) for block in blocks("yaml")])
def test_yaml_is_yaml(source: str, text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict)
