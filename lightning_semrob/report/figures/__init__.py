"""The project's figures.

Every ``plot_`` function returns a new :class:`matplotlib.figure.Figure`; :func:`save_figure` renders it with Agg, which
needs no display.
"""

from lightning_semrob.report.figures.curves import plot_scores_over_axis
from lightning_semrob.report.figures.growth import plot_growth
from lightning_semrob.report.figures.maps import box_sides, plot_data_map, plot_map, plot_map_grid
from lightning_semrob.report.figures.sheets import plot_contact_sheet
from lightning_semrob.report.figures.style import axis_label, method_color, network_color, save_figure, tick_step
from lightning_semrob.report.figures.trust import plot_trust_map

__all__ = [
    "axis_label",
    "box_sides",
    "method_color",
    "network_color",
    "plot_contact_sheet",
    "plot_data_map",
    "plot_growth",
    "plot_map",
    "plot_map_grid",
    "plot_scores_over_axis",
    "plot_trust_map",
    "save_figure",
    "tick_step",
]
