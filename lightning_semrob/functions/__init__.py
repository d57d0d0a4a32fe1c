"""f: u -> score, the only interface that finders, maps and metrics use.

Shapes: K tasks, P points each, n axes. ``f(u, index)`` takes u (K, P, n) in the units of the axes and index (K,), which
says to which recorded map (or other item) each row belongs. It returns (K, P) float64 scores in [0, 1];
``f.value_and_grad(u, index)`` adds the gradients (K, P, n). Evaluations are counted.
"""

from lightning_semrob.functions.analytic import AnalyticFunction
from lightning_semrob.functions.base import SemanticFunction, evaluate_rows
from lightning_semrob.functions.nuisances import Nuisances
from lightning_semrob.functions.recorded import RecordedFunction
from lightning_semrob.functions.rendered import RenderedFunction
from lightning_semrob.functions.wrappers import (
    Complement,
    FiniteDifference,
    Reordered,
    prepare_function,
    window_half_widths,
)

__all__ = [
    "AnalyticFunction",
    "Complement",
    "FiniteDifference",
    "Nuisances",
    "RecordedFunction",
    "RenderedFunction",
    "Reordered",
    "SemanticFunction",
    "evaluate_rows",
    "prepare_function",
    "window_half_widths",
]
