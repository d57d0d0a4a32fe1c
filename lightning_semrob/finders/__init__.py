"""Region finders: each a LightningModule whose parameters are the bounds a and b."""

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.exhaustive import ExhaustiveFinder
from lightning_semrob.finders.naive import NaiveFinder
from lightning_semrob.finders.oir import OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.trapezoid import TrapezoidFinder
from lightning_semrob.finders.verified.finder import VerifiedFinder

__all__ = [
    "ExhaustiveFinder",
    "NaiveFinder",
    "OIRBlackBoxFinder",
    "OIRWhiteBoxFinder",
    "RegionFinder",
    "TrapezoidFinder",
    "VerifiedFinder",
]
