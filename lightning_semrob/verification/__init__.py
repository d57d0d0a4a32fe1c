"""Does a box satisfy Eq. 2, and does the gradient of f agree with its slope?"""

from lightning_semrob.utilities.random import row_generator
from lightning_semrob.verification.region import AxisDensity, Verification, box_mass, verify

__all__ = ["AxisDensity", "Verification", "box_mass", "row_generator", "verify"]
