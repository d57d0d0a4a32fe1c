"""The rasteriser's kernels: one source, compiled by Warp for the CPU and for CUDA.

Notation: a sample is a point ``r = (X, Y, 1)`` of the image plane, X and Y in [-1, 1]; a corner of a face in clip
space is ``p = (x, y, w)``; ``lambda_k(r) = n_k . r`` with ``n_k = p_i x p_j``, k opposite to the edge (i, j), are the
unnormalised perspective-correct barycentrics: all of one sign inside, ``lambda / sum(lambda)`` are the barycentrics,
and ``sum(lambda) / det`` is the inverse depth, with ``det = p_0 . n_0``. Nothing is divided by w, so that faces that
cross the camera plane need no clipping.

An image is made by these kernels in turn: ``project`` vertices; ``draw_faces`` and ``settle_ties``, which face each
sample sees; ``light_faces`` and ``shade_samples``, the colours; ``blend_boundaries``, antialiasing; ``make_pictures``,
the mean over the samples of a pixel. Those called ``..._backward`` carry the slope of a loss the other way, written by
hand. Only the camera and the light move: slopes are gathered per thread, never per vertex.

A thread takes a run of vertices or faces, or a strip of a row of samples: long ones on a CPU, short ones on a GPU.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import warp as wp

__all__ = ["cache_folder", "quiet"]


def cache_folder() -> str:
    """Where the compiled kernels are kept."""
    return str(wp.config.kernel_cache_dir)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Warp from printing its version, missing drivers and what it compiles."""
    before, wp.config.log_level = wp.config.log_level, wp.LOG_ERROR
    try:
        yield
    finally:
        wp.config.log_level = before


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Hide what Warp's library writes to the error stream about a missing driver, whatever its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _start() -> str | None:
    """Initialise Warp, with a cache that can be written; returns the folder that cannot."""
    try:
        wp.init()
        if os.access(cache_folder(), os.W_OK):
            return None
    except OSError:
        pass
    folder, wp.config.kernel_cache_dir = cache_folder(), tempfile.mkdtemp(prefix="lightning_semrob_")
    wp.init()
    return folder


with quiet(), nullcontext() if torch.cuda.is_available() else _no_stderr():
    _folder = _start()
if _folder is not None:
    warnings.warn(
        f"The rasteriser cannot keep its compiled kernels in {_folder}: each process compiles them anew. Set "
        "WARP_CACHE_PATH to a folder that you can write to.",
        stacklevel=2,
    )
