"""What all command lines share: parsers, packaged configurations, threads, and a quiet Lightning."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import torch

from lightning_semrob.utilities.distributed import keep_threads

#: Of the commands that read somebody's results.
TRUST_HELP = "import the callables and classes that the file names, which runs code: only where you trust its author"


class OneSentence(jsonargparse.ArgumentParser):
    """A parser that answers a mistake with one sentence and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if ex is not None and os.environ.get("LIGHTNING_SEMROB_TRACEBACK"):
            raise ValueError(message) from ex
        parser = getattr(ex, "subcommand_parser", None) or self
        program = parser.prog.replace(" [options]", "")
        print(f"error: {message} ({program} --help lists the options)", file=sys.stderr)
        raise SystemExit(2)


class Parser(OneSentence):
    """The parser of the command of that name."""

    def __init__(self, command: str | None = None, description: str | None = None, **settings: Any) -> None:
        settings.setdefault("prog", program_name(command) if command else None)
        super().__init__(description=description, **settings)


def program_name(command: str) -> str:
    """How the command was called, for its help: ``semrob evaluate``, or the script of that name."""
    name = Path(sys.argv[0]).name
    return name if name in (f"{command}.py", f"semrob-{command}") else f"semrob {command}"


def config_folder() -> Path:
    """Where the configurations are: in the installed package, or in the repository for a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def with_packaged_configs(args: Sequence[str]) -> list[str]:
    """``--config configs/x.yaml`` or ``--config x.yaml`` also finds the configurations that the package carries.

    Raises:
        ValueError: there is no such configuration.
    """
    result: list[str] = []
    for position, word in enumerate(args):
        flag, separator, value = word.partition("=")
        is_value = position > 0 and args[position - 1] == "--config"
        name = word if is_value else value if flag == "--config" and separator else None
        if name is not None and not Path(name).exists():
            candidate = config_folder() / Path(name).name
            if not candidate.exists():
                known = sorted(path.name for path in config_folder().glob("*.yaml"))
                raise ValueError(f"there is no configuration '{name}'; the package carries {known}")
            word = str(candidate) if is_value else f"--config={candidate}"
        result.append(word)
    return result


def quiet() -> None:
    """Silence Lightning's remarks, and use one torch thread unless OMP_NUM_THREADS says otherwise.

    Rendering and small batches are slower on several threads; processes (``--trainer.devices``) use the cores.
    """
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 asks torch's pytree a question in a form that newer torch deprecates.
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\).*")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
        keep_threads()
