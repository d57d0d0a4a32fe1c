"""Where, in the space of viewpoint, light and pose, does an image classifier keep working?

The names below are the public ones. Those that need Lightning or matplotlib are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightning_semrob.utilities.interrupts import interruptible

with interruptible():
    from lightning_semrob.utilities.torchvision import ensure_torchvision

    ensure_torchvision()

    from lightning_semrob.utilities import moved

    moved.install()

    from lightning_semrob.space import Axis, Box, SemanticSpace

if TYPE_CHECKING:
    from lightning_semrob.evaluation.environment import SemanticEnvironment
    from lightning_semrob.evaluation.metrics import SRVR, RegionQuality, TrustedShare
    from lightning_semrob.finders import (
        ExhaustiveFinder,
        NaiveFinder,
        OIRBlackBoxFinder,
        OIRWhiteBoxFinder,
        RegionFinder,
        TrapezoidFinder,
        VerifiedFinder,
    )
    from lightning_semrob.finders.worst_views import CMAESSearch, RandomSearch
    from lightning_semrob.functions import (
        AnalyticFunction,
        FiniteDifference,
        RecordedFunction,
        RenderedFunction,
        SemanticFunction,
    )
    from lightning_semrob.maps import score_map
    from lightning_semrob.networks import build_network, register_network
    from lightning_semrob.rendering import CallableRenderer, Rasterizer, Renderer, SemanticParameter
    from lightning_semrob.report.figures import plot_contact_sheet, plot_map, save_figure
    from lightning_semrob.shapes import register_class, resolve_shapes
    from lightning_semrob.training.monitor import SemanticRobustnessCallback
    from lightning_semrob.trust import TrustMap, trust_map, trust_maps
    from lightning_semrob.verification.region import verify

__version__ = "0.1.0"

#: Module -> the public names that are imported from it at their first use.
_NAMES = {
    "evaluation.environment": "SemanticEnvironment",
    "finders": "ExhaustiveFinder NaiveFinder OIRBlackBoxFinder OIRWhiteBoxFinder RegionFinder TrapezoidFinder",
    "finders.verified.finder": "VerifiedFinder",
    "functions": "AnalyticFunction FiniteDifference RecordedFunction RenderedFunction SemanticFunction",
    "maps": "score_map",
    "evaluation.metrics": "RegionQuality SRVR TrustedShare",
    "training.monitor": "SemanticRobustnessCallback",
    "networks": "build_network register_network",
    "rendering": "CallableRenderer Rasterizer Renderer SemanticParameter",
    "report.figures": "plot_contact_sheet plot_map save_figure",
    "shapes": "register_class resolve_shapes",
    "trust": "TrustMap trust_map trust_maps",
    "verification": "verify",
    "finders.worst_views": "CMAESSearch RandomSearch",
}
_LAZY = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "SRVR",
    "AnalyticFunction",
    "Axis",
    "Box",
    "CMAESSearch",
    "CallableRenderer",
    "ExhaustiveFinder",
    "FiniteDifference",
    "NaiveFinder",
    "OIRBlackBoxFinder",
    "OIRWhiteBoxFinder",
    "RandomSearch",
    "Rasterizer",
    "RecordedFunction",
    "RegionFinder",
    "RegionQuality",
    "RenderedFunction",
    "Renderer",
    "SemanticEnvironment",
    "SemanticFunction",
    "SemanticParameter",
    "SemanticRobustnessCallback",
    "SemanticSpace",
    "TrapezoidFinder",
    "TrustMap",
    "TrustedShare",
    "VerifiedFinder",
    "__version__",
    "build_network",
    "plot_contact_sheet",
    "plot_map",
    "register_class",
    "register_network",
    "resolve_shapes",
    "save_figure",
    "score_map",
    "trust_map",
    "trust_maps",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'lightning_semrob' has no attribute '{name}'")
    value = getattr(import_module(f"lightning_semrob.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
