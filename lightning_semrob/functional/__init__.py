"""Pure functions: tensors in, tensors out."""

from lightning_semrob.functional.regions import *  # noqa: F403
from lightning_semrob.functional.regions import __all__ as __all__
