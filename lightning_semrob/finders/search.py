from torch import Tensor
import torch
from lightning_semrob.finders.verified import VerifiedFinder as _V, VerifiedState


class VerifiedSearch(_V):
    def budget(self, n: int) -> tuple[int, int]:
        return (
            self.growth_evaluations or (1150 if n <= 3 else 2000 * n),
            self.verification_evaluations or (1200 if n <= 3 else 3000),
        )

    def verification_scores(self, state: VerifiedState) -> list[Tensor]:
        return [torch.cat(run._scores) if run._scores else torch.zeros(0) for run in state.runs]
