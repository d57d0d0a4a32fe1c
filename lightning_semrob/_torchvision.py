"""Make ``import torchvision`` work where its CUDA build meets a CPU-only torch.

PyPI's torchvision is linked to CUDA. On a CPU-only torch its compiled extension does not load, the operator
``torchvision::nms`` is never defined, and the import ends with "operator torchvision::nms does not exist";
pytorch_lightning and torchmetrics import torchvision and fail with it. Defining the schema of the operator
is enough for models and transforms (not for ``torchvision.io.read_image`` or ``torchvision.ops.nms``).
"""

from __future__ import annotations

import importlib
import sys

import torch

__all__ = ["ensure_torchvision"]

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None  # the schemas live as long as this object


def ensure_torchvision() -> bool:
    """Import torchvision, defining its missing operators on exactly that error.

    Returns:
        True if the cure was applied, False if torchvision imports by itself (it is then left alone).

    Raises:
        ImportError: torchvision is not installed, or its import fails for another reason.
    """
    global _library
    try:
        importlib.import_module("torchvision")
        return False
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    if _library is None:
        _library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS.values():
            _library.define(schema)
    importlib.import_module("torchvision")
    return True
