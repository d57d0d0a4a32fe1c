"""What autocast of the networks changes in f."""

from __future__ import annotations

from lightning_semrob.environment import SemanticEnvironment

__all__ = ["PRECISION_POINTS", "precision_change"]

#: Sobol points of the space at which f is compared, on the first shape.
PRECISION_POINTS = 64


def precision_change(environment: SemanticEnvironment, shape: int = 0) -> dict[str, dict[str, float]]:
    """Network -> ``mean`` and ``largest`` change of f against float32, on Sobol points of one shape.

    Args:
        environment: set up; its ``precision`` is compared with ``32``.
        shape: index of the shape.

    Returns:
        Empty for an environment of float32 networks.
    """
    if environment.precision == "32":
        return {}
    u = environment.space.sobol(PRECISION_POINTS, environment.seed)[None]
    changes = {}
    for number, network in enumerate(environment.networks):
        f = environment.rendered_function(number, shape)
        reduced = f(u)
        f.autocast = None
        change = (reduced - f(u)).abs()
        changes[network] = {"mean": float(change.mean()), "largest": float(change.max())}
    return changes
