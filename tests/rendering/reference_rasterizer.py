"""The slow, simple reference of the rasteriser: PyTorch operations, gradients by autograd. Only tests use it.

Notation: a sample is a point ``r = (X, Y, 1)`` of the image plane; a corner in clip space is ``p = (x, y, w)``.
``lambda_k(r) = (p_i - w_i r) x (p_j - w_j r)`` (the plane cross product, k opposite to the edge i, j) are the
unnormalised perspective-correct barycentrics: all of one sign inside, ``b = lambda / sum(lambda)``, and the depth
is ``det / sum(lambda)``. They need no division by w, so faces that cross the camera plane need no clipping.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.rendering.camera import DEPTH_TOLERANCE, NEAR
from lightning_semrob.rendering.geometry import Geometry
from lightning_semrob.rendering.light import Lighting
from lightning_semrob.rendering.pytorch3d import shade_fragments

__all__ = ["rasterize"]


def rasterize(geometry: Geometry, camera: Tensor, lighting: Lighting, size: int, supersampling: int) -> Tensor:
    """Images of the geometry under B cameras.

    Args:
        geometry: the mesh.
        camera: (B, 3, 4) of :func:`~lightning_semrob.rendering.camera.camera_matrix`, float32.
        lighting: light and colours of each image.
        size: side of the image, pixels.
        supersampling: samples a pixel along each side.

    Returns:
        (B, 3, size, size) float32 in [0, 1].
    """
    side = size * supersampling
    clip = _clip_corners(geometry.vertices[geometry.faces], camera)
    with torch.no_grad():
        face = _visible_faces(geometry, clip.detach(), side)
    color = _shade(geometry, clip, face, lighting, side)
    color = _antialias(clip, face, color)
    batch = camera.shape[0]
    color = color.view(batch, size, supersampling, size, supersampling, 3).mean((2, 4))
    return color.permute(0, 3, 1, 2).clamp(0.0, 1.0)


def _clip_corners(corners: Tensor, camera: Tensor) -> Tensor:
    """(B, F, 3, 3): corner k of each face in clip space (x, y, w); plain sums, so that no bit depends on B."""
    c = camera[:, None, None]
    x = corners[None, :, :, None, :]
    return c[..., 0] * x[..., 0] + c[..., 1] * x[..., 1] + c[..., 2] * x[..., 2] + c[..., 3]


def _grid(index: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """X and Y of sample number ``y * side + x``, in [-1, 1]."""
    column, row = index % side, torch.div(index, side, rounding_mode="floor")
    return (2 * column + 1).to(torch.float32) / side - 1, 1 - (2 * row + 1).to(torch.float32) / side


def _lambdas(clip: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(M, 3) lambda of faces with corners clip (M, 3, 3) at the points (x, y)."""
    u = clip[..., 0] - clip[..., 2] * x[:, None]
    v = clip[..., 1] - clip[..., 2] * y[:, None]
    return torch.stack(
        (
            u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1],
            u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2],
            u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0],
        ),
        -1,
    )


def _determinant(clip: Tensor) -> Tensor:
    """Six times the signed volume of (camera, face): positive for faces seen counter-clockwise. clip (..., 3, 3)."""
    a, b, c = clip.double().unbind(-2)
    volume: Tensor = (torch.linalg.cross(a, b) * c).sum(-1)
    return volume.to(torch.float32)


def _visible_faces(geometry: Geometry, clip: Tensor, side: int, max_pairs: int = 1 << 22) -> Tensor:
    """(B, side * side) int64: the face seen at each sample, -1 for the background.

    Two passes over all (face, sample of its bounding box) pairs: the least depth of each sample, then, among the
    faces within DEPTH_TOLERANCE of it, front faces before back faces and low numbers before high ones: coincident
    faces in both windings give no speckle.
    """
    batch, count = clip.shape[:2]
    device = clip.device
    w = clip[..., 2]
    near = w.amin(-1) < NEAR
    safe = w.clamp_min(NEAR)
    column = (clip[..., 0] / safe + 1) * (side / 2) - 0.5
    row = (1 - clip[..., 1] / safe) * (side / 2) - 0.5

    def span(position: Tensor) -> tuple[Tensor, Tensor]:
        low = position.amin(-1).clamp(-1.0, side).ceil().clamp_min(0).to(torch.int64)
        high = position.amax(-1).clamp(-1.0, side).floor().clamp_max(side - 1).to(torch.int64)
        return torch.where(near, 0, low), torch.where(near, side - 1, high)

    (left, right), (top, bottom) = span(column), span(row)
    determinant = _determinant(clip)
    width, height = (right - left + 1).clamp_min(0), (bottom - top + 1).clamp_min(0)
    pairs = width * height * (w.amax(-1) >= NEAR) * (determinant != 0)
    pairs, width = pairs.flatten(), width.flatten()
    left, top, clip, determinant = left.flatten(), top.flatten(), clip.flatten(0, 1), determinant.flatten()
    ends = pairs.cumsum(0)
    total = int(ends[-1])

    depth = torch.full((batch * side * side,), torch.inf, device=device)
    best = torch.full((batch * side * side,), 2 * count, dtype=torch.int64, device=device)
    for second in (False, True):
        for start in range(0, total, max_pairs):
            pair = torch.arange(start, min(start + max_pairs, total), device=device)
            item = torch.searchsorted(ends, pair, right=True)
            local = pair - (ends[item] - pairs[item])
            index = (top[item] + local // width[item]) * side + left[item] + local % width[item]
            x, y = _grid(index, side)
            values = _lambdas(clip[item], x, y)
            det = determinant[item]
            inside = ((values * det.sign()[:, None]) >= 0).all(-1)
            z = det / values.sum(-1)
            inside &= z.isfinite() & (z >= NEAR)
            inside &= _solid(geometry, item % count, values, inside)
            image = torch.div(item, count, rounding_mode="floor")
            slot, z, item = (image * (side * side) + index)[inside], z[inside], item[inside]
            if not second:
                depth.scatter_reduce_(0, slot, z, "amin")
            else:
                close = z <= depth[slot] * (1 + DEPTH_TOLERANCE)
                key = item % count + count * (determinant[item] < 0)
                best.scatter_reduce_(0, slot[close], key[close], "amin")
    return torch.where(best == 2 * count, -1, best % count).view(batch, side * side)


def _solid(geometry: Geometry, face: Tensor, values: Tensor, inside: Tensor) -> Tensor:
    """Whether faces with lambda ``values`` (M, 3), where ``inside``, are not in a hole of their texture (M,)."""
    solid = torch.ones_like(inside)
    holes = (geometry.cutout[face] & inside).nonzero().flatten()
    if len(holes):
        weight = (values[holes] / values[holes].sum(-1, keepdim=True))[..., None]
        uv = (weight * geometry.uv[face[holes]]).sum(1)
        uv = uv - uv.floor()
        first, height, width = geometry.levels[geometry.pyramids[geometry.texture[face[holes]], 0]].unbind(-1)
        column = torch.minimum((uv[:, 0] * width).to(torch.int64), width - 1)
        row = torch.minimum(((1 - uv[:, 1]) * height).to(torch.int64), height - 1)
        solid[holes] = geometry.texels[first + row * width + column, 3] >= 0.5
    return solid


def _shade(geometry: Geometry, clip: Tensor, face: Tensor, lighting: Lighting, side: int) -> Tensor:
    """(B, side, side, 3): the colour of each sample."""
    batch = face.shape[0]
    image, index = (face >= 0).nonzero(as_tuple=True)
    seen = face[image, index]
    x, y = _grid(index, side)
    corners = clip[image, seen]
    values = _lambdas(corners, x, y)
    total = values.sum(-1)
    determinant = _determinant(corners.detach())
    stretch = (determinant**2 / total.detach() ** 3).abs() * 4 / side**2
    color = shade_fragments(geometry, lighting, image, seen, values / total[:, None], determinant > 0, stretch)
    canvas = lighting.background[:, None].expand(batch, side * side, 3)
    return canvas.index_put((image, index), color).view(batch, side, side, 3)


def _antialias(clip: Tensor, face: Tensor, color: Tensor) -> Tensor:
    """Blend neighbouring samples across every visible boundary, in proportion to where it lies between them.

    For two neighbours p, q with different faces, the boundary is where the nearer face ends, or where both have
    the same depth; it crosses the segment at ``t = f(p) / (f(p) - f(q))`` with f the lambda of that edge, or the
    difference of the inverse depths. (The compiled kernels also follow the surface across faces smaller than a
    sample; here only the two faces are asked.) The sample whose half of the segment holds the boundary takes
    the fraction ``|t - 1/2|`` of the other colour, weighted by the squared cosine between segment and boundary
    normal, so that the image is continuous in the camera and autograd sees silhouettes and creases move.
    """
    batch, side = color.shape[:2]
    flat = color.reshape(-1, 3)
    total = torch.zeros_like(flat)
    weights = torch.zeros_like(flat[:, 0])
    grid = face.view(batch, side, side)
    numbers = torch.arange(batch * side * side, device=face.device).view(batch, side, side)
    for axis in (2, 1):
        size = side - 1
        p, q = numbers.narrow(axis, 0, size), numbers.narrow(axis, 1, size)
        different = grid.narrow(axis, 0, size) != grid.narrow(axis, 1, size)
        p, q = p[different], q[different]
        t, share = _boundary(clip, face.reshape(-1), p, q, side)
        first = t.detach() < 0.5
        target, other = torch.where(first, p, q), torch.where(first, q, p)
        amount = share * torch.where(first, 0.5 - t, t - 0.5)
        blend = amount[:, None] * (flat[other] - flat[target])
        # Each sample is at most once the left one of a pair and once the right one: no sum depends on an order.
        for side_of, chosen in ((q, ~first), (p, first)):
            total = total.index_put((side_of,), total[side_of] + torch.where(chosen[:, None], blend, 0.0))
            weights = weights.index_put((side_of,), weights[side_of] + torch.where(chosen, amount, 0.0))
    return (flat + total / weights.clamp_min(1.0)[:, None]).view_as(color)


def _boundary(clip: Tensor, face: Tensor, p: Tensor, q: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where between the samples p and q the face changes, t in [0, 1] (M,), and the blend's share (M,)."""
    image = torch.div(p, side * side, rounding_mode="floor")
    here, there = face[p], face[q]
    xp, yp = _grid(p % (side * side), side)
    xq, yq = _grid(q % (side * side), side)
    sides = []
    for seen, (x0, y0), (x1, y1) in ((here, (xp, yp), (xq, yq)), (there, (xq, yq), (xp, yp))):
        corners = clip[image, seen.clamp_min(0)]
        determinant = _determinant(corners)
        start, end = _lambdas(corners, x0, y0), _lambdas(corners, x1, y1)
        sign = determinant.detach().sign()[:, None]
        a, c = start.detach() * sign, end.detach() * sign
        distance = torch.where(c < 0, a / (a - c), torch.inf)
        distance[seen < 0] = torch.inf
        leave, edge = distance.min(-1)
        a, c = (v.gather(1, edge[:, None])[:, 0] for v in (start, end))
        i, j = (edge + 1) % 3, (edge + 2) % 3
        rows = torch.arange(len(edge), device=edge.device)
        normal = torch.linalg.cross(corners.detach()[rows, i], corners.detach()[rows, j])[:, :2]
        inverse = torch.stack((start.sum(-1) / determinant, end.sum(-1) / determinant), -1)
        inverse = torch.where((seen < 0)[:, None], torch.zeros_like(inverse), inverse)
        sides.append((leave, a, c, normal, inverse))
    (leave_p, a_p, c_p, normal_p, z_p), (leave_q, a_q, c_q, normal_q, z_q) = sides
    nearer_p = z_p[:, 0].detach() >= z_q[:, 0].detach()
    ends_p, ends_q = leave_p.isfinite(), leave_q.isfinite()
    use_p = ends_p & (~ends_q | nearer_p)
    cross = ~ends_p & ~ends_q

    z_q = z_q.flip(-1)
    gap = z_p - z_q
    numerator = torch.where(use_p, a_p, torch.where(cross, gap[:, 0], c_q))
    denominator = torch.where(use_p, a_p - c_p, torch.where(cross, gap[:, 0] - gap[:, 1], c_q - a_q))
    valid = denominator.detach().abs() > 0
    t = numerator / torch.where(valid, denominator, torch.ones_like(denominator))
    normal = torch.where(use_p[:, None], normal_p, normal_q)
    squared = normal**2
    along = torch.where(xp != xq, squared[:, 0], squared[:, 1])
    share = along / squared.sum(-1).clamp_min(1e-30)
    share = torch.where(cross, torch.full_like(share, 0.5), share)
    inside = valid & (t.detach() >= 0) & (t.detach() <= 1)
    return torch.where(inside, t, torch.full_like(t, 0.5)), share * inside
