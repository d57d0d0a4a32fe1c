"""Trust maps in jobs: made by default, kept as they are made, gone on with, printed first, refused when changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_semrob import RenderedFunction, trust_map
from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.finished.verify import verify_maps
from lightning_semrob.evaluation.job import JobConfig, JobInterrupted
from lightning_semrob.functional.uncertainty import Difference
from lightning_semrob.report.trust import trust_headline
from lightning_semrob.space import SemanticSpace
from lightning_semrob.trust.mapper import TrustMapper, TrustSettings
from lightning_semrob.trust.record import MAPS_FILE, TrustRecord, read_records
from lightning_semrob.trust.summary import summarize_maps
from lightning_semrob.trust.traps import EnclosedTrap

DATA: dict[str, Any] = {
    "networks": ["tiny_network:build", "tiny_network:build_other"],
    "shapes": ["teapot", "dumbbell"],
    "image_size": 32,
    "initial_points": 1,
}
MODEL: dict[str, Any] = {"finders": ["naive"], "num_iterations": 2}
TRUST: dict[str, Any] = {"tiles": [4, 2], "eps": 0.4, "max_evaluations": 120}


def config(output: Path, data: dict[str, Any] | None = None, **trust: Any) -> JobConfig:
    settings = DATA | (data or {})
    return JobConfig(settings, MODEL, output=output, accelerator="cpu", progress=False, trust=TRUST | trust)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trust") / "job"
    config(output).make().run()
    return output


def test_every_network_and_shape_has_a_map(done: Path) -> None:
    records = read_records(done / MAPS_FILE)
    assert [record.key[::2] for record in records] == [
        (network, shape) for network in DATA["networks"] for shape in ("teapot:0", "dumbbell:0")
    ]
    for record in records:
        assert record.weights_sha256 is not None
        assert record.mesh_sha256 is not None
        assert record.map.eps == 0.4
        assert record.top1 is not None
        assert record.top1_low <= record.top1 <= record.top1_high  # type: ignore[operator]
        assert len(list((done / "parts").glob("trust-*.jsonl"))) == 4
    # Networks of a shape share their points; each map is what the network alone would have given.
    first, second = records[0], records[2]
    assert first.map.stream == second.map.stream
    f = RenderedFunction.of("dumbbell", "tiny_network:build_other", image_size=32, micro_batch_size=4)
    alone = trust_map(f, SemanticSpace.default(), (4, 2), 0.4, max_evaluations=120)
    assert alone.verdict.shape == records[3].map.verdict.shape
    summary = json.loads((done / "summary.json").read_text())["trust"]
    assert summary["evaluations"] == sum(record.map.evaluations for record in records)
    assert summary["networks"][0]["trusted"][0] == pytest.approx(
        np.mean([record.map.trusted_share for record in records[:2]])
    )


def test_maps_are_about_right_answers_unless_asked_otherwise(done: Path, tmp_path: Path) -> None:
    """The same points and pictures; what is averaged is 0 or 1, or the score of the job."""
    (right, *_) = read_records(done / MAPS_FILE)
    result = config(tmp_path / "job", {"networks": DATA["networks"][:1]}, score="f").make().run()
    score = result.trust_maps[0]
    assert (right.score, score.score, right.map.stream) == ("top1", "softmax", score.map.stream)
    total = right.map.mean * right.map.count
    assert np.abs(total - total.round()).max() < 1e-9
    assert np.abs(score.map.mean * score.map.count % 1).max() > 0.01
    assert right.top1 == score.top1
    # Either map keeps the scores of f, of which the page draws its maps.
    assert np.abs(right.map.scores % 1).max() > 0.01
    assert right.map.first_mean == score.map.first_mean
    assert [check.contradicted for check in verify_maps(done, trust=True)] == [0] * 4
    with pytest.raises(ValueError, match=r"trust\.score must be 'top1' or 'f' \(the score of the job\), got 'softmax'"):
        TrustSettings(score="softmax").check(SemanticSpace.default())


def test_a_job_goes_on_with_the_maps_that_it_has(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    measure = TrustMapper.measure

    def counted(self: TrustMapper, *arguments: Any) -> list[TrustRecord]:
        if made:
            raise RuntimeError("power cut")
        made.append(1)
        return measure(self, *arguments)

    monkeypatch.setattr(TrustMapper, "measure", counted)
    with pytest.raises(RuntimeError, match="power cut"):
        config(tmp_path / "job").make().run()
    assert len(list((tmp_path / "job" / "parts").glob("trust-*.jsonl"))) == 2
    monkeypatch.setattr(TrustMapper, "measure", measure)
    said: list[str] = []
    config(tmp_path / "job").make().run(say=said.append)
    assert said == [f"2 trust maps taken over from '{tmp_path / 'job'}'"]
    assert (tmp_path / "job" / MAPS_FILE).read_text() == (done / MAPS_FILE).read_text()


def test_a_changed_map_is_refused(done: Path, tmp_path: Path) -> None:
    (part, *_) = sorted((done / "parts").glob("trust-*.jsonl"))
    folder = tmp_path / "job"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.yaml").write_text((done / "config.yaml").read_text())
    (folder / "parts" / part.name).write_text(part.read_text().replace('"eps": 0.4', '"eps": 0.3'))
    with pytest.raises(ValueError, match=r"was changed after it was written.*delete it and its map is made again"):
        config(folder).make().run()


def test_records_survive_the_file(done: Path) -> None:
    for record in read_records(done / MAPS_FILE):
        again = TrustRecord.of_line(record.line())
        np.testing.assert_array_equal(again.map.verdict, record.map.verdict)
        assert again.line() == record.line()


def test_trusted_initial_points_lie_in_trusted_boxes(tmp_path: Path) -> None:
    job = config(tmp_path / "job", {"initial_points": "trusted"}).make()
    result = job.run()
    for record in result.trust_maps:
        (run,) = [run for run in result.runs if (run.network, run.shape_id) == (record.network, record.shape_id)]
        u0 = torch.tensor(list(run.u0.values()))
        boxes = record.map.boxes(1)
        if len(boxes):
            inside = boxes.contains(u0[None]) | boxes.contains(u0[None] + torch.tensor([360.0, 0.0]))
            assert bool(inside.any())
    with pytest.raises(ValueError, match="starts from trust maps"):
        config(tmp_path / "none", {"initial_points": "trusted"}, max_evaluations=0).make().run()


def test_top1_and_density(tmp_path: Path) -> None:
    data = {"score": "top1", "density": {"azimuth": [1.0, 0.0]}, "networks": DATA["networks"][:1]}
    result = config(tmp_path / "job", data | {"gradient": "finite"}).make().run()
    for record in result.trust_maps:
        assert record.top1 is None
        assert set(record.map.verdict[2:].ravel()) == {"undecided"}
        assert record.map.share("undecided") <= 1
    assert [record.shape_id for record in read_records(tmp_path / "job" / MAPS_FILE)] == ["teapot:0", "dumbbell:0"]


def test_printed_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"--data.networks=[{DATA['networks'][0]}]", "--data.shapes=[teapot]", "--data.image_size=32"]
    words += ["--model.finders=[naive]", "--model.num_iterations=1", "--report_grid=[]", "--data.initial_points=1"]
    words += ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", f"--output={tmp_path / 'job'}"]
    words += ["--trust.tiles=[4,2]"]
    estimate = evaluate([*words, "--dry_run=true"])
    assert (estimate["trust_maps"], estimate["trust_evaluations"]) == (1, 64)
    assert "1 trust maps of 4 x 2 tiles: at most 64 evaluations" in capsys.readouterr().out
    summary = evaluate(words)
    printed = capsys.readouterr().out.strip()
    assert summary["trust"]["evaluations"] <= 64
    # Viewpoint accuracy, then the trust map, then volumes.
    heads = [printed.index(words) for words in ("Viewpoint accuracy: top-1 rate", ": trusted in ", "SRVR, percent of")]
    assert heads == sorted(heads)
    assert heads[0] == 0
    (sentence,) = [line for line in printed.splitlines() if ": trusted in " in line]
    assert "of the views of 1 object, failing in" in sentence
    assert ", undecided in" in sentence
    assert "(wrong calls <= 5 %)" in sentence
    assert "is trusted where the rate of right answers is >= 0.5" in printed


def test_the_headline_tells_shapes_of_equal_id_apart(done: Path) -> None:
    records = [replace(record, shape_id="1") for record in read_records(done / MAPS_FILE)]
    summary = summarize_maps(records)
    assert summary is not None
    assert {line.shape for line in summary.maps} == {"teapot: 1", "dumbbell: 1"}
    (sentence, *_) = [text for text in trust_headline(summary) if "largest trusted region" in text]
    assert "largest trusted region of teapot: 1: " in sentence or "largest trusted region of dumbbell: 1: " in sentence


def test_headline_names_region_trap_and_who_is_better(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = read_records(done / MAPS_FILE)
    trap = EnclosedTrap((0,), (), 0.1, 0.5, 0.1, 0, 0.1, torch.tensor([10.0, 0.0]), torch.tensor([20.0, 5.0]), False)
    monkeypatch.setattr("lightning_semrob.trust.map.TrustMap.traps", lambda self: [trap])
    summary = summarize_maps(records)
    assert summary is not None
    found = replace(summary, comparisons=[Difference(-0.09, -0.15, -0.03, 0.01, 8, 0, "less robust", 0.01)])
    *_, last = lines = trust_headline(found)
    assert last.startswith("tiny_network:build_other is more robust than tiny_network:build on these shapes by trusted")
    assert "(difference 9 points [3, 15], p = 0.010)" in last
    assert "worst trap: teapot:0, azimuth 10 to 20, elevation 0 to 5, rate of right answers 0.10" in lines[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tiles": [4]}, "2 positive numbers"),
        ({"eps": 0.7}, "eps must lie"),
        ({"alpha": 1.0}, r"trust\.alpha must lie"),
        ({"error": "fwer"}, r"trust\.error must be"),
        ({"max_evaluations": 7}, "fewer trust.tiles"),
    ],
)
def test_bad_settings_fail_before_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrustSettings(**({"tiles": [4, 2]} | settings)).check(SemanticSpace.default())


def test_interruption_keeps_maps(tmp_path: Path) -> None:
    error = JobInterrupted(2, 0, tmp_path, 3)  # type: ignore[arg-type]
    assert "3 trust maps and 0 runs are kept" in str(error)
