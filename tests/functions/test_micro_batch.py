"""One shape for every call; half of it when memory runs out."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.functions.micro_batch import MicroBatch, in_micro_batches
from lightning_semrob.functions.precision import precision_change, set_arithmetic
from lightning_semrob.networks import register_network
from tests.tiny_network import InkNetwork

SMALL = [
    "--data.shapes=[teapot]", "--data.image_size=32", "--data.initial_points=1", "--trust.max_evaluations=0",
    "--model.finders=[naive,oir_w]",
    "--model.num_iterations=2", "--model.verification=16", "--report_grid=[]", "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]  # fmt: skip


def call_of(largest: int, shapes: list[int]) -> object:
    def call(part: Tensor) -> Tensor:
        shapes.append(len(part))
        if len(part) > largest:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return 2 * part

    return call


def test_every_call_has_one_shape_and_padding_is_dropped() -> None:
    shapes: list[int] = []
    u = torch.arange(10.0).view(5, 2)
    parts = in_micro_batches(u, MicroBatch(4), call_of(4, shapes))  # type: ignore[arg-type]
    assert shapes == [4, 4]
    assert torch.equal(torch.cat([part[:count] for part, count in parts]), 2 * u)


def test_out_of_memory_halves_and_goes_on() -> None:
    shapes: list[int] = []
    size, u = MicroBatch(8), torch.arange(20.0).view(10, 2)
    with pytest.warns(UserWarning, match="out of memory with 8 images in a call: going on with 4"):
        parts = in_micro_batches(u, size, call_of(4, shapes))  # type: ignore[arg-type]
    assert size.size == 4
    assert shapes == [8, 4, 4, 4]
    assert torch.equal(torch.cat([part[:count] for part, count in parts]), 2 * u)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_out_of_memory_with_one_image_is_an_error() -> None:
    with pytest.raises(MemoryError, match="single image"):
        in_micro_batches(torch.zeros(2, 1), MicroBatch(2), call_of(0, []))  # type: ignore[arg-type]


def test_memory_of_cublas_counts_and_the_cache_is_emptied_wherever_u_is(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))

    def call(part: Tensor) -> Tensor:
        if len(part) > 1:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return part

    with pytest.warns(UserWarning, match="going on with 1"):
        in_micro_batches(torch.zeros(2, 1), MicroBatch(2), call)
    assert emptied == [1]


def test_other_errors_are_not_hidden() -> None:
    def call(part: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        in_micro_batches(torch.zeros(2, 1), MicroBatch(2), call)


class Hungry(InkNetwork):
    """Has memory for four images."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return super().forward(images)


def test_a_job_goes_on_with_half_and_says_so_in_its_table(tmp_path: Path) -> None:
    register_network("hungry", Hungry, input_size=32, overwrite=True)
    with pytest.warns(UserWarning, match="going on with 4"):
        evaluate([*SMALL, "--data.networks=[hungry]", "--data.micro_batch_size=8", f"--output={tmp_path / 'hungry'}"])
    register_network("fed", InkNetwork, input_size=32, overwrite=True)
    evaluate([*SMALL, "--data.networks=[fed]", "--data.micro_batch_size=4", f"--output={tmp_path / 'fed'}"])
    hungry, fed = (
        pyarrow.parquet.read_table(tmp_path / name / "runs.parquet").to_pylist() for name in ("hungry", "fed")
    )
    assert [row["micro_batch_size"] for row in fed] == [4, 4]
    assert [row["a_azimuth"] for row in hungry] == pytest.approx([row["a_azimuth"] for row in fed], abs=1e-4)
    assert all(row["status"] != "running" for row in hungry)
    # What was under way when memory ran out began with 8.
    assert {row["micro_batch_size"] for row in hungry} <= {4, 8}


class Smooth(nn.Module):
    """Convolutions, which autocast rounds."""

    input_size = 32

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 1000))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_autocast_rounds_the_network_alone(precision: str) -> None:
    register_network("smooth", Smooth, input_size=32, overwrite=True)
    made = SemanticEnvironment(networks=["smooth"], shapes=["teapot"], image_size=32, precision=precision)
    made.setup()
    (change,) = precision_change(made).values()
    assert 0 < change["largest"] < 0.05
    f, exact = made.rendered_function(0, 0), made.rendered_function(0, 0)
    exact.autocast = None
    u = made.space.sobol(8, 0)[None]
    assert torch.equal(f.images(u[0]), exact.images(u[0]))
    value, gradient = f.value_and_grad(u)
    expected, slope = exact.value_and_grad(u)
    assert value.dtype == gradient.dtype == torch.float64
    torch.testing.assert_close(value, expected, rtol=0.05, atol=1e-4)
    assert float(torch.nn.functional.cosine_similarity(gradient.flatten(), slope.flatten(), 0)) > 0.98


def test_only_tf32_rounds_products_of_float32() -> None:
    rounded: list[tuple[bool, str]] = []

    class Watching(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            rounded.append((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
            return super().forward(images)

    register_network("watching", Watching, input_size=32, overwrite=True)
    made = SemanticEnvironment(["watching"], ["teapot"], image_size=32, precision="tf32", micro_batch_size=64)
    made.setup()
    made.models.make_ready()  # which looks at pictures of its own
    rounded.clear()
    try:
        precision_change(made)
        assert rounded == [(True, "high"), (False, "highest")]
        assert torch.backends.cudnn.allow_tf32  # the job goes on as it was asked to
    finally:
        set_arithmetic("32")


def test_a_job_of_float32_computes_in_float32(tmp_path: Path) -> None:
    set_arithmetic("tf32")
    register_network("fed", InkNetwork, input_size=32, overwrite=True)
    evaluate([*SMALL, "--data.networks=[fed]", f"--output={tmp_path}", "--dry_run=true"])
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic
    assert torch.get_float32_matmul_precision() == "highest"


def test_float32_changes_nothing() -> None:
    made = SemanticEnvironment(networks=["smooth"], shapes=["teapot"], image_size=32)
    made.setup()
    assert precision_change(made) == {}


def test_precision_is_checked() -> None:
    with pytest.raises(ValueError, match="unknown precision 'half'"):
        SemanticEnvironment(precision="half")
    with pytest.raises(ValueError, match=r"data\.precision=bf16"):
        evaluate([*SMALL, "--trainer.precision=bf16-mixed", "--data.networks=[smooth]"])
