"""``semrob COMMAND ...``: one program for all commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import lightning_semrob
from lightning_semrob.utilities.interrupts import interruptible
from lightning_semrob.utilities.messages import did_you_mean
from lightning_semrob.utilities.streams import forgiving_streams

#: Command -> what it does. It stands in the module of its name.
COMMANDS: dict[str, str] = {
    "evaluate": "measure the robustness of networks: verified regions, SRVR, a report",
    "train": "train a classifier on rendered views and judge it on held-out shapes",
    "maps": "semantic maps of networks and shapes, as one NetCDF file",
    "traps": "where robust regions deceive: traps, shared holes, worst views",
    "audit": "does the gradient of f agree with its slope?",
    "verify": "do the stated regions of a job hold under fresh samples?",
    "compare": "has a network become less robust? exit code 1 with --fail_if worse",
    "merge": "one table from the output folders of partial jobs",
    "report": "report.html of the output folder of a finished job",
    "explore": "a page to walk through the map of one shape and network",
    "figures": "figures of a file of maps",
    "profile": "what of a job's time is rendering, networks, the framework's own",
    "authors": "the paper's published results, by its formula and by ours",
    "doctor": "versions, devices, which backends work, what is missing",
}
#: What a command runs, where it is not ``main``.
_FUNCTIONS = {"evaluate": "run", "train": "train"}
_FOOTER = """
semrob COMMAND --help lists the options of a command. A mistake is one sentence and exit code 2; the environment
variable LIGHTNING_SEMROB_TRACEBACK=1 shows where it came from."""


def help_page() -> str:
    """All commands, a line each."""
    lines = ["usage: semrob COMMAND [OPTIONS]\n", *(f"  {name:10}{text}" for name, text in COMMANDS.items())]
    return "\n".join([*lines, _FOOTER])


def main(args: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        args: its name and its words; those of the program if None.

    Raises:
        SystemExit: 2 for a mistake, 130 after Ctrl-C, 141 for a closed pipe, or the exit code of the command.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_page())
        return
    if words[0] == "--version":
        print(lightning_semrob.__version__)
        return
    with forgiving_streams() as out:
        _run(words)
    if out.gone:
        raise SystemExit(141)  # what shells make of SIGPIPE; the work is done


def _at_home(word: str) -> str:
    """Replace ``~`` in ``--name=~/x`` by the home folder, which shells only do at the start of a word.

    Raises:
        ValueError: the path is not valid text, so no configuration could hold it.
    """
    if any("\udc80" <= letter <= "\udcff" for letter in word):
        raise ValueError(
            f"'{word}' holds bytes that are not UTF-8: rename the file, or name a folder in whose files it is"
        )
    name, separator, value = word.partition("=")
    if name.startswith("--") and separator and value.startswith("~"):
        return f"{name}={os.path.expanduser(value)}"
    return os.path.expanduser(word) if word.startswith("~") else word


def _run(words: Sequence[str]) -> None:
    try:
        words = [_at_home(word) for word in words]
        if words[0] not in COMMANDS:
            hint = did_you_mean(words[0], COMMANDS, before=", ") or ":"
            raise ValueError(f"there is no command '{words[0]}'{hint} choose one of {', '.join(COMMANDS)}")
        with interruptible():
            module = import_module(f"lightning_semrob.commands.{words[0]}")
        getattr(module, _FUNCTIONS.get(words[0], "main"))(words[1:])
    except KeyboardInterrupt as error:
        _stop("interrupted", 130, error)
    except SystemExit as error:
        # Lightning takes an interruption for itself and leaves with 1.
        if error.code == 1 and isinstance(error.__context__, KeyboardInterrupt):
            _stop("interrupted", 130, error)
        raise
    except Exception as error:
        if not _is_mistake(error) or os.environ.get("LIGHTNING_SEMROB_TRACEBACK"):
            raise
        _stop(f"error: {error}", 2, error)


def _stop(message: str, code: int, error: BaseException) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(code) from error


def _is_mistake(error: Exception) -> bool:
    """Whether the user can fix the cause of an exception."""
    fabric = sys.modules.get("lightning_fabric.utilities.exceptions")
    refused = (fabric.MisconfigurationException,) if fabric else ()
    return isinstance(error, (ValueError, OSError, ImportError, *refused))
