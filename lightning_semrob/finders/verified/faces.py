"""Growing a candidate in any number of axes: each face moves by samples on it, 2 n faces a round."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_semrob.finders.verified.surrogate import Candidate, Growth
from lightning_semrob.space import SemanticSpace


class _LogisticQuadratic:
    """A model of f around a box: the logistic function of a quadratic in t, which is -1 and 1 on the box's faces.

    Args:
        n: axes.
        mixed: (2, Q) pairs of axes whose products it has.
    """

    _LEAST = 0.1  # of the weights p (1 - p) of the Hessian, so that no step goes too far
    _RIDGE = 1e-3
    _STEPS = 3

    def __init__(self, n: int, mixed: Tensor) -> None:
        self._mixed = mixed
        self._coefficients = torch.zeros(2 * n + 1 + mixed.shape[1], dtype=torch.float64)

    def basis(self, t: Tensor) -> Tensor:
        """Legendre polynomials at t (P, n): the constant, n linear and n square ones, and the mixed products."""
        i, j = self._mixed
        return torch.cat([torch.ones_like(t[:, :1]), t, (3 * t.square() - 1) / 2, t[:, i] * t[:, j]], 1)

    def _expand(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Value (), gradient (n,) and Hessian (n, n) of the quadratic at t = 0."""
        c = self._coefficients
        bend = c[n + 1 : 2 * n + 1]
        hessian = torch.diag(3 * bend)
        i, j = self._mixed
        hessian[i, j] = hessian[j, i] = c[2 * n + 1 :]
        return c[0] - bend.sum() / 2, c[1 : n + 1], hessian

    def rebase(self, shift: Tensor, scale: Tensor) -> None:
        """Express the same function in t' of another box: t = shift + scale t', (n,) each."""
        n = len(shift)
        value, gradient, hessian = self._expand(n)
        value = value + gradient @ shift + shift @ hessian @ shift / 2
        gradient = scale * (gradient + hessian @ shift)
        hessian = scale[:, None] * hessian * scale
        bend = hessian.diagonal() / 3
        i, j = self._mixed
        self._coefficients = torch.cat([(value + bend.sum() / 2)[None], gradient, bend, hessian[i, j]])

    def fit(self, basis: Tensor, f: Tensor) -> None:
        """Newton steps on the logistic likelihood with the Hessian frozen at the start: basis (P, terms), f (P,) in [0,
        1].
        """
        ridge = torch.full_like(self._coefficients, self._RIDGE * len(basis))
        p = self.predict(basis)
        weighted = basis * (p * (1 - p)).clamp_min(self._LEAST)[:, None]
        factor = torch.linalg.cholesky(basis.T @ weighted + ridge.diag())
        for _ in range(self._STEPS):
            gradient = basis.T @ (f - p) - ridge * self._coefficients
            self._coefficients = self._coefficients + torch.cholesky_solve(gradient[:, None], factor)[:, 0]
            p = self.predict(basis)

    def predict(self, basis: Tensor) -> Tensor:
        return (basis @ self._coefficients).sigmoid()

    def moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Means over faces and box from points t (P, n) of the box, each moved onto all faces in turn.

        Returns:
            Means of the model and its square on lower faces, upper faces, inside, (2 n + 1, 2), and by how much those
            of the faces change when a face moves outward by the width of the box, (2 n, 2).
        """
        value, gradient, hessian = self._expand(t.shape[1])
        change = gradient + t @ hessian
        inner = value + (t * (gradient + change)).sum(1) / 2
        means, slopes = [], []
        for side in (-1.0, 1.0):
            d = side - t
            p = (inner[:, None] + d * (change + hessian.diagonal() * d / 2)).sigmoid()
            outward = 2 * side * p * (1 - p) * (change + hessian.diagonal() * d)
            means.append(torch.stack([p.mean(0), p.square().mean(0)], -1))
            slopes.append(torch.stack([outward.mean(0), 2 * (p * outward).mean(0)], -1))
        p = inner.sigmoid()
        means.append(torch.stack([p.mean(), p.square().mean()])[None])
        return torch.cat(means), torch.cat(slopes)


class FaceGrowth(Growth):
    """Root finding on the faces: for any n, with 2 n faces a round.

    At the largest box with mean f = 1 - eps_m the mean F of f over each face that can move is the same, and so is the
    mean S of (f - mean)^2 where the variance is the constraint that binds (the Lagrange conditions of
    ``max sum log r_k``). Every round samples each face and the interior, then moves twice: faces against each other
    until F (or S) is equal, with a step per face that shrinks when its direction turns (Kesten); and all faces
    together by Newton's method on the constraint, whose slope the faces give:
    ``dM / ds = sum_faces (F - M) / 2`` for widths times 1 + s, and likewise for the variance. The bounds of the last
    third of the rounds are averaged.
    """

    predicts = False
    _ROUNDS = 120
    _START = 0.01
    _KEEP = 0.7  # weight of the past in the running means
    _STEP = (0.03, 0.15)  # smallest and largest move of a face in a round, in widths of the box, while hot
    _GAIN = 0.5  # of the Newton steps, while hot
    _TERMS = 6  # samples for each term of the control variate
    _CHEAP = 2048  # points a round at which the model of f is averaged

    def __init__(self, u0: Tensor, space: SemanticSpace, eps_m: float, eps_v: float, budget: int) -> None:
        super().__init__(u0, space, eps_m, eps_v, budget)
        n = len(space)
        self._rounds = max(10, min(self._ROUNDS, budget // (12 * n)))
        per_round = max(6 * n, budget // self._rounds)
        self._inner = max(2, per_round // 3)
        self._outer = max(2, (per_round - self._inner) // (2 * n))
        self._generator = torch.Generator().manual_seed(0)
        self._round = 0
        start = torch.full_like(self.u0, self._START)
        self._a = torch.maximum(-start, self.low)
        self._b = torch.minimum(start, self.high)
        self._step = torch.full((2, n), 0.1, dtype=torch.float64)
        self._sign = torch.zeros(2, n, dtype=torch.float64)
        self._moments: Tensor | None = None  # (2 n + 1, 2): means of f and f^2 on lower faces, upper faces, inside
        self._points = self.u0.new_zeros(0, n)
        self._model = _LogisticQuadratic(n, torch.triu_indices(n, n, 1) if n <= 32 else torch.zeros(2, 0).long())
        self._frame = (self._a, self._b)  # the box whose coordinates the model is in
        self._slopes = self.u0.new_zeros(2 * n, 2)
        self._recent: list[tuple[Tensor, Tensor]] = []
        self._trail: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._over = False

    def propose(self) -> Tensor:
        n = len(self.u0)
        cost = 2 * n * self._outer + self._inner
        if self._over or self.evaluations + cost > self.budget:
            return self.u0.new_zeros(0, n)
        x = torch.rand(cost, n, generator=self._generator, dtype=torch.float64)
        for axis in range(n):
            x[axis * self._outer : (axis + 1) * self._outer, axis] = 0.0
            x[(n + axis) * self._outer : (n + axis + 1) * self._outer, axis] = 1.0
        self._points = self._a + x * (self._b - self._a)
        return self._physical(self._points)

    def update(self, scores: Tensor) -> None:
        self.evaluations += scores.numel()
        self._round += 1
        now, slopes = self._moments_of(scores.double())
        # Cools from 1 to 0.05 in the last two thirds of the rounds.
        heat = 0.05 ** max(0.0, 1.5 * self._round / self._rounds - 0.5)
        keep = min(self._KEEP, 1 - 1 / self._round)
        self._moments = now if self._moments is None else keep * self._moments + (1 - keep) * now
        self._slopes = slopes if self._round == 1 else keep * self._slopes + (1 - keep) * slopes
        if self._round > 2 * self._rounds // 3:
            self._trail.append((self._a, self._b, now, slopes))
        scale, of_f, of_square = self._newton(self._moments, self.eps_m, self.eps_v)
        a, b = self._a, self._b
        width = b - a
        excess, slope = self._excess(a, b, self._moments, self._slopes, of_f, of_square)
        turned = excess.sign() * self._sign < 0
        self._step = torch.where(turned, 0.6 * self._step, 1.1 * self._step)
        self._step = self._step.clamp(self._STEP[0] * heat, self._STEP[1] * heat)
        self._sign = excess.sign()
        gain = self._GAIN * max(heat, 0.2)
        move = torch.minimum(torch.maximum(gain * excess / slope, -self._step), self._step) + gain * scale
        a = torch.minimum(a - move[0] * width, torch.zeros_like(a))
        b = torch.maximum(b + move[1] * width, torch.zeros_like(b))
        self._a, self._b = self._legal(a, b)
        self._over = bool((self._b - self._a).amax() < 1e-4)

    def _moments_of(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Means of f and f^2 over each lower face, each upper face and the box, (2 n + 1, 2), from this round.

        Second, how the means of the faces change when they move outward by the width of the box, (2 n, 2). The
        logistic function of a quadratic (beyond n = 32: one without mixed terms), fitted to the last rounds, is
        averaged at many points, which cost no evaluation. What it leaves is averaged over the samples, with a
        quadratic as a control variate whose means are known exactly.
        """
        n, width = len(self.u0), self._b - self._a
        before = self._frame[1] - self._frame[0]
        self._model.rebase((self._a + self._b - self._frame[0] - self._frame[1]) / before, width / before)
        self._frame = (self._a, self._b)
        values = torch.stack([scores, scores.square()], -1)
        here = self._model.basis((self._points - self._a) / width * 2 - 1)
        rounds = max(4, -(-self._TERMS * here.shape[1] // len(scores)))
        self._recent = [*self._recent[1 - rounds :], (self._points, values)]
        points, target = (torch.cat(x) for x in zip(*self._recent, strict=True))
        basis = self._model.basis((points - self._a) / width * 2 - 1)
        self._model.fit(basis, target[:, 0])
        g = self._model.predict(basis)
        target = target - torch.stack([g, g.square()], -1)
        engine = torch.quasirandom.SobolEngine(n, scramble=True, seed=self._round)
        t = 2 * engine.draw(self._CHEAP // 2).double() - 1
        means, outward = self._model.moments(torch.cat([t, -t]))
        # Of the Legendre terms, only the constant has a mean over the box, and on a face also its own two.
        ridge = 1e-3 * len(basis) * torch.eye(basis.shape[1], dtype=torch.float64)
        ridge[0, 0] = 0.0
        fit = torch.linalg.solve(basis.T @ basis + ridge, basis.T @ target)
        rest = (target - basis @ fit)[-len(values) :]
        faces = rest[: 2 * n * self._outer].reshape(2 * n, self._outer, 2).mean(1)
        center, slope, bend = fit[:1], fit[1 : n + 1], fit[n + 1 : 2 * n + 1]
        known = torch.cat([center - slope + bend, center + slope + bend])
        inside = rest[2 * n * self._outer :].mean(0, keepdim=True) + center
        return means + torch.cat([faces + known, inside]), outward + 2 * torch.cat([3 * bend - slope, 3 * bend + slope])

    def _excess(
        self, a: Tensor, b: Tensor, moments: Tensor, slopes: Tensor, of_f: float, of_square: float
    ) -> tuple[Tensor, Tensor]:
        """How much better each face that can move is than their average, and the slope of that, (2, n) each."""
        free = torch.stack([(a > self.low + 1e-9) | self.space.periodic, (b < self.high - 1e-9) | self.space.periodic])
        utility = (of_f * moments[:-1, 0] + of_square * moments[:-1, 1]).reshape(free.shape)
        slope = (of_f * slopes[:, 0] + of_square * slopes[:, 1]).abs().clamp(0.05, 0.6).reshape(free.shape)
        mean = (utility * free).sum() / free.sum().clamp_min(1)
        return torch.where(free, utility - mean, torch.zeros_like(utility)), slope

    def _legal(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        periodic = self.space.periodic
        shrink = torch.where(periodic, (1 / (b - a).clamp_min(1e-12)).clamp_max(1), torch.ones_like(a))
        a = torch.where(periodic, a * shrink, torch.maximum(a, self.low))
        b = torch.where(periodic, b * shrink, torch.minimum(b, self.high))
        return a, b

    def _newton(self, moments: Tensor, eps_m: float, eps_v: float) -> tuple[float, float, float]:
        """Relative change of all widths that makes the binding constraint tight.

        Then the weights of the face means of f and f^2 in what that constraint wants equal on all faces: F, or
        -2 S = -2 (mean of f^2 - 2 M f).
        """
        n = len(self.u0)
        mean, square = moments[-1].tolist()
        faces = moments[:-1, 0]
        squares = moments[:-1, 1] - 2 * mean * faces + mean * mean
        limit = 0.25
        mean_slope = float((mean - faces).sum()) / 2
        by_mean = (mean - 1 + eps_m) / max(mean_slope, 0.02 * n)
        variance = square - mean * mean
        variance_slope = float((squares - variance).sum()) / 2
        by_variance = (eps_v - variance) / max(variance_slope, 0.01 * n)
        scale = max(-limit, min(limit, by_mean, by_variance))
        return (scale, 1.0, 0.0) if by_mean <= by_variance else (scale, 4 * mean, -2.0)

    def candidate(self, eps_m: float, eps_v: float) -> Candidate | None:
        if not self._trail:
            return None
        a, b, moments, slopes = (torch.stack(x).mean(0) for x in zip(*self._trail, strict=True))
        if bool((b - a).amin() < 1e-4):
            return None
        scale, of_f, of_square = self._newton(moments, eps_m, eps_v)
        excess, slope = self._excess(a, b, moments, slopes, of_f, of_square)
        rest = torch.minimum(torch.maximum(excess / slope, -self._step), self._step)  # what was not yet moved
        width = b - a
        a, b = (a - rest[0] * width).clamp_max(0.0), (b + rest[1] * width).clamp_min(0.0)
        a, b = self._legal(a * (1 + scale), b * (1 + scale))
        none = torch.zeros((1,) * len(a), dtype=torch.float64)
        return Candidate(self._physical(a), self._physical(b), none, 1 - eps_m, eps_v)
