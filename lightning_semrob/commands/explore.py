"""``semrob explore``: serves a page to walk through the map of one shape and network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_semrob.commands.parsing import Parser, quiet
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.explore import Explorer, build_app


def _parser() -> Parser:
    parser = Parser(
        "explore",
        "Serves a page on this machine: the map of one shape and network, the rendering and the top-5 at "
        "the point that you choose, and boxes that grow from there.",
    )
    parser.add_argument("--shape", type=str, default="teapot", help="one shape, as in --data.shapes of evaluate.py")
    parser.add_argument("--network", type=str, default="efficientnet_lite0", help="one network")
    parser.add_argument(
        "--space",
        type=dict[str, list[float] | None] | list[str] | None,
        default=None,
        help="the axes: names, or name -> [low, high]; azimuth and elevation if null",
    )
    parser.add_argument("--image_size", type=int, default=224, help="side of the renderings, pixels")
    parser.add_argument(
        "--steps",
        type=list[int] | None,
        default=None,
        help="samples of the map along the first one or two axes; 24 x 11 (48 on one axis) if null",
    )
    parser.add_argument("--evaluations", type=int, default=400, help="evaluations of f that a box may take")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address to serve at; 0.0.0.0 for every one")
    parser.add_argument("--port", type=int, default=8050, help="port to serve at")
    return parser


def application(args: Sequence[str]) -> tuple[Any, Any]:
    """The application and the parsed arguments; nothing is served yet."""
    config = _parser().parse_args(list(args))
    if not 1 <= config.port <= 65535:
        raise ValueError(f"--port must lie in [1, 65535], got {config.port}")
    environment = SemanticEnvironment([config.network], [config.shape], config.space, 1, image_size=config.image_size)
    explorer = Explorer(environment, config.steps, config.evaluations)
    print(probe_in_words(environment.models.probed))
    print(f"measuring the map of '{explorer.shape.shape_id}' by {config.network} ...", flush=True)
    return build_app(explorer), config


def main(args: Sequence[str]) -> None:
    """Serve the page until it is stopped."""
    quiet()
    app, config = application(args)
    print(f"open http://{config.host}:{config.port}/ (Ctrl-C ends it)", flush=True)
    # One request at a time: rendering and network share their buffers and their cores.
    app.run(host=config.host, port=config.port, threaded=False)
