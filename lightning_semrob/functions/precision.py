"""The precision of networks, and how much f changes with less than float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from lightning_semrob.functions.rendered import RenderedFunction
from lightning_semrob.space import SemanticSpace

#: Precisions of the networks, and the autocast that belongs to each.
AUTOCAST: dict[str, torch.dtype | None] = {"32": None, "tf32": None, "bf16": torch.bfloat16, "16": torch.float16}

#: Sobol points of the space at which f is compared, on the first shape.
PRECISION_POINTS = 64


def set_arithmetic(precision: str) -> None:
    """Let this process compute in full float32 on CUDA; call it before the first evaluation of f.

    By default cuDNN may round the factors of convolutions to TensorFloat-32 (10 bits) and sum in any order. Afterwards
    only the precision ``tf32`` rounds, and convolutions are deterministic. On the CPU nothing changes.
    """
    rounds = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = rounds
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("high" if rounds else "highest")


class RenderedTasks(Protocol):
    """What is compared: an environment's networks on one of its shapes."""

    precision: str
    seed: int
    space: SemanticSpace

    @property
    def networks(self) -> Sequence[str]:
        """Names of the networks."""

    def rendered_function(self, network: int, shape: int) -> RenderedFunction:
        """f of a network and a shape, by index."""


def precision_change(environment: RenderedTasks, shape: int = 0) -> dict[str, dict[str, float]]:
    """Network -> ``mean`` and ``largest`` change of f against float32, on Sobol points; empty for float32 itself."""
    if environment.precision == "32":
        return {}
    u = environment.space.sobol(PRECISION_POINTS, environment.seed)[None]
    changes = {}
    for number, network in enumerate(environment.networks):
        f = environment.rendered_function(number, shape)
        set_arithmetic(environment.precision)
        reduced = f(u)
        f.autocast = AUTOCAST["32"]
        set_arithmetic("32")
        change = (reduced - f(u)).abs()
        changes[network] = {"mean": float(change.mean()), "largest": float(change.max())}
    set_arithmetic(environment.precision)
    return changes
