"""Make ``import torchvision`` work where its CUDA build meets a CPU-only torch.

PyPI's torchvision is linked to CUDA. On a CPU-only torch its compiled extension does not load, the operator
``torchvision::nms`` is never defined, and the import ends with "operator torchvision::nms does not exist";
pytorch_lightning and torchmetrics import torchvision and fail with it. Defining the schemas of the missing
operators is enough for models and transforms. ``torchvision.io.read_image`` and ``torchvision.ops.nms`` still
raise: they need the compiled code itself.
"""

from __future__ import annotations

import importlib
import re
import sys

import torch

# Operators for which ``import torchvision`` registers Python code without checking that its extension was loaded.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_SYMPTOM = re.compile(r"operator torchvision::(?:q?nms) does not exist")
_library: torch.library.Library | None = None  # the schemas live as long as this object


def ensure_torchvision() -> bool:
    """Import torchvision; on exactly the error above, define its missing operators and import it again.

    Returns:
        True if operators were defined, False if torchvision imports by itself (it is then left alone).

    Raises:
        ImportError: torchvision is not installed.
        Exception: whatever else its import raises, unchanged.
    """
    global _library
    try:
        importlib.import_module("torchvision")
        return False
    except RuntimeError as error:
        if _library is not None or not _SYMPTOM.search(str(error)):
            raise
    # A failed import leaves submodules behind, which would be taken for complete ones.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    # A fragment, because the namespace may have been opened elsewhere and only one library may own it.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            _library.define(schema)
    importlib.import_module("torchvision")
    return True
