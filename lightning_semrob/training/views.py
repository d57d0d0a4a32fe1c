"""All view samplers in one module, whose path yaml files use."""

from lightning_semrob.training.aimed import AimedViews
from lightning_semrob.training.regions import RegionViews, RenderedRegionViews
from lightning_semrob.training.samplers import (
    CleanViews,
    Groups,
    UniformViews,
    ViewContext,
    ViewSampler,
    WorstOfKViews,
)

__all__ = [
    "AimedViews",
    "CleanViews",
    "Groups",
    "RegionViews",
    "RenderedRegionViews",
    "UniformViews",
    "ViewContext",
    "ViewSampler",
    "WorstOfKViews",
]
