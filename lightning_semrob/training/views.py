"""All view samplers in one module, whose path yaml files use."""

from lightning_semrob.training.aimed import AimedViews as AimedViews
from lightning_semrob.training.regions import RegionViews as RegionViews
from lightning_semrob.training.regions import RenderedRegionViews as RenderedRegionViews
from lightning_semrob.training.samplers import CleanViews as CleanViews
from lightning_semrob.training.samplers import Groups as Groups
from lightning_semrob.training.samplers import UniformViews as UniformViews
from lightning_semrob.training.samplers import ViewContext as ViewContext
from lightning_semrob.training.samplers import ViewSampler as ViewSampler
from lightning_semrob.training.samplers import WorstOfKViews as WorstOfKViews
