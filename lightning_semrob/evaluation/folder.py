"""The output folder of a job, opened again."""

from __future__ import annotations

from pathlib import Path

import torch

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.functions.precision import set_arithmetic

__all__ = ["environment_of"]


def environment_of(folder: str | Path, device: torch.device | str = "cpu") -> SemanticEnvironment:
    """The environment of an old output folder, from its ``config.yaml``; the process takes its precision.

    Args:
        folder: output folder of ``evaluate.py``.
        device: where rendering and networks run.

    Raises:
        ValueError: there is no such file, or it does not describe an environment.
    """
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"there is no '{path}': give the output folder of a job of evaluate.py")
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(SemanticEnvironment, "data")
    data = {"seed": int(settings.get("seed_everything") or 0)} | dict(settings.get("data") or {})
    try:
        made = parser.instantiate_classes(parser.parse_object({"data": data}))
    except (ArgumentError, TypeError, KeyError) as error:
        raise ValueError(f"'{path}' does not describe an environment: {error}") from error
    environment: SemanticEnvironment = made.data
    environment.device = device
    set_arithmetic(environment.precision)
    environment.setup()
    return environment
