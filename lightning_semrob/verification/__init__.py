"""Does a box satisfy Eq. 2, and does the gradient of f agree with its slope?"""

from lightning_semrob.verification.region import AxisDensity, Verification, box_mass, row_generator, verify

__all__ = ["AxisDensity", "Verification", "box_mass", "row_generator", "verify"]
