"""Everything on a pretended GPU: no two devices meet, and the numbers are those of the CPU to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_semrob import SemanticSpace
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.commands.maps import main as maps_command
from lightning_semrob.commands.report import main as report_command
from lightning_semrob.commands.verify import main as verify_command
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.metrics import SRVR, RegionQuality
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders import (
    ExhaustiveFinder,
    NaiveFinder,
    OIRBlackBoxFinder,
    OIRWhiteBoxFinder,
    TrapezoidFinder,
    VerifiedFinder,
)
from lightning_semrob.functional.betting import eq2_start, eq2_update, eq2_verdict, wealth_start
from lightning_semrob.functional.srvr import rank_stability
from lightning_semrob.functional.uncertainty import clopper_pearson
from lightning_semrob.functions import AnalyticFunction, RecordedFunction, RenderedFunction
from lightning_semrob.maps import SemanticMapper
from lightning_semrob.networks import register_network
from lightning_semrob.rendering import raster
from lightning_semrob.rendering.engine import Engine
from lightning_semrob.shapes import procedural_mesh
from lightning_semrob.sharing.strategies import device_of
from lightning_semrob.space import Box
from lightning_semrob.training.data import RenderedViews
from lightning_semrob.training.module import SemanticTraining
from lightning_semrob.training.monitor import SemanticRobustnessCallback
from lightning_semrob.training.views import RenderedRegionViews
from lightning_semrob.verification.audit import audit_gradient
from lightning_semrob.verification.region import Verification, verify
from tests.pretend_device import GPU, on_gpu, pretended_gpu
from tests.tiny_network import InkNetwork

SPACE = SemanticSpace.default()
U0 = torch.tensor([[180.0, 40.0], [170.0, 30.0]])
INDEX = torch.tensor([1, 0])
FORMULA = AnalyticFunction(lambda u: torch.sigmoid((60 - (u[..., 0] - 180).abs()) / 5))
RECORDED = RecordedFunction(torch.rand(2, 6, 12, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def gpu() -> Iterator[None]:
    with pretended_gpu():
        yield


@pytest.fixture
def networks() -> list[str]:
    """One that depends on the view, and one that is always right."""
    register_network("ink", InkNetwork, input_size=32, overwrite=True)
    register_network("sure", lambda: InkNetwork(0.5), input_size=32, overwrite=True)
    return ["ink", "sure"]


def assert_same(found: object, expected: object) -> None:
    """The same fields to the bit, NaN included, on the CPU."""
    for name, value in vars(expected).items():
        other = getattr(found, name)
        if isinstance(value, Tensor):
            assert not on_gpu(other), name
            torch.testing.assert_close(other, value, rtol=0, atol=0, equal_nan=True)
        else:
            assert other == value, name


# ---- the pretence itself


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: x + y,
        lambda x, y: torch.where(y > 0, x, x),
        lambda x, y: torch.stack([x[0], y[0]]),
        lambda x, y: y[x.long()],
        lambda x, y: x[0] * y,
        lambda x, y: x.index_put((torch.tensor([0]),), y[:1]),
        lambda x, y: nn.Linear(3, 3)(x),
        lambda x, y: torch.rand(3, device=GPU, generator=torch.Generator()),
        lambda x, y: x.index_add(0, x.long(), x),
        lambda x, y: x.numpy(),
        lambda x, y: np.asarray(x),
    ],
)
def test_the_pretence_refuses_what_cuda_refuses(call: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises((RuntimeError, TypeError), match=r"same device|either on cpu|generator|any order|numpy"):
        call(torch.zeros(3, device="cuda"), torch.ones(3))


@pytest.mark.usefixtures("gpu")
def test_the_pretence_allows_what_cuda_allows() -> None:
    x, y = torch.arange(3.0, device="cuda"), torch.ones(3)
    assert (x.device, x.is_cuda, y.device, y.cuda().device) == (GPU, True, torch.device("cpu"), GPU)
    assert on_gpu(x + y[0])
    assert on_gpu(x[torch.tensor([0, 1])])
    assert (x.sum().item(), x.tolist(), x.cpu().numpy().tolist()) == (3.0, [0, 1, 2], [0, 1, 2])
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    weight = network[0].weight
    network.to("cuda")
    assert network[0].weight is weight
    assert on_gpu(weight)
    assert on_gpu(network[1].running_mean)
    point = y.clone().requires_grad_(True)
    loss = network(torch.stack([point.to(GPU), x])).square().sum()
    (slope,) = torch.autograd.grad(loss, point, retain_graph=True)
    assert not on_gpu(slope)
    loss.backward()
    assert on_gpu(weight.grad)


# ---- finders, verification, statistics

FINDERS = [
    *(finder(mode, 3) for finder in (NaiveFinder, TrapezoidFinder, OIRWhiteBoxFinder) for mode in ("default", "paper")),
    OIRBlackBoxFinder("default", 3, quadrature="sobol"),
    VerifiedFinder(growth_evaluations=60, verification_evaluations=400),
    ExhaustiveFinder(cells=(12, 6)),
]


@pytest.mark.parametrize("finder", FINDERS, ids=lambda finder: type(finder).__name__)
def test_find(finder: Any) -> None:
    expected = finder.find(RECORDED, U0, SPACE, INDEX)
    with pretended_gpu():
        assert_same(finder.find(RECORDED, U0.cuda(), SPACE, INDEX.cuda()), expected)
        if isinstance(finder, nn.Module):
            assert not any(on_gpu(state) for state in finder.state_dict().values())


def test_verify() -> None:
    def check(move: Callable[[Tensor], Tensor]) -> Verification:
        box = Box(move(U0 - 20), move(U0 + 20))
        return verify(RECORDED, box, SPACE, move(INDEX), max_evaluations=60, top1=FORMULA)

    expected = check(lambda x: x)
    with pretended_gpu():
        assert_same(check(Tensor.cuda), expected)


def test_audit() -> None:
    expected = audit_gradient(RECORDED, U0, SPACE, 5, INDEX)
    with pretended_gpu():
        assert_same(audit_gradient(RECORDED, U0.cuda(), SPACE, 5, INDEX.cuda()), expected)


@pytest.mark.usefixtures("gpu")
def test_statistics_and_recorded_maps_stay_on_their_device() -> None:
    counts, views = torch.tensor([3, 0, 9]), torch.tensor([[0.3, 0.4], [0.2, 0.5], [0.6, 0.1]])
    for found, expected in zip(clopper_pearson(counts.cuda(), counts.cuda() + 2), clopper_pearson(counts, counts + 2),
                               strict=True):  # fmt: skip
        assert on_gpu(found)
        assert torch.equal(found.cpu(), expected)
    assert rank_stability(views.cuda()) == rank_stability(views)
    assert on_gpu(wealth_start((2,), "cuda").log_peak)
    scores = torch.ones(2, 400, dtype=torch.float64, device="cuda")
    test = eq2_update(eq2_start(2, 0.3, 0.05, "cuda"), scores, 0.3, 0.05)
    assert eq2_verdict(test, torch.tensor([0.05, 1e-300])).tolist() == [1, 0]
    value, slope = RECORDED.value_and_grad(U0[:, None].cuda(), INDEX)
    for found, expected in zip((value, slope), RECORDED.value_and_grad(U0[:, None], INDEX), strict=True):
        assert on_gpu(found)
        assert torch.equal(found.cpu(), expected)
    metric, zero = SRVR(1, 1, 1).to("cuda"), torch.zeros(2, dtype=torch.int64)
    metric.update(torch.tensor([0.25, 0.75]), zero, zero.cuda(), zero)
    assert on_gpu(metric.compute())
    assert float(metric.compute()) == 0.5
    quality = RegionQuality().to("cuda")
    quality.update(scores, torch.tensor([0.25, 0.75]))
    assert {name: (value.device, float(value)) for name, value in quality.compute().items()} == {
        "valid": (GPU, 1.0), "invalid": (GPU, 0.0), "undecided": (GPU, 0.0), "verified_ratio": (GPU, 0.5)
    }  # fmt: skip


class PerRow(AnalyticFunction):
    """Another score for every index."""

    def _value(self, u: Tensor, index: Tensor) -> Tensor:
        return super()._value(u, index) / (2 + index[:, None])


@pytest.mark.usefixtures("gpu")
def test_the_index_follows_u() -> None:
    f = PerRow(lambda u: torch.ones_like(u[..., 0]))
    assert f(U0[:, None].cuda(), INDEX).cpu().tolist() == f(U0[:, None], INDEX.cuda()).tolist() == [[1 / 3], [0.5]]


# ---- f, environment, jobs


def test_f_and_its_gradient() -> None:
    u = SPACE.sobol(3, 0)[None]
    made = RenderedFunction.of("teapot", InkNetwork(), image_size=32, micro_batch_size=2)
    expected = made(u), *made.value_and_grad(u)
    with pretended_gpu():
        made = RenderedFunction.of("teapot", InkNetwork(), image_size=32, micro_batch_size=2, device="cuda")
        for points in (u, u.cuda()):
            assert on_gpu(made.images(points[0]))
            for found, value in zip((made(points), *made.value_and_grad(points)), expected, strict=True):
                assert found.device == points.device
                assert torch.equal(found.cpu(), value)
            assert all(part.device == points.device for part in made.scores_and_hits(points))


def test_memory_that_pytorch_holds_unused_is_free() -> None:
    renderer, mesh = raster.Rasterizer(64), procedural_mesh("dumbbell", 0)
    with pretended_gpu(free=2**31):
        few = renderer.images_at_once(mesh.to("cuda"))
        with patch.object(torch.cuda, "memory_reserved", lambda device: 2**31):
            many = renderer.images_at_once(mesh.to("cuda"))
        with patch.object(torch.cuda, "memory_reserved", lambda device: 2**31), \
             patch.object(torch.cuda, "memory_allocated", lambda device: 2**31):  # fmt: skip
            assert renderer.images_at_once(mesh.to("cuda")) == few
    assert many > few > 1


def test_an_environment_changes_its_device(networks: list[str]) -> None:
    made = SemanticEnvironment(networks=networks[:1], shapes=["teapot"], image_size=16)
    made.setup()
    u = made.space.sobol(2, 0)[None]
    before = made.function(0, 0)
    expected = before(u)
    with pretended_gpu():
        made.device = "cuda"
        after = made.function(0, 0)
        assert isinstance(after, RenderedFunction)
        assert on_gpu(after.mesh.vertices)
        assert torch.equal(after(u), expected)
        assert torch.equal(before(u), expected)  # nothing was taken from under it


def test_what_is_built_for_maps_has_gradients(networks: list[str]) -> None:
    made = SemanticEnvironment(networks=networks[:1], shapes=["teapot"], image_size=16)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.predict(SemanticMapper(steps=[2, 2]), datamodule=made, return_predictions=False)
    _, slope = made.function(0, 0).value_and_grad(made.space.sobol(2, 0)[None])
    assert slope.isfinite().all()


def job(network: str, accelerator: str, output: Path, *more: str) -> dict[str, Any]:
    return evaluate(
        [
            f"--data.networks=[{network}]", "--data.shapes=[teapot]", "--data.image_size=16",
            "--data.initial_points=1", "--model.num_iterations=2", "--report_grid=[]",
            f"--trainer.accelerator={accelerator}", "--trainer.enable_progress_bar=false", f"--output={output}", *more,
        ]
    )  # fmt: skip


def test_a_job_is_the_same(networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FinderSuite, "warning", lambda suite, environment: None)  # it knows that 40 are too few
    words = ["--model.verification=16", "--model.verified_evaluations=40"]
    job(networks[0], "cpu", tmp_path / "cpu", *words)
    logged: list[Tensor] = []
    with pretended_gpu(), patch.object(FinderSuite, "log", lambda self, name, value, **_: logged.append(value)):
        job(networks[0], "gpu", tmp_path / "gpu", *words)
        assert len(logged) > 0
        assert all(on_gpu(value) for value in logged)  # NCCL adds up nothing else
    on_cpu, on_device = (
        pyarrow.parquet.read_table(tmp_path / name / "runs.parquet").to_pylist() for name in ("cpu", "gpu")
    )
    assert on_device == on_cpu
    assert max(row["audit_evaluations"] for row in on_device) > 0


@pytest.mark.usefixtures("gpu")
def test_a_job_is_verified_again_and_reported_where_it_ran(networks: list[str], tmp_path: Path) -> None:
    drawn: list[bool] = []
    draw = Engine.draw

    def watched(engine: Engine, camera: Tensor, *rest: Any) -> Tensor:
        images = draw(engine, camera, *rest)
        drawn.append(on_gpu(camera) and on_gpu(images))
        return images

    with patch.object(Engine, "draw", watched):
        job(networks[1], "gpu", tmp_path, "--model.finders=[naive]", "--model.verification=100")
        found = verify_command([str(tmp_path), "--evaluations=100", "--accelerator=gpu"])
        assert [item["verdict"] for item in found] == ["valid"]
        report_command([str(tmp_path), "--grid=[2,2]", "--accelerator=gpu"])
    assert len(drawn) > 0
    assert all(drawn)


@pytest.mark.usefixtures("gpu")
def test_the_estimate_is_measured_where_the_job_will_run(networks: list[str], tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def forward(network: InkNetwork, images: Tensor) -> Tensor:
        seen.append(images)
        return images.sum((1, 2, 3))[:, None].expand(-1, 1000)

    with patch.object(InkNetwork, "forward", forward):
        job(networks[0], "gpu", tmp_path, "--dry_run=true", "--model.finders=[oir_w]")
    assert len(seen) > 0
    assert all(on_gpu(images) for images in seen)


def test_a_device_that_is_not_there_is_a_sentence() -> None:
    assert device_of("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="accelerator 'gpu'"):
        device_of("gpu")
    with pytest.raises(ValueError, match="accelerator 'gpus'"):
        device_of("gpus")


def test_maps(networks: list[str], tmp_path: Path) -> None:
    words = [f"--data.networks=[{networks[0]}]", "--data.shapes=[teapot]", "--data.image_size=16", "--maps.steps=[2,2]"]
    words.append(f"--output={tmp_path / 'maps.nc'}")
    expected = maps_command([*words, "--accelerator=cpu"])
    with pretended_gpu():
        assert torch.equal(maps_command([*words, "--accelerator=gpu"]).scores, expected.scores)


def test_monitor() -> None:
    made = SemanticEnvironment(networks=["small_resnet"], shapes=["teapot"], image_size=32, initial_points=1)
    callback = SemanticRobustnessCallback(made, lambda module: module, verified_evaluations=40, views=2)
    expected = callback.measure(InkNetwork())
    with pretended_gpu():
        assert callback.measure(InkNetwork().to("cuda"), "cuda") == expected


@pytest.mark.filterwarnings("ignore:.pin_memory. argument is set")
def test_training() -> None:
    weights = []
    for accelerator in ("cpu", "gpu"):
        made = RenderedViews(
            shapes=["street_sign:0-2", "folding_chair:0-2"], held_out_per_class=1, image_size=16, batch_size=4,
            views_per_shape=2, images=80, num_workers=0, clean={"azimuth": [-30, 30]},
        )  # fmt: skip
        module = SemanticTraining("small_resnet", RenderedRegionViews(num_iterations=1, regions=1, start=1, every=1))
        with pretended_gpu() if accelerator == "gpu" else patch.dict({}):
            trainer = pl.Trainer(
                accelerator=accelerator, devices=1, max_epochs=2, logger=False, enable_checkpointing=False,
                enable_model_summary=False, enable_progress_bar=False, reload_dataloaders_every_n_epochs=1,
            )  # fmt: skip
            trainer.fit(module, datamodule=made)
            assert module.classifier is not None
            weights.append([value.detach().cpu() for value in module.classifier.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
