"""The examples in docstrings run, and every main public name has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import lightning_semrob

#: Public names whose documentation shows how to call them.
SHOWN = (
    "finders.exhaustive.ExhaustiveFinder",
    "finders.naive.NaiveFinder",
    "finders.oir.OIRBlackBoxFinder",
    "finders.oir.OIRWhiteBoxFinder",
    "finders.trapezoid.TrapezoidFinder",
    "finders.verified.finder.VerifiedFinder",
    "functional.regions.corner_mask",
    "functional.regions.corners",
    "functional.regions.naive_directions",
    "functional.regions.oir_b_directions",
    "functional.regions.oir_w_directions",
    "functional.regions.trapezoid_directions",
    "functional.scores.softmax_score",
    "functional.uncertainty.mean_interval_over_shapes",
    "functional.uncertainty.paired_difference",
    "functional.uncertainty.clopper_pearson",
    "functional.betting.mean_interval",
    "functional.srvr.srvr",
    "functions.analytic.AnalyticFunction",
    "functions.recorded.RecordedFunction",
    "functions.rendered.RenderedFunction",
    "evaluation.metrics.SRVR",
    "networks.registry.build_network",
    "networks.registry.network_spec",
    "networks.registry.register_network",
    "rendering.callable.CallableRenderer",
    "rendering.raster.Rasterizer",
    "shapes.catalog.resolve_shapes",
    "shapes.embedded.procedural.procedural_mesh",
    "space.Axis",
    "space.Box",
    "space.SemanticSpace",
    "verification.region.AxisDensity",
    "verification.region.verify",
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lightning_semrob.__path__, "lightning_semrob.")
    if not module.name.endswith("__main__")
)


def examples_of(module: str) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(module)) if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str) -> None:
    for test in examples_of(module):
        test.globs["torch"] = torch
        report: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        assert result.failed == 0, "".join(report)


def test_main_names_have_an_example() -> None:
    found = {test.name.removeprefix("lightning_semrob.") for module in MODULES for test in examples_of(module)}
    assert set(SHOWN) <= found
