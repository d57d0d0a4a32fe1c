"""Gradients against slopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

from lightning_semrob import SemanticSpace
from lightning_semrob.__main__ import main as program
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.functions import AnalyticFunction
from lightning_semrob.verification.audit import AxisAgreement, agreement, audit_gradient

SPACE = SemanticSpace.default()


def wave(u: Tensor) -> Tensor:
    return 0.5 + 0.3 * torch.sin(u[..., 0] * torch.pi / 180) + 0.002 * u[..., 1]


class Wrong(AnalyticFunction):
    """Its gradient along the elevation has the wrong sign."""

    def _value_and_grad(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = super()._value_and_grad(u, index)
        return value, gradient * torch.tensor([1.0, -1.0])


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        return -slope


class Reversed(nn.Module):
    """The tiny network with a gradient that points down."""

    input_size = 32

    def __init__(self) -> None:
        super().__init__()
        from tiny_network import build

        self.network = build()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(Reverse.apply(images))  # type: ignore[no-untyped-call]
        return logits


def test_slopes_of_a_known_function() -> None:
    u = SPACE.sobol(32, 1)
    audit = audit_gradient(AnalyticFunction(wave), u, SPACE)
    exact = 0.3 * torch.pi / 180 * torch.cos(u[:, 0] * torch.pi / 180)
    torch.testing.assert_close(audit.slope[:, 0], exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(audit.slope[:, 1], torch.full((32,), 0.002).double())
    counted = audit.counted
    torch.testing.assert_close(audit.gradient[counted], audit.slope[counted], rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(audit.difference[counted], audit.slope[counted], rtol=1e-3, atol=1e-9)
    assert counted.double().mean() > 0.9
    assert "100.0%" in audit.table()


def test_windows_stay_inside_and_cost_what_they_say() -> None:
    seen: list[Tensor] = []

    def f(u: Tensor) -> Tensor:
        seen.append(u.detach())
        return wave(u)

    function = AnalyticFunction(f)
    audit_gradient(function, torch.tensor([[0.0, 90.0], [10.0, -10.0]]), SPACE, points=5)
    assert function.gradient_evaluations == 2 * 2 * 5
    assert seen[0][..., 1].min() >= -10
    assert seen[0][..., 1].max() <= 90


def test_one_axis_of_several() -> None:
    audit = audit_gradient(AnalyticFunction(wave), SPACE.sobol(3, 0), SPACE, axes=["elevation"])
    assert audit.names == ("elevation",)
    assert audit.slope.shape == (3, 1)


def test_a_wrong_axis_is_named() -> None:
    ratio = audit_gradient(Wrong(wave), SPACE.sobol(16, 0), SPACE).ratio
    found = {axis.axis: axis.fails for axis in agreement(ratio, SPACE.names)}
    assert found == {"azimuth": False, "elevation": True}


@pytest.mark.parametrize(
    ("right", "counted", "fails"), [(0, 0, False), (4, 8, True), (6, 8, False), (85, 100, False), (70, 100, True)]
)
def test_an_axis_fails_only_where_the_data_can_tell(right: int, counted: int, fails: bool) -> None:
    assert AxisAgreement("azimuth", counted, right).fails is fails


@pytest.mark.parametrize(
    ("change", "message"), [({"points": 2}, "at least 3 points"), ({"axes": ["roll"]}, r"not \['roll'\]")]
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audit_gradient(AnalyticFunction(wave), SPACE.sobol(1, 0), SPACE, **change)


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--shapes", "teapot", "--views", "2", "--points", "5", "--image_size", "48"]
    program(["audit", *common])
    assert "elevation" in capsys.readouterr().out
    program(["audit", *common, "--network", "tests.verification.test_audit:Reversed", "--axes", "azimuth"])
    assert "tests.verification.test_audit:Reversed" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        program(["audit", "--shapes", "teapot", "--axes", "azimut"])
    assert "did you mean 'azimuth'" in capsys.readouterr().err


@pytest.mark.parametrize("network", ["tiny_network:build", "tests.verification.test_audit:Reversed"])
def test_oir_w_names_an_axis_that_fails(
    network: str, tmp_path: Path, recwarn: pytest.WarningsRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"--data.networks=[{network}]",
        "--data.shapes=[teapot]",
        "--data.initial_points=[[20,10],[110,20],[200,30],[290,5],[60,40],[150,15],[240,25],[330,35]]",
        "--data.image_size=32",
        "--trust.max_evaluations=0",
        "--model.finders=[oir_w]",
        "--model.num_iterations=1",
        "--model.verification=0",
        "--trainer.enable_progress_bar=false",
        f"--output={tmp_path}",
    ]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        summary = evaluate(words)
    named = [str(w.message) for w in recwarn if "oir_w: the gradient along" in str(w.message)]
    fails = {axis: found["fails"] for axis, found in summary["gradient_audit"]["oir_w"].items()}
    printed = capsys.readouterr().out
    if network == "tiny_network:build":
        assert not named
        assert fails == {"azimuth": False, "elevation": False}
    else:
        assert "'elevation'" in " ".join(named)
        assert fails["elevation"]
        assert "FAILS" in printed
    rows = pyarrow.parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert sum(row["audit_evaluations"] for row in rows) == 8 * 2 * 7 == summary["cost"]["audit_evaluations"]["oir_w"]
    again = evaluate(words)  # everything is taken over, the audit too
    assert again["gradient_audit"] == summary["gradient_audit"]
