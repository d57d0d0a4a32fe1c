"""Walk through the map of one shape and network: move the point, see the rendering, the top-5 and the box grow.

:class:`Explorer` knows what to show; :func:`build_app` puts it on a page with Dash.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.suite import FINDERS
from lightning_semrob.finders import VerifiedFinder
from lightning_semrob.finders.base import RegionFinder
from lightning_semrob.finders.trace import trace_growth
from lightning_semrob.functional.scores import SCORES
from lightning_semrob.maps import SemanticMaps, compute_maps
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.report.figures import axis_label, method_color, tick_step
from lightning_semrob.report.figures.maps import box_outlines
from lightning_semrob.shapes.classes import imagenet_names
from lightning_semrob.space import Axis, Box
from lightning_semrob.utilities.messages import require
from lightning_semrob.verification.region import verify


@dataclass(frozen=True)
class View:
    """What the network sees at a point: f, the five most probable classes, best first, whether the first one is right,
    and the rendering (3, H, W) in [0, 1].
    """

    score: float
    top: list[tuple[str, float]]
    right: bool
    image: Tensor

    @property
    def source(self) -> str:
        """The rendering as the source of an ``img`` element."""
        from PIL import Image

        array = (self.image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class Growing:
    """A box at the start and after every update, (T, n) each.

    ``verdict`` is that of Eq. 2, ``mean`` the mean of f in the last box, NaN if it was not verified.
    """

    a: Tensor
    b: Tensor
    status: str
    verdict: str
    mean: float
    evaluations: int


class Explorer:
    """What can be shown of one network and one shape.

    Args:
        environment: of one network and one shape; its space is walked through.
        steps: samples of the map; ``(24, 11)``, or 48 on one axis, if None.
        evaluations: of f that growing a box may take, and verifying it again.

    Raises:
        ValueError: several networks or shapes, a shape that cannot be loaded, or too few evaluations.
    """

    def __init__(
        self, environment: SemanticEnvironment, steps: Sequence[int] | None = None, evaluations: int = 400
    ) -> None:
        environment.setup()
        counts = len(environment.networks), len(environment.shapes)
        if counts != (1, 1):
            raise ValueError(f"explore one network and one shape, got {counts[0]} and {counts[1]}: name one of each")
        if evaluations < 4:
            raise ValueError(f"evaluations must be at least 4, got {evaluations}")
        self.environment = environment
        self.space = environment.space
        self.shape = environment.shapes[0]
        self.network = environment.networks[0]
        self.steps = list(steps) if steps is not None else [24, 11] if len(self.space) > 1 else [48]
        self.evaluations = evaluations
        self.f = environment.function(0, 0)
        self._rendered = environment.rendered_function(0, 0)  # pictures and logits, whatever the gradient of f

    @property
    def methods(self) -> list[str]:
        """Names of the finders that can run here."""
        usable = [name for name, finder in FINDERS.items() if self.f.differentiable or not finder.needs_gradient]
        return [VerifiedFinder.name, *usable]

    @property
    def start(self) -> list[float]:
        """The first initial point of the environment."""
        point: list[float] = self.environment.u0[0].tolist()
        return point

    @cached_property
    def maps(self) -> SemanticMaps:
        """The map over the first two axes, measured at first use."""
        return compute_maps(self.environment, steps=self.steps)

    def look(self, point: Sequence[float]) -> View:
        """What the network sees at a point, in the units of the axes."""
        u = torch.tensor([list(point)], dtype=torch.float64)
        self.space.validate(u)
        f = self._rendered
        image = f.images(u)[0]
        logits = f.logits(u)[0].double().cpu()
        best = logits.softmax(-1).topk(min(5, len(logits)))
        names = imagenet_names()
        top = [
            (names[index] if index < len(names) else f"class {index}", float(probability))
            for index, probability in zip(best.indices.tolist(), best.values, strict=True)
        ]
        score = float(SCORES[f.score](logits[None], f.target)[0])
        return View(score, top, int(best.indices[0]) in f.target, image)

    def grow(self, method: str, point: Sequence[float]) -> Growing:
        """The box that a finder grows from a point, step by step, and its verdict under Eq. 2.

        Raises:
            ValueError: an unknown or unusable method, or a point outside the space.
        """
        if method not in self.methods:
            raise ValueError(f"unknown method '{method}': choose one of {self.methods}")
        half = self.evaluations // 2
        finder: RegionFinder
        if method == VerifiedFinder.name:
            finder = VerifiedFinder(growth_evaluations=half, verification_evaluations=half)
        else:
            finder = FINDERS[method]()
            corners = len(finder.points(*[torch.zeros(1, len(self.space), dtype=torch.float64)] * 2)[0])
            price = corners * (self.f.gradient_cost(len(self.space))[0] if finder.needs_gradient else 1)
            finder.num_iterations = max(1, min(finder.num_iterations, half // price))
        u0 = torch.tensor([list(point)], dtype=torch.float64)
        before = self.f.evaluations
        last, bounds = trace_growth(finder, self.f, u0, self.space)
        own = finder.statement(0)
        if own is not None:
            verdict, mean = own.verdict, torch.nan if own.mean is None else own.mean
        else:
            checked = verify(self.f, Box(last.a, last.b), self.space, max_evaluations=max(half, 2))
            verdict, mean = checked.verdict[0], float(checked.mean[0])
        a, b = bounds[:, 0].unbind(1)
        return Growing(a, b, last.status[0], verdict, float(mean), self.f.evaluations - before)

    # ---- for the page

    def figure(
        self, point: Sequence[float], box: tuple[Sequence[float], Sequence[float]] | None = None, method: str = ""
    ) -> dict[str, Any]:
        """The map with the point and a box, as a plotly figure."""
        maps = self.maps
        axes = list(maps.axes)
        flat = len(axes) == 1
        field, values = maps.scores[0, 0], [maps.values(k).tolist() for k in range(len(axes))]
        for k, axis in enumerate(axes):
            if axis.periodic:  # half a cell is seen at each end
                field = torch.cat([field, field.narrow(k, 0, 1)], k)
                values[k].append(axis.high)
        scores = field.tolist() if flat else field.T.tolist()
        first: dict[str, Any] = {"x": values[0]}
        if flat:
            first |= {"type": "scatter", "mode": "lines", "y": scores, "line": {"color": "#555555"}}
            place = [point[0], 0.5]
        else:
            first |= {"type": "heatmap", "y": values[1], "z": scores, "zmin": 0, "zmax": 1}
            first |= {"colorscale": "Cividis", "colorbar": {"title": {"text": "score f"}, "thickness": 12}}
            place = [point[0], point[1]]
        traces = [first]
        if box is not None:
            x: list[float | None] = []
            y: list[float | None] = []
            for left, right, bottom, top in box_outlines(*box, maps.axes):
                x += [left, right, right, left, left, None]
                y += [bottom, bottom, top, top, bottom, None]
            lines = {"type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip"}
            traces.append(lines | {"line": {"color": "white", "width": 5}})
            traces.append(lines | {"line": {"color": method_color(method), "width": 3}})
        marker = {"size": 13, "color": "white", "line": {"color": "black", "width": 2}}
        point_trace = {"type": "scatter", "mode": "markers", "x": place[:1], "y": place[1:], "hoverinfo": "skip"}
        traces.append(point_trace | {"marker": marker})
        layout = {
            "xaxis": self._scale(axes[0]),
            "yaxis": {"range": [0, 1], "title": {"text": "score f"}} if flat else self._scale(axes[1]),
            "showlegend": False,
            "margin": {"l": 56, "r": 10, "t": 10, "b": 46},
            "height": 360,
            "uirevision": "map",
        }
        return {"data": traces, "layout": layout}

    @staticmethod
    def _scale(axis: Axis) -> dict[str, Any]:
        return {"range": [axis.low, axis.high], "title": {"text": axis_label(axis)}, "dtick": tick_step(axis)}

    def describe(self, growing: Growing) -> str:
        """One sentence about a grown box."""
        bounds = ", ".join(
            f"{axis.name.replace('_', ' ')} {low:.1f} to {high:.1f}"
            for axis, low, high in zip(self.space, growing.a[-1].tolist(), growing.b[-1].tolist(), strict=True)
        )
        share = float(self.space.intersected_volume(growing.a[-1], growing.b[-1]) / self.space.volume)
        mean = "" if growing.mean != growing.mean else f", mean of f {growing.mean:.3f}"
        return (
            f"{growing.status.replace('_', ' ')} after {len(growing.a) - 1} updates: {bounds} "
            f"({100 * share:.2f} % of the space). Eq. 2: {growing.verdict}{mean}; "
            f"{growing.evaluations} evaluations of f."
        )


def build_app(explorer: Explorer) -> Any:
    """The page as a :class:`dash.Dash` application; ``app.run()`` serves it.

    Raises:
        ModuleNotFoundError: Dash is not installed.
    """
    dash = require("dash", "explore", "dash plotly")
    dcc, html, Input, Output, State = dash.dcc, dash.html, dash.Input, dash.Output, dash.State
    space = explorer.space
    app = dash.Dash(title="Explore a semantic map", update_title=None)
    moved = [Input(f"axis-{k}", "value") for k in range(len(space))]

    def slider(k: int, axis: Axis) -> Any:
        control = dcc.Slider(
            axis.low,
            axis.high,
            axis.extent / 180,
            id=f"axis-{k}",
            value=explorer.start[k],
            marks={axis.low: f"{axis.low:g}", axis.high: f"{axis.high:g}"},
            tooltip={"placement": "bottom"},
            updatemode="drag",
        )
        return html.Div([html.Label(axis_label(axis), htmlFor=f"axis-{k}"), control])

    fixed = ", ".join(f"{name.replace('_', ' ')} = {value:g}" for name, value in explorer.maps.fixed.items())
    app.layout = html.Div(
        style={"maxWidth": "1150px", "margin": "0 auto", "padding": "1rem", "fontFamily": "system-ui, sans-serif"},
        children=[
            html.H1(
                f"{explorer.shape.class_name} seen by {network_labels([explorer.network])[0]}",
                style={"fontSize": "1.4rem"},
            ),
            html.P("Click the map or move a slider. " + (f"The map holds for {fixed}." if fixed else "")),
            html.Div(
                style={"display": "flex", "flexWrap": "wrap", "gap": "1.5rem"},
                children=[
                    html.Div(
                        style={"flex": "3 1 460px", "minWidth": 0},
                        children=[
                            dcc.Graph(id="map", config={"displayModeBar": False}),
                            *[slider(k, axis) for k, axis in enumerate(space)],
                        ],
                    ),
                    html.Div(
                        style={"flex": "1 1 260px"},
                        children=[
                            html.Img(id="picture", alt="rendering at the point", style={"width": "100%"}),
                            html.P(id="score", style={"fontWeight": 600}),
                            html.Ol(id="top"),
                        ],
                    ),
                ],
            ),
            html.Div(
                style={
                    "display": "flex",
                    "gap": ".8rem",
                    "alignItems": "center",
                    "flexWrap": "wrap",
                    "margin": "1rem 0",
                },
                children=[
                    html.Label("Finder", htmlFor="method"),
                    dcc.Dropdown(explorer.methods, "oir_b", id="method", clearable=False, style={"width": "10rem"}),
                    html.Button("Grow a box from here", id="grow"),
                ],
            ),
            html.Label("update", htmlFor="step"),
            dcc.Slider(0, 1, 1, value=0, id="step", marks=None, tooltip={"placement": "bottom"}),
            html.P(id="told", **{"aria-live": "polite"}),
            dcc.Store(id="boxes"),
            dcc.Interval(id="clock", interval=250, disabled=True),
        ],
    )

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("picture", "src"), Output("score", "children"), Output("top", "children"), *moved
    )
    def look(*point: float) -> Any:
        view = explorer.look(point)
        lines = [html.Li(f"{name.replace('_', ' ')}: {100 * share:.1f} %") for name, share in view.top]
        return view.source, f"f = {view.score:.3f}, top-1 is {'right' if view.right else 'wrong'}", lines

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        [Output(f"axis-{k}", "value") for k in range(len(explorer.maps.axes))],
        Input("map", "clickData"),
        prevent_initial_call=True,
    )
    def move(click: dict[str, Any]) -> list[float]:
        found = click["points"][0]
        return [found["x"], found["y"]][: len(explorer.maps.axes)]

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("boxes", "data"),
        Output("told", "children"),
        Output("step", "max"),
        Input("grow", "n_clicks"),
        *moved,
        State("method", "value"),
        prevent_initial_call=True,
    )
    def grow(clicks: int | None, *rest: Any) -> Any:
        *point, method = rest
        if dash.ctx.triggered_id != "grow":
            return None, "", 1  # the point has moved: its box is gone
        growing = explorer.grow(method, point)
        data = {"a": growing.a.tolist(), "b": growing.b.tolist(), "method": method}
        return data, explorer.describe(growing), len(growing.a) - 1

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("step", "value"),
        Output("clock", "disabled"),
        Input("boxes", "data"),
        Input("clock", "n_intervals"),
        State("step", "value"),
        prevent_initial_call=True,
    )
    def play(boxes: dict[str, Any] | None, ticks: int | None, step: int) -> Any:
        if not boxes:
            return 0, True
        last = len(boxes["a"]) - 1
        if dash.ctx.triggered_id == "boxes":
            return 0, last == 0
        if step >= last:
            return dash.no_update, True
        following = min(step + max(1, last // 20), last)
        return following, following == last

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("map", "figure"), *moved, Input("step", "value"), Input("boxes", "data")
    )
    def draw(*values: Any) -> dict[str, Any]:
        *point, step, boxes = values
        if not boxes:
            return explorer.figure(point)
        step = min(step, len(boxes["a"]) - 1)
        return explorer.figure(point, (boxes["a"][step], boxes["b"][step]), boxes["method"])

    return app
