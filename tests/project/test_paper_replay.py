"""Paper mode on the authors' maps ranks regions as the authors' bounds do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="module")
def result() -> Iterator[dict[str, dict[str, float]]]:
    root = Path(__file__).resolve().parents[2]
    path = root.parent / "shared" / "reference" / "paper_maps.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: the authors' maps are not part of the repository")
    sys.path.insert(0, str(root / "benchmarks"))
    import paper_replay

    yield paper_replay.main(path)
    sys.path.remove(str(root / "benchmarks"))


@pytest.mark.parametrize(("method", "large"), [("naive", 0.80), ("oir_b", 0.70), ("oir_w", 0.65)])
def test_volumes_rank_as_the_authors(result: dict[str, dict[str, float]], method: str, large: float) -> None:
    assert result[method]["all"] >= 0.95
    assert result[method]["large"] >= large
    assert result[method]["large"] > result[method]["large_f0"] + 0.3


def test_the_published_formula_puts_resnet50_first(result: dict[str, dict[str, float]]) -> None:
    srvr = result["srvr"]
    assert max(srvr, key=srvr.__getitem__) == "ResNet50"


def test_the_authors_own_bounds_give_their_table() -> None:
    """The published formula on the released bounds of these 240 maps: 8.87 / 10.20 / 15.07 / 8.70 percent."""
    root = Path(__file__).resolve().parents[2]
    path = root.parent / "shared" / "reference" / "paper_maps.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: the authors' maps are not part of the repository")
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        from paper_replay import mean_by_network, published_volume
        from reference import METHODS, load_paper_data
    finally:
        sys.path.remove(str(root / "benchmarks"))
    from lightning_semrob import SemanticSpace

    data, space = load_paper_data(path), SemanticSpace.default()
    volumes = torch.stack([published_volume(space, data.bounds[method]) for method in METHODS])
    values = mean_by_network(volumes / space.volume, data.network, 4)
    assert values == pytest.approx([8.87, 10.20, 15.07, 8.70], abs=0.006)
