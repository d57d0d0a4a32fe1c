"""Names and module paths of version 0.1.0 still import."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import pytest

import lightning_semrob
from lightning_semrob.utilities.moved import MOVED

#: Module paths that the documents of 0.1.0 name.
DOCUMENTED = [
    "adversarial",
    "audit",
    "cli",
    "environment",
    "finders",
    "finders.suite",
    "finders.trace",
    "finders.verified",
    "functional",
    "functional.faces",
    "functional.regions",
    "functional.scores",
    "functional.srvr",
    "functional.statistics",
    "functional.volume_ratio",
    "functions",
    "maps",
    "metrics",
    "monitor",
    "networks",
    "rendering",
    "report.plots",
    "results",
    "shapes",
    "shapes.classes",
    "shapes.io",
    "shapes.mesh",
    "shapes.procedural",
    "small_resnet",
    "space",
    "training_cli",
    "training_data",
    "traps",
    "verification",
    "views",
    "worst_views",
]

#: Names that the documents of 0.1.0 take from them.
NAMES = [
    "adversarial.SemanticTraining",
    "audit.audit_gradient",
    "cli.evaluate",
    "environment.SemanticEnvironment",
    "finders.suite.FinderSuite",
    "finders.trace.trace_growth",
    "finders.verified.VerifiedFinder",
    "functional.corner_mask",
    "functional.corners",
    "functional.naive_directions",
    "functional.trapezoid_directions",
    "functional.oir_b_directions",
    "functional.oir_w_directions",
    "functional.srvr.MINIMUM_SHAPES",
    "functional.srvr.paired_difference",
    "functional.statistics.clopper_pearson",
    "functions.AnalyticFunction",
    "functions.Complement",
    "functions.RecordedFunction",
    "functions.RenderedFunction",
    "maps.SemanticMaps",
    "maps.compute_maps",
    "maps.score_map",
    "metrics.RegionQuality",
    "metrics.SRVR",
    "monitor.SemanticRobustnessCallback",
    "networks.available_networks",
    "networks.build_trainable",
    "rendering.Light",
    "rendering.PyTorch3DRenderer",
    "report.plots.plot_map",
    "report.plots.save_figure",
    "results.run_schema",
    "shapes.classes.load_class_table",
    "shapes.io.load_mesh",
    "shapes.mesh.Mesh",
    "shapes.procedural.procedural_mesh",
    "traps.adversarial_boxes",
    "training_cli.train",
    "training_data.RenderedViews",
    "verification.AxisDensity",
    "verification.Verification",
    "verification.verify",
    "views.RegionViews",
    "views.UniformViews",
    "views.WorstOfKViews",
    "worst_views.CMAESSearch",
]


@pytest.mark.parametrize("name", sorted({*DOCUMENTED, *MOVED}))
def test_module_paths_still_import(name: str) -> None:
    old = importlib.import_module(f"lightning_semrob.{name}")
    new = importlib.import_module(f"lightning_semrob.{MOVED.get(name, name)}")
    assert old is new
    assert new.__spec__ is not None
    assert new.__spec__.name == new.__name__  # the alias leaves the module as it was


@pytest.mark.parametrize("name", NAMES)
def test_names_still_import(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(f"lightning_semrob.{module}"), attribute)


def test_public_names_still_import() -> None:
    for name in lightning_semrob.__all__:
        assert getattr(lightning_semrob, name) is not None


def test_an_unknown_module_is_still_unknown() -> None:
    assert find_spec("lightning_semrob.no_such_module") is None
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("lightning_semrob.no_such_module")
