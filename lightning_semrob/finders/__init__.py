"""Region finders: each a LightningModule whose parameters are the bounds a and b."""

from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.naive import NaiveFinder
from lightning_semrob.finders.oir import OIRBlackBoxFinder, OIRWhiteBoxFinder
from lightning_semrob.finders.trapezoid import TrapezoidFinder

__all__ = ["NaiveFinder", "OIRBlackBoxFinder", "OIRWhiteBoxFinder", "RegionFinder", "TrapezoidFinder"]
