"""Trust maps of finished jobs in the commands: merge, compare, verify; regions and dashboards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_semrob.commands.compare import main as compare_command
from lightning_semrob.commands.merge import main as merge_command
from lightning_semrob.commands.verify import main as verify_command
from lightning_semrob.evaluation.finished.compare import compare_folders
from lightning_semrob.evaluation.finished.merge import merge
from lightning_semrob.evaluation.finished.verify import verify_maps
from lightning_semrob.evaluation.job import JobConfig
from lightning_semrob.evaluation.summary import summarize
from lightning_semrob.report.loggers import summary_metrics
from lightning_semrob.trust.fresh import call_contradictions
from lightning_semrob.trust.record import MAPS_FILE, TrustRecord, read_maps, read_records, write_records
from lightning_semrob.trust.summary import summarize_maps

NETWORKS = ["tiny_network:build", "tiny_network:build_other"]


def job(output: Path, shapes: list[str], networks: list[str] = NETWORKS) -> Path:
    data: dict[str, Any] = {"networks": networks, "shapes": shapes, "image_size": 32, "initial_points": 1}
    model: dict[str, Any] = {"finders": ["naive"], "num_iterations": 1}
    trust: dict[str, Any] = {"tiles": [4, 2], "eps": 0.4, "max_evaluations": 120}
    JobConfig(data, model, output=output, accelerator="cpu", progress=False, trust=trust).make().run()
    return output


def changed(record: TrustRecord, verdict: str) -> TrustRecord:
    """The same map with the same call of every tile."""
    return replace(record, map=replace(record.map, verdict=np.full_like(record.map.verdict, verdict, dtype="U9")))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("folders")
    whole = job(folder / "whole", ["teapot", "dumbbell"])
    return job(folder / "first", ["teapot"]), job(folder / "second", ["dumbbell"]), whole


def test_merged_maps_are_those_of_the_whole_job(
    parts: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, whole = parts
    merge_command([str(first), str(second), str(whole), "--output", str(tmp_path / "all")])
    assert "of the views of 2 objects" in capsys.readouterr().out
    expected = read_records(whole / MAPS_FILE)
    found = read_maps(tmp_path / "all")
    assert [record.key for record in found] == [record.key for record in expected]
    assert all(one.same_map(other) for one, other in zip(found, expected, strict=True))
    summaries = [json.loads((path / "summary.json").read_text())["trust"] for path in (tmp_path / "all", whole)]
    assert summaries[0] == summaries[1]


def test_merge_refuses_two_maps_of_a_pair(parts: tuple[Path, Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(parts[0], tmp_path / "other")
    records = read_maps(other)
    write_records(
        other / MAPS_FILE,
        [changed(records[0], "trusted" if records[0].map.trusted_share < 1 else "failing"), *records[1:]],
    )
    with pytest.raises(ValueError, match="trust map of 'tiny_network:build' on 'teapot:0'"):
        merge([parts[0], other], tmp_path / "all")


def with_shares(folder: Path, like: Path, verdicts: list[str], **more: Any) -> Path:
    """A copy of a job with maps of eight shapes, each all of one verdict."""
    made = shutil.copytree(like, folder)
    record = read_maps(like)[0]
    records = [
        replace(changed(record, word), shape_id=f"teapot:{number}", **more) for number, word in enumerate(verdicts)
    ]
    write_records(made / MAPS_FILE, records)
    return made


def test_compare_calls_trusted_share(
    parts: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = with_shares(tmp_path / "old", parts[0], ["trusted"] * 8)
    new = with_shares(tmp_path / "new", parts[0], ["failing"] * 7 + ["trusted"])
    pair = ["--pair", NETWORKS[0], NETWORKS[0]]
    with pytest.raises(SystemExit) as stopped:
        compare_command([str(old), str(new), "--fail_if", "worse", *pair])
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert (
        "trusted share by right answers 100.00 (at most 100.00, undecided 0.00) -> 12.50 (at most 12.50, undec" in said
    )
    assert f"worse than before: {NETWORKS[0]} (trusted share)" in said
    (found,) = compare_folders(old, new, {NETWORKS[0]: NETWORKS[0]})
    difference = found["trusted_share"]["difference"]
    assert difference["verdict"] == "less robust"
    assert difference["low"] < difference["estimate"] == -0.875 < difference["high"] < 0
    assert difference["p_holm"] == pytest.approx(2 * 0.5**7)  # the boxes do not differ: too few shapes to count
    (found,) = compare_folders(new, old, {NETWORKS[0]: NETWORKS[0]})
    assert not found["worse"]
    other = with_shares(tmp_path / "other", parts[0], ["trusted"] * 8, max_evaluations=60)
    with pytest.raises(ValueError, match="max_evaluations is 120 for one map and 60 for that of"):
        compare_folders(old, other, {NETWORKS[0]: NETWORKS[0]})
    (other / MAPS_FILE).unlink()
    with pytest.raises(ValueError, match="other' has no trust maps"):
        compare_folders(old, other)


def test_verify_finds_wrong_calls(
    parts: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verify_maps(parts[0], trust=True)
    assert sum(item.tested for item in found) > 0
    assert [item.contradicted for item in found] == [0, 0]
    wrong = shutil.copytree(parts[0], tmp_path / "wrong")
    words = {"trusted": "failing", "failing": "trusted"}
    records = []
    for record in read_maps(wrong):
        verdict = np.array([words.get(word, word) for word in record.map.verdict.ravel().tolist()])
        records.append(replace(record, map=replace(record.map, verdict=verdict.reshape(record.map.verdict.shape))))
    write_records(wrong / MAPS_FILE, records)
    with pytest.raises(SystemExit) as stopped:
        verify_command([str(wrong), "--trust=true"])
    assert stopped.value.code == 1
    assert "have more wrong calls than they state" in capsys.readouterr().out
    with pytest.raises(ValueError, match="that of the job"):
        verify_maps(parts[0], seed=0, trust=True)
    with pytest.raises(ValueError, match="one tile of a map takes 24 fresh samples"):
        verify_maps(parts[0], max_evaluations=10, trust=True)


@pytest.mark.parametrize(("call", "mean"), [(0, 0.6), (1, 0.4), (2, 0.4), (2, 0.6)])
def test_right_calls_are_contradicted_as_seldom_as_stated(call: int, mean: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(20000, 24, generator=generator) < mean).double()  # a coin at the edge of what the call says
    log_e = call_contradictions(x, torch.full((20000,), call), 0.4)
    for level in (0.1, 0.01):
        assert 0 < float((log_e >= -np.log(level)).double().mean()) <= level
    wrong = call_contradictions(torch.full((1, 24), float(call == 1)), torch.tensor([call]), 0.4)
    assert float(wrong) > np.log(1000 / 0.05)


def test_loggers_get_shares_as_numbers(parts: tuple[Path, Path, Path]) -> None:
    records = read_maps(parts[2])
    trust = summarize_maps(records)
    assert trust is not None
    empty = replace(summarize([], ["naive"]), networks=NETWORKS, intervals={"intersected": {}, "verified": {}}, cost={})
    found = summary_metrics(replace(empty, trust=trust))
    for network, own in zip(NETWORKS, (records[:2], records[2:]), strict=True):
        for share in ("trusted_share", "failing_share"):
            mean = np.mean([getattr(record.map, share) for record in own])
            assert found[f"{share}/{network}"] == pytest.approx(100 * mean)
    assert summary_metrics(empty) == {}
