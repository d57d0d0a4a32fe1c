"""Pure functions: tensors in, tensors out."""

from lightning_semrob.functional.regions import *  # noqa: F403
