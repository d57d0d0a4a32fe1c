"""Module paths of version 0.1.0 still import: an old path gives the same module object as the new one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "install"]

#: Path of 0.1.0 below ``lightning_semrob`` -> today's.
MOVED = {
    "adversarial": "training.module",
    "audit": "verification.audit",
    "authors": "maps.authors",
    "callbacks": "evaluation.callbacks",
    "cli": "commands.evaluate",
    "clip": "networks.clip",
    "comparison": "training.judging",
    "dashboard": "report.loggers",
    "environment": "evaluation.environment",
    "estimate": "evaluation.estimate",
    "explore": "report.explore",
    "finders.budget": "finders.verified.budget",
    "finders.growth": "finders.verified.surrogate",
    "finders.rounds": "sharing.rounds",
    "finders.search": "finders.verified.search",
    "finders.together": "finders.base",
    "finders.suite": "evaluation.suite",
    "folding": "networks.folding",
    "functional.digest": "utilities.digest",
    "functional.sharing": "sharing.shares",
    "functional.statistics": "functional.betting",
    "functional.volume_ratio": "functional.srvr",
    "metrics": "evaluation.metrics",
    "micro_batch": "functions.micro_batch",
    "monitor": "training.monitor",
    "output_folder": "evaluation.folder",
    "precision": "functions.precision",
    "profiling": "evaluation.profiling",
    "remembered": "functions.remembered",
    "report.html": "report.page.html",
    "report.pictures": "report.page.pictures",
    "report.plots": "report.figures",
    "report.regions": "report.page.regions",
    "report.sections": "report.page.sections",
    "report.training": "report.page.training",
    "report.trap_cards": "report.page.traps",
    "results": "evaluation.records",
    "shapes.draw": "shapes.embedded.draw",
    "shapes.furniture": "shapes.embedded.furniture",
    "shapes.objects": "shapes.embedded.objects",
    "shapes.primitives": "shapes.embedded.primitives",
    "shapes.procedural": "shapes.embedded.procedural",
    "shapes.textures": "shapes.embedded.textures",
    "shapes.vessels": "shapes.embedded.vessels",
    "small_resnet": "networks.small_resnet",
    "statements": "evaluation.statements",
    "strategies": "sharing.strategies",
    "training_cli": "commands.train",
    "training_data": "training.data",
    "traps": "maps.traps",
    "views": "training.views",
    "work": "sharing.work",
    "worst_views": "finders.worst_views",
}


class _MovedModules(MetaPathFinder, Loader):
    """Finds the modules of `MOVED` under their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "lightning_semrob" and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"lightning_semrob.{MOVED[spec.name.partition('.')[2]]}")
        spec.loader_state = module.__spec__  # importlib is about to replace it
        return module

    def exec_module(self, module: ModuleType) -> None:
        alias = module.__spec__
        if alias is not None:
            module.__spec__ = alias.loader_state


def install() -> None:
    """Make the old names importable (once)."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
