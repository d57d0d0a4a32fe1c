"""Semantic robustness metrics in the manner of torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_semrob.functional.volume_ratio import grouped_sums, srvr_from_sums

__all__ = ["SRVR"]


class SRVR(Metric):
    """Semantic Robustness Volume Ratio per network and class (Eq. 19).

    The mean of ``Vol(D) / Vol(Omega)`` over shapes and initial points for each method, then the mean over methods,
    as in the paper's Table 2. A group without a run is NaN, and so is the mean where a method is absent.

    Args:
        num_networks, num_classes, num_methods: sizes of the groups.
        network_names, class_names: what :meth:`plot` calls the groups; their numbers if None.
        kwargs: of :class:`torchmetrics.Metric`.

    Examples:
        >>> metric = SRVR(num_networks=1, num_classes=2, num_methods=1)
        >>> zero = torch.zeros(2, dtype=torch.int64)
        >>> metric.update(torch.tensor([0.2, 0.4]), zero, zero, zero)
        >>> [round(value, 3) for value in metric.compute()[0].tolist()]
        [0.3, nan]
    """

    is_differentiable = True  # in the ratios
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    total: Tensor
    count: Tensor

    def __init__(
        self,
        num_networks: int,
        num_classes: int,
        num_methods: int = 3,
        network_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(num_networks, num_classes, num_methods) < 1:
            raise ValueError("SRVR needs at least one network, one class and one method")
        self.network_names = _names(network_names, num_networks, "network")
        self.class_names = _names(class_names, num_classes, "class")
        shape = (num_networks, num_classes, num_methods)
        self.add_state("total", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, ratio: Tensor, network: Tensor, class_index: Tensor, method: Tensor) -> None:
        """Add runs.

        Args:
            ratio: (K,) volumes over the volume of the space; a NaN is left out (not measured).
            network, class_index, method: (K,) int64 group of each run.
        """
        device = self.total.device
        networks, classes, methods = self.total.shape
        groups = network.to(device), class_index.to(device), method.to(device)
        total, count = grouped_sums(ratio.to(device), *groups, (networks, classes, methods))
        # Assigned, not changed in place: an in-place change is lost or doubled when states are synchronised.
        self.total, self.count = self.total + total, self.count + count

    def compute(self) -> Tensor:
        """SRVR, (num_networks, num_classes) float64 in [0, 1] or NaN."""
        return srvr_from_sums(self.total, self.count)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw SRVR of every network and class.

        Args:
            val: a result of ``forward`` or ``compute``, or several of them in turn; ``compute()`` if None.
            ax: a matplotlib axis; a new figure if None.

        Returns:
            figure (None where ``ax`` is given) and axis.
        """
        if val is None:
            val = self.compute()
        results = [val] if isinstance(val, Tensor) else list(val)
        labels = [f"{network}, {name}" for network in self.network_names for name in self.class_names]
        values = [dict(zip(labels, result.detach().reshape(-1), strict=True)) for result in results]
        figure, axis = self._plot(values[0] if isinstance(val, Tensor) else values, ax)
        return figure, axis

    def set_dtype(self, dst_type: str | torch.dtype) -> SRVR:
        """Volumes stay float64."""
        return self


def _names(names: Sequence[str] | None, count: int, kind: str) -> list[str]:
    if names is None:
        return [f"{kind} {number}" for number in range(count)]
    if len(names) != count:
        raise ValueError(f"SRVR has num_{kind}{'es' if kind == 'class' else 's'}={count}, but the names {list(names)}")
    return list(names)
