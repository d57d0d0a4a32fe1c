"""``semrob maps``: measure semantic maps and write them as NetCDF."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml

from lightning_semrob.commands.parsing import Parser, quiet, with_packaged_configs
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import make_environment
from lightning_semrob.functions.precision import set_arithmetic
from lightning_semrob.maps import SemanticMapper, SemanticMaps
from lightning_semrob.networks.labels import network_labels
from lightning_semrob.networks.probe import probe_in_words
from lightning_semrob.report.tables import format_table
from lightning_semrob.sharing.strategies import SharedTableStrategy, check_devices
from lightning_semrob.utilities.distributed import all_gather
from lightning_semrob.utilities.files import check_writable


def _parser() -> Parser:
    parser = Parser("maps", "Semantic maps: f of every network and shape on an even grid of one or more axes.")
    parser.add_argument("--config", action="config", help="yaml file; configs/maps_paper.yaml is the paper's grid")
    parser.add_class_arguments(SemanticEnvironment, "data")
    parser.add_class_arguments(SemanticMapper, "maps")
    parser.add_argument("--output", type=str, default="maps.nc", help="file to write")
    parser.add_argument("--accelerator", type=str, default="auto", help="cpu, gpu or auto")
    parser.add_argument("--devices", type=int, default=1, help="processes; the maps do not depend on it")
    return parser


def environment_of(maps: SemanticMaps, trust: bool = False) -> SemanticEnvironment:
    """The environment of saved maps, not set up; ValueError if they do not say which it was."""
    if not maps.settings:
        raise ValueError("these maps do not say how they were made: measure them with `semrob maps`")
    return make_environment(maps.settings, "the file of maps", trust)


def main(args: Sequence[str]) -> SemanticMaps:
    """Measure maps, in one process or several; returns what the file holds."""
    quiet()
    parser = _parser()
    config = parser.parse_args(with_packaged_configs(args))
    settings: Mapping[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))["data"]
    output = Path(config.output).expanduser()
    if output.is_dir():
        raise ValueError(f"--output '{output}' is a folder: name the file to write, such as '{output / 'maps.nc'}'")
    check_writable(output.parent)
    check_devices(config.accelerator, config.devices, "--devices")
    made = parser.instantiate_classes(config)
    environment, mapper = made.data, made.maps
    mapper.prepare(environment)
    trainer = pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=SharedTableStrategy() if config.devices > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    set_arithmetic(environment.precision)
    trainer.predict(mapper, datamodule=environment, return_predictions=False)
    maps: SemanticMaps = replace(mapper.maps(environment), settings=settings)
    probed = sum(all_gather(environment.models.probed))
    if trainer.is_global_zero:
        maps.save(output)
        print_maps(maps)
        print(f"\n{probe_in_words(probed)}")
        print(f"{maps.evaluations} evaluations; maps in {output}")
    return maps


def print_maps(maps: SemanticMaps) -> None:
    """Mean score of every network and class, and where all networks fail."""
    average = maps.class_average()
    lines = []
    for i, network in enumerate(network_labels(maps.networks)):
        for j, class_name in enumerate(average.class_names):
            score = average.scores[i, j]
            line = [network, class_name, f"{score.nanmean():.3f}", f"{(score >= 0.7).double().mean():.2f}"]
            lines.append(line + ([] if average.error is None else [f"{average.error[i, j]:.4f}"]))
    columns = ["network", "class", "mean f", "share f >= 0.7", *([] if maps.error is None else ["estimated error"])]
    print(format_table(columns, lines, left=2))
    failed = [f"{name}: {100 * (maps.data_map(name).best < 0.3).double().mean():.1f} %" for name in average.class_names]
    print("\nViews in which every network scores below 0.3 (mean over shapes): " + ", ".join(failed))
