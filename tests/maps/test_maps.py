"""Semantic maps: known values, the predict loop, files, and averages."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from processes import in_processes

from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.finders import OIRBlackBoxFinder
from lightning_semrob.functional.refinement import (
    cell_corners,
    coarse_cells,
    hidden_samples,
    interpolate_cells,
    split_cells,
)
from lightning_semrob.maps import SemanticMapper, SemanticMaps, adaptive_map, axis_values, compute_maps, grid_points
from lightning_semrob.space import Axis, SemanticSpace

SHAPES = ("teapot:0", "teapot:1", "dumbbell:0")


def environment(**changes: object) -> SemanticEnvironment:
    settings: dict[str, object] = {
        "networks": ["tiny_network:build", "tiny_network:build_other"],
        "shapes": ["teapot", "teapot:1", "dumbbell"],
        "image_size": 32,
        "micro_batch_size": 4,
    }
    return SemanticEnvironment(**(settings | changes))  # type: ignore[arg-type]


def example(networks: int = 2, shapes: int = 3) -> SemanticMaps:
    scores = torch.rand(networks, shapes, 12, 5, generator=torch.Generator().manual_seed(0))
    names = ("teapot", "teapot", "dumbbell")[:shapes]
    labels = tuple(f"network{i}" for i in range(networks))
    return SemanticMaps(
        scores,
        SemanticSpace.default(),
        labels,
        tuple(map(str, range(shapes))),
        names,
        {"distance": 2.5},
        7,
        settings={"image_size": 32},
    )


@pytest.fixture(scope="module")
def measured() -> SemanticMaps:
    return compute_maps(environment(), steps=(6, 3))


def test_samples_lie_where_recorded_functions_expect_them() -> None:
    assert axis_values(Axis("azimuth", 0, 360, periodic=True), 4).tolist() == [0, 90, 180, 270]
    assert axis_values(Axis("elevation", -10, 89), 34)[:3].tolist() == [-10, -7, -4]
    maps = example()
    points = grid_points(maps.axes, maps.grid)
    values = maps.function()(points.expand(6, -1, -1), torch.arange(6))
    torch.testing.assert_close(values.view(2, 3, 12, 5), maps.scores.double())
    assert maps.index(1, 2) == 5
    with pytest.raises(ValueError, match="one number of samples"):
        grid_points(maps.axes, [3])


def test_a_map_is_f_at_its_samples_and_pictures_are_shared(measured: SemanticMaps) -> None:
    made = environment()
    made.setup()
    points = grid_points(measured.axes, measured.grid)
    for network in range(2):
        for shape in range(3):
            expected = made.function(network, shape)(points[None])[0].view(6, 3)
            torch.testing.assert_close(measured.scores[network, shape].double(), expected, atol=1e-6, rtol=0)
    assert measured.evaluations == 2 * 3 * 18
    assert (measured.networks, measured.shapes) == (("tiny_network:build", "tiny_network:build_other"), SHAPES)
    assert measured.class_names == ("teapot", "teapot", "dumbbell")
    again = environment()
    compute_maps(again, steps=(6, 3))
    assert again.pictures.rendered == 3 * 18
    assert measured.scores.std() > 0.05


def test_the_predict_loop_gives_the_same_maps(measured: SemanticMaps) -> None:
    mapper, made = SemanticMapper(steps=[6, 3]), environment()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.predict(mapper, datamodule=made, return_predictions=False)
    found = mapper.maps(made)
    assert torch.equal(found.scores, measured.scores)
    assert found.evaluations == measured.evaluations


def test_two_shares_make_the_whole(measured: SemanticMaps) -> None:
    made, tables = environment(), []
    for rank in range(2):
        mapper = SemanticMapper(steps=[6, 3])
        mapper.prepare(made)
        for batch in mapper.batches(made, rank, 2):
            mapper.measure(made, batch)
        tables.append(mapper.table)
    assert torch.equal(sum(tables).float().unflatten(-1, (6, 3)), measured.scores)  # type: ignore[union-attr]


def test_other_axes_are_fixed_or_averaged() -> None:
    def made() -> SemanticEnvironment:
        return environment(space=["distance", "azimuth", "elevation"], shapes=["teapot"])

    axes = SemanticSpace((Axis("azimuth", 0.0, 360.0, periodic=True),))
    default = compute_maps(made(), axes, (5,))
    assert default.fixed == {"distance": 2.732, "elevation": 15.0}
    fixed = compute_maps(made(), axes, (5,), fixed={"distance": 2.2, "elevation": 30.0})
    f = made()
    f.setup()
    points = torch.stack([torch.full((5,), 2.2), torch.arange(5) * 72.0, torch.full((5,), 30.0)], -1).double()
    torch.testing.assert_close(fixed.scores[1, 0].double(), f.function(1, 0)(points[None])[0], atol=1e-6, rtol=0)
    averaged = compute_maps(made(), axes, (5,), fixed={"distance": 2.2}, samples=6)
    assert averaged.averaged == ("elevation",)
    assert averaged.evaluations == 2 * 5 * 6
    elevation = SemanticSpace((f.space.axes[2],)).sobol(6, 0)[:, 0]
    points = torch.stack([torch.full((6,), 2.2), torch.full((6,), 72.0), elevation], -1).double()
    assert float(averaged.scores[0, 0, 1]) == pytest.approx(float(f.function(0, 0)(points[None]).mean()), abs=1e-6)


def test_an_axis_can_be_narrowed() -> None:
    mapper, made = SemanticMapper(axes={"azimuth": [0, 90], "elevation": None}, steps=[4, 3]), environment()
    mapper.prepare(made)
    assert mapper.axes is not None
    assert [(x.name, x.low, x.high, x.periodic) for x in mapper.axes] == [
        ("azimuth", 0, 90, False),
        ("elevation", -10, 90, False),
    ]
    assert mapper.points[::3, 0, 0].tolist() == [0, 30, 60, 90]
    mapper = SemanticMapper(axes=["elevation"], steps=[3])
    mapper.prepare(made)
    assert mapper.points[:, 0].tolist() == [[0, -10], [0, 40], [0, 90]]
    with pytest.raises(ValueError, match=r"range of axis 'azimuth' must be \[low, high\]"):
        SemanticMapper(axes={"azimuth": [0]}).prepare(made)
    with pytest.raises(ValueError, match="give the number of samples of each of the 3 axes"):
        SemanticMapper(axes=["azimuth", "elevation", "distance"]).prepare(
            environment(space=["azimuth", "elevation", "distance"])
        )
    with pytest.raises(ValueError, match="fixed value of 'elevation' must be finite"):
        SemanticMapper(axes=["azimuth"], fixed={"elevation": float("nan")}).prepare(made)


def test_averages_separate_data_bias_from_network_bias() -> None:
    maps = example()
    average = maps.class_average()
    assert average.class_names == ("teapot", "dumbbell")
    assert average.shapes == ("mean of 2", "mean of 1")
    torch.testing.assert_close(average.scores[:, 0], maps.scores[:, :2].mean(1))
    data = maps.data_map()
    torch.testing.assert_close(data.mean, maps.scores.double().mean((0, 1)))
    both = maps.scores.double().mean(1)
    torch.testing.assert_close(data.spread, (both[0] - both[1]).abs() / 2)
    torch.testing.assert_close(data.best, both.amax(0))
    assert maps.data_map("teapot").shapes == 2
    with pytest.raises(ValueError, match=r"no shape of class 'cup': there are \['dumbbell', 'teapot'\]"):
        maps.data_map("cup")
    one = maps.select(networks=[1], shapes=[2])
    assert torch.equal(one.scores[0, 0], maps.scores[1, 2])
    assert (one.networks, one.class_names) == (("network1",), ("dumbbell",))


def test_files_hold_everything(tmp_path: Path, measured: SemanticMaps) -> None:
    pytest.importorskip("h5py")
    maps = example()
    maps.scores[0, 0, 0, 0] = torch.nan
    read = SemanticMaps.load(maps.save(tmp_path / "new" / "maps.nc"))
    assert torch.equal(read.scores.nan_to_num(-1), maps.scores.nan_to_num(-1))
    for name in (
        "axes",
        "networks",
        "shapes",
        "class_names",
        "fixed",
        "evaluations",
        "averaged",
        "measured",
        "score",
        "settings",
    ):
        assert getattr(read, name) == getattr(maps, name)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["maps.nc"]
    dataset = maps.to_xarray()
    assert dataset["azimuth"].attrs["units"] == "degree"
    assert dataset["score"].dims == ("network", "shape", "azimuth", "elevation")
    # Finders run on a saved map, without a renderer.
    box = OIRBlackBoxFinder().find(read.function(), torch.tensor([[90.0, 20.0]]), read.axes, torch.tensor([4]))
    assert bool((box.b > box.a).all())


def test_what_is_wrong_is_said() -> None:
    pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="there is no file"):
        SemanticMaps.load("absent.nc")
    with pytest.raises(ValueError, match="holds no semantic maps"):
        SemanticMaps.load(__file__)
    with pytest.raises(ValueError, match=r"mapped axes \['roll'\] are not among the swept axes"):
        compute_maps(environment(), SemanticSpace((Axis("roll", 0, 1),)), (3,))
    with pytest.raises(ValueError, match="mapped and fixed"):
        compute_maps(environment(), steps=(3, 3), fixed={"azimuth": 3.0})
    with pytest.raises(ValueError, match="samples must be at least 1"):
        compute_maps(environment(), steps=(3, 3), samples=0)
    with pytest.raises(ValueError, match="as many class names"):
        SemanticMaps(torch.zeros(1, 1, 2, 2), SemanticSpace.default(), ("n",), ("0",), ())
    with pytest.raises(ValueError, match=r"scores must be \(networks, shapes, samples of azimuth, elevation\)"):
        SemanticMaps(torch.zeros(2, 2, 2), SemanticSpace.default(), ("n",), ("0",), ("teapot",))


def test_a_broken_shape_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "model.obj").write_text("nothing\n")
    made = environment(shapes=["teapot", f"{tmp_path / 'model.obj'}=dumbbell"])
    with pytest.warns(UserWarning, match="is not measured"):
        maps = compute_maps(made, steps=(3, 2))
    assert maps.scores[:, 0].isfinite().all()
    assert maps.scores[:, 1].isnan().all()
    assert maps.evaluations == 2 * 6


def test_processes_without_a_view_and_failures_of_others(tmp_path: Path) -> None:
    """Adaptive maps have one batch a shape: three processes share two shapes, of which the second is broken."""
    (tmp_path / "model.obj").write_text("nothing\n")

    def map_together(rank: int) -> tuple[list[Any], list[str]]:
        made = environment(shapes=["teapot", f"{tmp_path / 'model.obj'}=dumbbell"], micro_batch_size=8)
        mapper = SemanticMapper(steps=[6, 3], share=0.8)
        trainer = pl.Trainer(
            accelerator="cpu", devices=3, strategy="ddp", logger=False, enable_progress_bar=False,
            enable_checkpointing=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "shape .* is not measured")
            trainer.predict(mapper, datamodule=made, return_predictions=False)
        return mapper.maps(made).scores.tolist(), list(made.failures)

    alone = compute_maps(environment(shapes=["teapot"], micro_batch_size=8), steps=(6, 3), share=0.8)
    for found, failures in in_processes(3, map_together):
        scores = torch.tensor(found)
        assert torch.equal(scores[:, :1], alone.scores)
        assert bool(scores[:, 1].isnan().all())
        assert failures == ["model"]


def wave(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """A smooth plateau with a narrow flank over a periodic and an open axis, (1, P)."""
    x, y = torch.meshgrid(torch.arange(shape[0]) / shape[0], torch.linspace(0, 1, shape[1]), indexing="ij")
    distance = ((torch.remainder(x - 0.1 * seed, 1) - 0.5) ** 2 + (y - 0.6) ** 2).sqrt()
    return torch.sigmoid((0.25 - distance) * 40).double().flatten()[None]


def test_cells_cover_the_grid_and_interpolate_exactly_what_is_linear() -> None:
    shape = (7, 6)
    cells = coarse_cells(shape, (True, False), 4)
    assert cells.tolist() == [[[0, 4], [0, 4]], [[0, 4], [4, 5]], [[4, 7], [0, 4]], [[4, 7], [4, 5]]]
    corners = cell_corners(cells, shape)
    assert corners[2].tolist() == [4 * 6, 4 * 6 + 4, 0, 4]  # the turn closes at sample 0
    assert hidden_samples(cells).tolist() == [21, 6, 16, 4]
    plane = torch.arange(6, dtype=torch.float64).expand(7, 6).reshape(1, -1)
    torch.testing.assert_close(interpolate_cells(cells, plane, shape), plane)
    parts = split_cells(cells, plane[:, corners])
    assert parts[0].tolist() == [[0, 4], [0, 2]]  # equal sides: across the axis along which f changes
    torch.testing.assert_close(interpolate_cells(parts, plane, shape), plane)
    volume = (parts[..., 1] - parts[..., 0]).prod(-1).sum()
    assert int(volume) == 7 * 5


def test_the_adaptive_mode_measures_where_f_changes() -> None:
    shape, asked = (40, 30), []

    def evaluate(index: torch.Tensor) -> torch.Tensor:
        asked.append(index)
        return torch.cat([wave(shape), wave(shape, 1)])[:, index]

    found = adaptive_map(evaluate, shape, (True, False), 0.4)
    truth = torch.cat([wave(shape), wave(shape, 1)])
    index = torch.cat(asked)
    assert len(index) == len(index.unique()) == int(found.measured.sum()) <= 480
    assert torch.equal(found.values[:, found.measured], truth[:, found.measured])
    error = (found.values - truth).abs().mean(1)
    assert bool((error < 0.01).all())
    torch.testing.assert_close(found.error, error, atol=0.004, rtol=0)
    flank = ((truth > 0.05) & (truth < 0.95)).any(0)
    assert found.measured[flank].double().mean() > 1.5 * found.measured[~flank].double().mean()
    flat = adaptive_map(lambda index: torch.full((1, len(index)), 0.5), shape, (True, False), 1.0)
    assert int(flat.measured.sum()) == 10 * 9 + 64
    assert float(flat.error) == 0
    whole = adaptive_map(lambda index: wave(shape)[:, index], shape, (True, False), 1.0)
    torch.testing.assert_close(whole.values, wave(shape), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match=r"a share of 0.05 of 1200 samples is out of range: give 0.\d+ to 1"):
        adaptive_map(evaluate, shape, (True, False), 0.05)


def test_adaptive_maps_of_an_environment() -> None:
    maps = compute_maps(environment(shapes=["teapot", "dumbbell"]), steps=(12, 7), share=0.6)
    assert maps.measured is not None
    assert maps.error is not None
    assert maps.evaluations == 2 * int(maps.measured.sum()) <= 2 * 2 * 0.6 * 84
    full = compute_maps(environment(shapes=["teapot", "dumbbell"]), steps=(12, 7))
    assert torch.equal(maps.scores[:, maps.measured], full.scores[:, maps.measured])
    assert (maps.scores - full.scores).abs().mean() < 0.1
    assert maps.class_average().error is not None


def test_adaptive_maps_of_the_authors(reference: Path) -> None:
    with np.load(reference / "paper_maps.npz") as data:
        maps = torch.from_numpy(data["maps"]).double().reshape(-1, 34, 120).transpose(1, 2).flatten(1)
    errors = []
    for number in (66, 150, 174):
        found = adaptive_map(lambda index, k=number: maps[[k]][:, index], (120, 34), (True, False), 0.3)  # type: ignore[misc]
        assert found.measured.double().mean() <= 0.3
        errors.append(float((found.values - maps[number]).abs().mean()))
    assert max(errors) <= 0.02
