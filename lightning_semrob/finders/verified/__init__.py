"""The verified finder: grows a box and proves Eq. 2 for it from samples of its own."""

from lightning_semrob.finders.verified.finder import VerifiedFinder

__all__ = ["VerifiedFinder"]
