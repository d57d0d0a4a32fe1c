"""``semrob figures``: the figures of a file of maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_semrob.commands.parsing import Parser
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.report.figures import plot_data_map, plot_map_grid, plot_scores_over_axis, save_figure

#: Shapes of a class that are shown one by one.
_ROWS = 6


def main(args: Sequence[str]) -> list[Path]:
    """Draw f of each class over the first axis, with its band over shapes; of two axes also the maps and the data map.

    Returns:
        The files written.

    Raises:
        ValueError: maps of more than two axes.
    """
    parser = Parser("figures", "Figures of a file of maps.")
    parser.add_argument("maps", type=str, help="file of `semrob maps`")
    parser.add_argument("--output", type=str, default="figures", help="folder")
    parser.add_argument("--format", type=str, default="png", help="png, svg or pdf")
    parser.add_argument("--threshold", type=float, default=0.3, help="line around where every network scores below")
    config = parser.parse_args(list(args))
    maps, folder = SemanticMaps.load(config.maps), Path(config.output)
    if len(maps.axes) > 2:
        raise ValueError(f"these maps have the axes {maps.axes.names}: map one or two and fix or average the others")
    networks = network_labels(maps.networks)
    first = maps.axes.axes[0]
    written = []
    for class_name in dict.fromkeys(maps.class_names):
        rows = [i for i, name in enumerate(maps.class_names) if name == class_name]
        own, text = maps.select(shapes=rows), class_name.replace("_", " ")
        scores, where = own.scores, ""
        if len(maps.axes) == 2:
            second, middle = maps.axes.axes[1], maps.grid[1] // 4
            where = f", {second.name.replace('_', ' ')} {float(maps.values(1)[middle]):g} {second.unit}s"
            scores = scores[..., middle]
            shown = own.select(shapes=range(min(_ROWS, len(rows))))
            grid = plot_map_grid(shown.scores.transpose(0, 1), maps.axes, shown.shapes, networks, title=text)
            written.append(save_figure(grid, folder / f"maps_{class_name}.{config.format}"))
            data = own.data_map()
            title = f"{text}: {data.shapes} shapes, {len(networks)} networks; line: all below {config.threshold:g}"
            figure = plot_data_map(data.mean, data.spread, maps.axes, holes=data.best < config.threshold, title=title)
            written.append(save_figure(figure, folder / f"data_{class_name}.{config.format}"))
        curves = {name: scores[n] for n, name in enumerate(maps.networks)}
        line = plot_scores_over_axis(maps.values(0), curves, first, title=f"{text}{where}")
        written.append(save_figure(line, folder / f"over_{first.name}_{class_name}.{config.format}"))
    print("\n".join(map(str, written)))
    return written
