"""Module paths of version 0.1.0 still import: an old path gives the same module object as the new one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Package of 0.1.0 (below ``lightning_semrob``), today's, and the modules that kept their names.
_KEPT = (
    ("", "verification", "audit"),
    ("", "maps", "authors traps"),
    ("", "evaluation", "callbacks environment estimate metrics profiling statements"),
    ("", "networks", "clip folding small_resnet"),
    ("", "report", "explore"),
    ("finders", "finders.verified", "budget search"),
    ("finders", "sharing", "rounds"),
    ("finders", "evaluation", "suite"),
    ("functional", "utilities", "digest"),
    ("", "functions", "micro_batch precision remembered"),
    ("", "training", "monitor views"),
    ("report", "report.page", "html pictures regions sections training"),
    ("shapes", "shapes.embedded", "draw furniture objects primitives procedural textures vessels"),
    ("", "sharing", "strategies work"),
    ("", "finders", "worst_views"),
)
#: Path of 0.1.0 below ``lightning_semrob`` -> today's.
MOVED = {f"{old}.{name}".lstrip("."): f"{new}.{name}" for old, new, names in _KEPT for name in names.split()} | {
    "adversarial": "training.module",
    "cli": "commands.evaluate",
    "comparison": "training.judging",
    "dashboard": "report.loggers",
    "finders.growth": "finders.verified.surrogate",
    "finders.together": "finders.base",
    "functional.sharing": "sharing.shares",
    "functional.statistics": "functional.betting",
    "functional.volume_ratio": "functional.srvr",
    "output_folder": "evaluation.folder",
    "report.plots": "report.figures",
    "report.trap_cards": "report.page.traps",
    "results": "evaluation.records",
    "training_cli": "commands.train",
    "training_data": "training.data",
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
