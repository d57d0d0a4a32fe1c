"""Polygons to triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def triangulate(positions: Floats, counts: Integers) -> tuple[Integers, Integers]:
    """Triangles of polygons, concave ones too.

    Args:
        positions: (C, 3) the corners of all polygons, one polygon after another.
        counts: (P,) how many corners each has; polygons of fewer than 3 have no triangle.

    Returns:
        (T, 3) corners of each triangle, numbers of rows of ``positions``, and (T,) its polygon; ordered by polygon.
    """
    start = np.cumsum(counts) - counts
    corners: list[Any] = [np.empty((0, 3), np.int64)]
    owners: list[Any] = [np.empty(0, np.int64)]
    for count in np.unique(counts[counts >= 3]):
        polygons = np.flatnonzero(counts == count)
        fan = np.stack([np.zeros(count - 2, np.int64), np.arange(1, count - 1), np.arange(2, count)], -1)
        index = np.broadcast_to(fan, (len(polygons), count - 2, 3))
        concave = np.zeros(len(polygons), bool)
        if count > 3:
            concave = _concave(positions[start[polygons, None] + np.arange(count)])
        corners.append((start[polygons][:, None, None] + index)[~concave].reshape(-1, 3))
        owners.append(np.repeat(polygons[~concave], count - 2))
        for polygon in polygons[concave]:
            own = _ears(positions[start[polygon] : start[polygon] + count], fan)
            corners.append(own + start[polygon])
            owners.append(np.full(len(own), polygon))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(corners)[order], owner[order]


def strip(indices: Integers) -> Integers:
    """(T, 3) the triangles of a strip, all wound as its first."""
    faces = np.stack((indices[:-2], indices[1:-1], indices[2:]), -1)
    faces[1::2] = faces[1::2, ::-1]
    return faces


def _normals(corners: Floats) -> Floats:
    """(P, 3) Newell's normals of polygons (P, n, 3), twice the area long."""
    centred = corners - corners[:, :1]
    normals: Floats = np.cross(centred, np.roll(centred, -1, 1)).sum(1)
    return normals


def _concave(corners: Floats) -> NDArray[np.bool_]:
    """(P,) whether polygons (P, n, 3) turn the other way somewhere, or more than once around."""
    edges = np.roll(corners, -1, 1) - corners
    turns = np.cross(np.roll(edges, 1, 1), edges)
    normal = _normals(corners)
    along = (turns * normal[:, None]).sum(-1)
    around = np.abs(along).sum(1) > 0
    found: NDArray[np.bool_] = (along.min(1) < -1e-9 * np.abs(along).max(1)) & around
    if corners.shape[1] > 4:  # a star turns one way and yet crosses itself
        length = np.linalg.norm(edges, axis=-1) * np.linalg.norm(np.roll(edges, 1, 1), axis=-1)
        sine = np.linalg.norm(turns, axis=-1) / np.maximum(length, 1e-300)
        cosine = (np.roll(edges, 1, 1) * edges).sum(-1) / np.maximum(length, 1e-300)
        found |= np.arctan2(sine, cosine).sum(1) > 3 * np.pi
    return found


def _ears(corners: Floats, fan: Integers) -> Integers:
    """(T, 3) triangles of one polygon (n, 3), by ear clipping in the plane that shows most of it."""
    import mapbox_earcut

    normal = _normals(corners[None])[0]
    axis = int(np.abs(normal).argmax())
    flat = np.ascontiguousarray(np.delete(corners, axis, 1) * ((1.0, 1.0) if normal[axis] >= 0 else (-1.0, 1.0)))
    if axis == 1:  # x, z is left-handed where x, y and y, z are not
        flat = flat * (-1.0, 1.0)
    ears = mapbox_earcut.triangulate_float64(flat, np.array([len(flat)], np.uint32)).reshape(-1, 3).astype(np.int64)
    if not len(ears):
        return fan
    one, two = flat[ears[:, 1]] - flat[ears[:, 0]], flat[ears[:, 2]] - flat[ears[:, 0]]
    clockwise = one[:, 0] * two[:, 1] < one[:, 1] * two[:, 0]
    ears[clockwise] = ears[clockwise][:, ::-1]
    return ears
