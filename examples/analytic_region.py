"""A box around a point of a formula, by the paper's finders and by the verified one. No renderer, network or Trainer.

python examples/analytic_region.py
"""

import torch

from lightning_semrob import SemanticSpace
from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder, VerifiedFinder
from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.verification.region import verify


def score(u: torch.Tensor) -> torch.Tensor:
    """High for azimuths from 60 to 200 degrees and elevations from 0 to 50 degrees, u = (azimuth, elevation)."""
    azimuth, elevation = u.unbind(-1)
    inside = torch.sigmoid((azimuth - 60) / 5) * torch.sigmoid((200 - azimuth) / 5)
    return inside * torch.sigmoid((elevation - 0) / 3) * torch.sigmoid((50 - elevation) / 3)


def main() -> dict[str, str]:
    """Print a line a finder; returns the verdicts."""
    f, space = AnalyticFunction(score), SemanticSpace.default()
    u0 = torch.tensor([[120.0, 25.0]])
    verdicts = {}
    for finder in (NaiveFinder(), OIRBlackBoxFinder(), OIRWhiteBoxFinder(), VerifiedFinder(eps_m=0.3, eps_v=0.05)):
        box = finder.find(f, u0, space)
        checked = verify(f, box, space, eps_m=0.3, eps_v=0.05, max_evaluations=20_000)
        verdicts[finder.name] = checked.verdict[0]
        low, high = box.a[0].tolist(), box.b[0].tolist()
        print(
            f"{finder.name:8} azimuth {low[0]:6.1f} to {high[0]:6.1f}, elevation {low[1]:5.1f} to {high[1]:5.1f}: "
            f"mean f {checked.mean.item():.3f}, variance {checked.variance.item():.3f}, {checked.verdict[0]}"
        )
    return verdicts


if __name__ == "__main__":
    main()
