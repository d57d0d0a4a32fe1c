"""What somebody else's results name is imported only where the user says that he trusts them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_semrob.commands.console import main
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.functions.trusted import UntrustedError, refuse_code
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.space import SemanticSpace

HOSTILE: list[dict[str, Any]] = [
    {"networks": ["hostile_module:build"]},
    {"networks": ["small_resnet", "hostile_module:build?input_size=8"]},
    {"networks": ["a/hostile_module:build"]},
    {"renderer": "hostile_module.Renderer"},
    {"renderer": {"class_path": "hostile_module.Renderer"}},
    {
        "renderer": {
            "class_path": "lightning_semrob.rendering.CallableRenderer",
            "init_args": {"images": "hostile_module:f", "axes": [{"name": "azimuth", "low": 0, "high": 1}]},
        }
    },
    {
        "renderer": {
            "class_path": "lightning_semrob.rendering.Rasterizer",
            "init_args": {"lights": [{"class_path": "hostile_module.Light"}]},
        }
    },
]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file when it is imported."""
    (tmp_path / "modules").mkdir()
    left = tmp_path / "executed"
    (tmp_path / "modules" / "hostile_module.py").write_text(f"open({str(left)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield left
    sys.modules.pop("hostile_module", None)


@pytest.mark.parametrize("data", HOSTILE)
def test_a_folder_that_names_code_is_refused(
    data: dict[str, Any], hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    settings = {"shapes": ["teapot"], "networks": ["small_resnet"], "image_size": 16} | data
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": settings}))
    record = '{"verdict": "valid", "network": {"name": "x"}, "shape": {"id": "y"}, "axes": []}\n'
    (folder / "statements.jsonl").write_text(record)
    for command in ("report", "verify"):
        with pytest.raises(SystemExit) as stopped:
            main([command, str(folder), "--accelerator=cpu"])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert "names code that would be imported and run" in said
        assert "--trust=true" in said
    assert not hostile.exists()
    with pytest.raises(Exception, match=r".*"):  # it is no renderer and no network, but it runs
        environment_of(folder, trust=True).classifier(0)
    assert hostile.exists() == ("a/" not in str(data))  # the others run it, were they trusted


def test_maps_that_name_code_are_not_drawn(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"networks": ["hostile_module:build"], "shapes": ["teapot"]}
    space, names = SemanticSpace.default(), (("n",), ("teapot:0",), ("teapot",))
    SemanticMaps(torch.rand(1, 1, 6, 5), space, *names, settings=settings).save(tmp_path / "maps.nc")
    main(["traps", str(tmp_path / "maps.nc"), "--points=1", f"--output={tmp_path}"])
    assert "no traps.png: 'the file of maps' names code" in capsys.readouterr().out
    assert (tmp_path / "traps.csv").is_file()
    assert not hostile.exists()


def test_what_the_package_brings_needs_no_trust() -> None:
    refuse_code(
        {
            "networks": ["efficientnet_lite0", "torchvision/resnet50@C:/weights.pth?label=a:b"],
            "shapes": ["cup:0-4", "folder#chair:2"],
            "renderer": {"class_path": "lightning_semrob.rendering.Rasterizer", "init_args": {"image_size": 64}},
        },
        "config.yaml",
    )
    with pytest.raises(UntrustedError, match=r"my\.module:network"):
        refuse_code({"networks": ["my.module:network@x"]}, "config.yaml")
