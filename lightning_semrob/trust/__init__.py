"""The guaranteed map of the whole space: which tiles are trusted, which fail."""

from lightning_semrob.trust.boxes import TrustedBoxes
from lightning_semrob.trust.map import TrustMap, default_tiles, trust_map, trust_maps
from lightning_semrob.trust.tiles import Tiles
from lightning_semrob.trust.traps import EnclosedTrap

__all__ = ["EnclosedTrap", "Tiles", "TrustMap", "TrustedBoxes", "default_tiles", "trust_map", "trust_maps"]
