"""Semantic robustness metrics in the manner of torchmetrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_semrob.functional.betting import eq2_start, eq2_update, eq2_verdict
from lightning_semrob.functional.srvr import grouped_sums, srvr_from_sums
from lightning_semrob.functional.trusted_share import compare_shares, share_by_class, share_intervals
from lightning_semrob.functional.uncertainty import Difference

if TYPE_CHECKING:
    from typing_extensions import Self


class _Shares(Metric):
    """Shares of the space in [0, 1]: the larger the better, always float64."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def set_dtype(self, dst_type: str | torch.dtype) -> Self:
        """Shares stay float64."""
        return self

    def plot(self, val: Any = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw one result, several in turn, or that of ``compute()`` if None; figure and axis."""
        figure, axis = self._plot(self.compute() if val is None else val, ax)
        return figure, axis


class SRVR(_Shares):
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

        Raises:
            ValueError: a group that the metric does not have, or tensors that are not all (K,).
        """
        device = self.total.device
        networks, classes, methods = self.total.shape
        groups = network.to(device), class_index.to(device), method.to(device)
        for name, group, size in zip(("network", "class_index", "method"), groups, self.total.shape, strict=True):
            if group.shape != ratio.shape or ratio.dim() != 1:
                raise ValueError(
                    f"ratio and {name} must both be (K,), got {tuple(ratio.shape)} and {tuple(group.shape)}"
                )
            if len(group) and not 0 <= int(group.min()) <= int(group.max()) < size:
                raise ValueError(f"{name} must lie in 0 to {size - 1}, got {int(group.min())} to {int(group.max())}")
        total, count = grouped_sums(ratio.to(device), *groups, (networks, classes, methods))
        # Assigned, not changed in place: an in-place change is lost or doubled when states are synchronised.
        self.total, self.count = self.total + total, self.count + count

    def compute(self) -> Tensor:
        """SRVR, (num_networks, num_classes) float64 in [0, 1] or NaN."""
        return srvr_from_sums(self.total, self.count)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw SRVR of every network and class, of one result or several in turn (``compute()`` if None).

        Returns:
            figure (None where ``ax``, a matplotlib axis, is given) and axis.
        """
        val = self.compute() if val is None else val
        results = [val] if isinstance(val, Tensor) else list(val)
        labels = [f"{network}, {name}" for network in self.network_names for name in self.class_names]
        values = [dict(zip(labels, result.detach().reshape(-1), strict=True)) for result in results]
        return super().plot(values[0] if isinstance(val, Tensor) else values, ax)


class SRVRTable(nn.Module):
    """SRVR by ``intersected``, ``raw`` and ``verified`` volume, of each method and of the mean of some.

    Args:
        networks, classes: their names.
        methods: their names.
        together: methods whose mean is called ``mean``.
    """

    def __init__(
        self, networks: Sequence[str], classes: Sequence[str], methods: Sequence[str], together: Sequence[str]
    ) -> None:
        super().__init__()
        self._sizes, self._together = (len(networks), len(classes)), tuple(together)
        sizes = {"mean": len(together)} | dict.fromkeys(methods, 1)
        self.metrics = nn.ModuleDict(
            {
                volume: nn.ModuleDict({name: SRVR(*self._sizes, n, networks, classes) for name, n in sizes.items()})
                for volume in ("intersected", "raw", "verified")
            }
        )

    def _each(self) -> Iterator[tuple[str, str, SRVR]]:
        for volume, metrics in self.metrics.items():
            for name, metric in metrics.items():  # type: ignore[operator]
                yield volume, name, metric

    def reset(self) -> None:
        """Forget all runs."""
        for _, _, metric in self._each():
            metric.reset()

    def update(self, method: str, ratios: Mapping[str, Tensor], network: int, class_index: int) -> None:
        """Add runs of one method, network and class: volume -> ratios (K,)."""
        for volume, name, metric in self._each():
            if name in (method, "mean" if method in self._together else method):
                groups = (network, class_index, self._together.index(method) if name == "mean" else 0)
                metric.update(ratios[volume], *(torch.full((len(ratios[volume]),), group) for group in groups))

    def compute(self) -> dict[str, dict[str, Tensor]]:
        """Volume -> method -> SRVR (networks, classes) over all processes, on the CPU; a collective."""
        values: dict[str, dict[str, Tensor]] = {}
        for volume, name, metric in self._each():
            if not metric.update_called:  # no run of this group on this process: NaN, unless another has one
                none = torch.zeros(0, dtype=torch.int64)
                metric.update(none.double(), none, none, none)
            # torchmetrics squeezes a result with one element.
            values.setdefault(volume, {})[name] = metric.compute().cpu().view(self._sizes)
        return values


class RegionQuality(_Shares):
    """How many regions satisfy Eq. 2, judged from scores sampled in them, and how much of the space these fill.

    A region is ``valid`` if its samples show that mean f >= 1 - eps_m and variance of f <= eps_v, ``invalid`` if they
    show the opposite, else ``undecided``; each verdict is wrong with probability <= 1 - confidence
    (:mod:`lightning_semrob.functional.betting`).

    Args:
        eps_m, eps_v: thresholds of Eq. 2.
        confidence: of each verdict.
        kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: thresholds or confidence out of range.

    Examples:
        >>> metric = RegionQuality(eps_m=0.3, eps_v=0.05)
        >>> scores = torch.tensor([[0.9], [0.2]]).expand(2, 100)  # 100 samples in each of two regions
        >>> {name: round(float(value), 2) for name, value in metric(scores, torch.tensor([0.4, 0.6])).items()}
        {'valid': 0.5, 'invalid': 0.5, 'undecided': 0.0, 'verified_ratio': 0.2}
    """

    verdicts: Tensor
    ratio: Tensor

    def __init__(self, eps_m: float = 0.3, eps_v: float = 0.05, confidence: float = 0.95, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        eq2_start(1, eps_m, eps_v)  # raises on thresholds that cannot be met
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        self.eps_m, self.eps_v, self.confidence = eps_m, eps_v, confidence
        self.add_state("verdicts", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("ratio", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, ratio: Tensor) -> None:
        """Add regions.

        Args:
            scores: (K, S) f at independent uniform samples in each region, in [0, 1]; of an odd S one is left out.
            ratio: (K,) volumes over the volume of the space.

        Raises:
            ValueError: shapes that do not fit, or scores outside [0, 1].
        """
        if scores.dim() != 2 or ratio.shape != scores.shape[:1]:
            raise ValueError(
                f"scores must be (K, S) and ratio (K,), got {tuple(scores.shape)} and {tuple(ratio.shape)}"
            )
        if not bool(((scores >= 0) & (scores <= 1)).all()):
            raise ValueError("scores must lie in [0, 1]; leave out regions in which f is not finite")
        samples = scores[:, : scores.shape[1] // 2 * 2].double().cpu()
        test = eq2_update(eq2_start(len(samples), self.eps_m, self.eps_v), samples, self.eps_m, self.eps_v)
        verdict = eq2_verdict(test, 1 - self.confidence).to(self.verdicts.device)
        counts = torch.stack([(verdict == code).sum() for code in (1, -1, 0)])
        self.verdicts = self.verdicts + counts
        self.ratio = self.ratio + (ratio.to(self.ratio) * (verdict == 1)).sum()

    def compute(self) -> dict[str, Tensor]:
        """Shares ``valid``, ``invalid``, ``undecided`` of the regions, and ``verified_ratio``, the mean ratio of the
        regions with that of the others counted as 0; NaN before the first region."""
        total = self.verdicts.sum()
        shares = dict(zip(("valid", "invalid", "undecided"), self.verdicts / total, strict=True))
        return shares | {"verified_ratio": self.ratio / total}


class TrustedShare(_Shares):
    """Shares of the space that trust maps call trusted and failing, per network and class.

    Args:
        num_networks: number of networks.
        classes: class of each shape, 0 .. C - 1; one map a network and shape is expected, of several the mean counts.
        confidence: of intervals and comparisons.
        kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: no network or no shape, or a confidence out of range.

    Examples:
        >>> metric = TrustedShare(num_networks=1, classes=[0, 1])
        >>> network, shape = torch.tensor([0, 0]), torch.tensor([0, 1])
        >>> metric.update(torch.tensor([0.25, 0.5]), torch.tensor([0.75, 0.125]), network, shape)
        >>> {name: value.tolist() for name, value in metric.compute().items()}
        {'trusted': [[0.25, 0.5]], 'failing': [[0.75, 0.125]]}
    """

    total: Tensor
    count: Tensor

    def __init__(self, num_networks: int, classes: Sequence[int], confidence: float = 0.95, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_networks < 1 or not len(classes):
            raise ValueError("TrustedShare needs at least one network and one shape")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
        self.classes = torch.tensor(list(classes), dtype=torch.int64)
        self.confidence = confidence
        size = (num_networks, len(classes))
        self.add_state("total", torch.zeros(2, *size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, trusted: Tensor, failing: Tensor, network: Tensor, shape: Tensor) -> None:
        """Add maps.

        Args:
            trusted, failing: (K,) shares in [0, 1]; a map that is NaN is left out.
            network, shape: (K,) int64.

        Raises:
            ValueError: shares outside [0, 1], a network or shape that the metric does not have.
        """
        shares = torch.stack([trusted, failing]).to(self.total)
        network, shape = network.to(self.total.device), shape.to(self.total.device)
        networks, shapes = self.count.shape
        known = ~shares.isnan().any(0)
        if bool(((shares < 0) | (shares > 1)).any()):
            raise ValueError(f"shares must lie in [0, 1], got {shares.min():g} to {shares.max():g}")
        for name, group, size in (("network", network, networks), ("shape", shape, shapes)):
            if len(group) and not 0 <= int(group.min()) <= int(group.max()) < size:
                raise ValueError(f"{name} must lie in 0 to {size - 1}, got {int(group.min())} to {int(group.max())}")
        place = (network * shapes + shape)[known]
        total = torch.zeros_like(self.total).flatten(1).index_add(1, place, shares[:, known]).view_as(self.total)
        ones = torch.ones_like(place, dtype=torch.float64)
        count = torch.zeros_like(self.count).flatten().index_add(0, place, ones).view_as(self.count)
        self.total, self.count = self.total + total, self.count + count

    def shares(self) -> Tensor:
        """Trusted and failing share of each network and shape, (2, N, S) float64, NaN where there is no map."""
        return (self.total / self.count).cpu()

    def compute(self) -> dict[str, Tensor]:
        """``trusted`` and ``failing``, each (N, C) float64."""
        count = int(self.classes.max()) + 1
        shares = (share_by_class(share, self.classes, count) for share in self.shares())
        return dict(zip(("trusted", "failing"), shares, strict=True))

    def intervals(self) -> dict[str, Tensor]:
        """``trusted`` and ``failing`` over all classes: estimate, low and high of each network, each (N, 3)."""
        found = (share_intervals(share, self.classes, self.confidence) for share in self.shares())
        tables = (torch.tensor([row[:3] for row in rows], dtype=torch.float64) for rows in found)
        return dict(zip(("trusted", "failing"), tables, strict=True))

    def comparisons(self) -> list[tuple[int, int, Difference]]:
        """Every pair of networks by trusted share, as of ``functional.trusted_share.compare_shares``."""
        return compare_shares(self.shares()[0], self.classes, self.confidence)


def _names(names: Sequence[str] | None, count: int, kind: str) -> list[str]:
    if names is None:
        return [f"{kind} {number}" for number in range(count)]
    if len(names) != count:
        raise ValueError(f"SRVR has num_{kind}{'es' if kind == 'class' else 's'}={count}, but the names {list(names)}")
    return list(names)
