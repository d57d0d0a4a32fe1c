"""Where, in the space of viewpoint, light and pose, does an image classifier keep working?"""

from lightning_semrob._torchvision import ensure_torchvision

ensure_torchvision()

from lightning_semrob.space import Axis, Box, SemanticSpace  # noqa: E402

__version__ = "0.1.0"
__all__ = ["Axis", "Box", "SemanticSpace", "__version__"]
