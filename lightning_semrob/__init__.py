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

#: Public name -> the module that it is imported from at its first use.
_LAZY = {
    "SemanticEnvironment": "evaluation.environment",
    "ExhaustiveFinder": "finders",
    "NaiveFinder": "finders",
    "OIRBlackBoxFinder": "finders",
    "OIRWhiteBoxFinder": "finders",
    "RegionFinder": "finders",
    "TrapezoidFinder": "finders",
    "VerifiedFinder": "finders",
    "AnalyticFunction": "functions",
    "FiniteDifference": "functions",
    "RecordedFunction": "functions",
    "RenderedFunction": "functions",
    "SemanticFunction": "functions",
    "score_map": "maps",
    "RegionQuality": "evaluation.metrics",
    "SRVR": "evaluation.metrics",
    "TrustedShare": "evaluation.metrics",
    "SemanticRobustnessCallback": "training.monitor",
    "build_network": "networks",
    "register_network": "networks",
    "CallableRenderer": "rendering",
    "Rasterizer": "rendering",
    "Renderer": "rendering",
    "SemanticParameter": "rendering",
    "plot_contact_sheet": "report.figures",
    "plot_map": "report.figures",
    "save_figure": "report.figures",
    "register_class": "shapes",
    "resolve_shapes": "shapes",
    "TrustMap": "trust",
    "trust_map": "trust",
    "trust_maps": "trust",
    "verify": "verification",
    "CMAESSearch": "finders.worst_views",
    "RandomSearch": "finders.worst_views",
}

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
