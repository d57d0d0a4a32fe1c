"""Semantic maps: f on a grid of one or more axes, for many networks and shapes at once."""

from lightning_semrob.maps.adaptive import AdaptiveMap, adaptive_map
from lightning_semrob.maps.data import DataMap, SemanticMaps, axis_values, grid_points, score_map
from lightning_semrob.maps.measure import MapBatch, SemanticMapper, compute_maps

__all__ = [
    "AdaptiveMap",
    "DataMap",
    "MapBatch",
    "SemanticMapper",
    "SemanticMaps",
    "adaptive_map",
    "axis_values",
    "compute_maps",
    "grid_points",
    "score_map",
]
