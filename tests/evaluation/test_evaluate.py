"""``evaluate.py`` in process and as a user types it, on a cheap network and small pictures."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import pytorch_lightning as pl
import torch
import trimesh
import yaml
from processes import in_processes
from pytorch_lightning.callbacks import Callback

from lightning_semrob.commands.evaluate import EvaluateCLI, evaluate
from lightning_semrob.commands.parsing import config_folder
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.evaluation.suite import FinderSuite
from lightning_semrob.finders import NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder, VerifiedFinder
from lightning_semrob.functional import corners, oir_w_directions
from lightning_semrob.networks import IMAGENET_MEAN, build_network, network_spec
from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.shapes import Mesh, resolve_shapes
from lightning_semrob.sharing.work import TaskBatch, Work

SMALL = [
    "--data.networks=[tiny_network:build,tiny_network:build_other]",
    "--data.shapes=[teapot,dumbbell]",
    "--data.initial_points=2",
    "--data.image_size=32",
    "--trust.max_evaluations=0",
    "--data.micro_batch_size=8",
    "--model.num_iterations=4",
    "--model.finders=[naive,oir_b,oir_w]",
    "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]
ORDER = ["network", "class_name", "shape_id", "point", "method"]


def environment(**changes: object) -> SemanticEnvironment:
    arguments = {
        "networks": ["tiny_network:build", "tiny_network:build_other"],
        "shapes": ["teapot", "dumbbell"],
        "initial_points": 2,
        "image_size": 32,
        "micro_batch_size": 8,
    }
    return SemanticEnvironment(**(arguments | changes))  # type: ignore[arg-type]


def trainer() -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        inference_mode=False,
        use_distributed_sampler=False,
    )


def rows_of(folder: Path) -> list[dict[str, object]]:
    rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in ORDER])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    evaluate([*SMALL, "--output", str(folder)])
    return folder


def test_every_run_has_one_row_and_the_files_are_there(finished: Path) -> None:
    rows = rows_of(finished)
    assert len(rows) == 2 * 2 * 2 * 3
    assert len({tuple(row[name] for name in ORDER) for row in rows}) == len(rows)
    for name in ("runs.csv", "summary.json", "config.yaml", "versions.json"):
        assert (finished / name).stat().st_size > 0
    assert not list(finished.rglob("*.tmp"))
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["runs"] == 24
    assert summary["evaluations"] == sum(row["evaluations"] for row in rows)
    assert {row["verdict"] for row in rows} <= {"valid", "invalid", "undecided"}
    assert {row["method"] for row in rows} == {"naive", "oir_b", "oir_w"}
    for row in rows:
        assert row["verification_evaluations"] <= max(row["evaluations"], 2) + 1
        assert (row["verdict"] == "valid") <= (row["mean"] is not None and row["mean"] >= 0.7)


def test_the_suite_gives_the_boxes_of_find(finished: Path) -> None:
    """A Trainer that mixes finders and groups gives what each finder gives alone, row by row."""
    made = environment()
    made.setup()
    for finder in (NaiveFinder, OIRBlackBoxFinder, OIRWhiteBoxFinder):
        rows = [row for row in rows_of(finished) if row["method"] == finder.name]
        assert len(rows) == len(made)
        for number in range(len(made)):
            shape, network, point = made.describe(number)
            box = finder(num_iterations=4).find(made.function(network, shape), made.u0[number : number + 1], made.space)
            key = (made.networks[network], made.shapes[shape].shape_id, point)
            (row,) = [r for r in rows if (r["network"], r["shape_id"], r["point"]) == key]
            for side, bound in (("a", box.a), ("b", box.b)):
                for k, axis in enumerate(made.space.names):
                    assert row[f"{side}_{axis}"] == pytest.approx(bound[0, k].item(), abs=1e-4)
            assert row["status"] == box.status[0]
            assert row["steps"] == box.steps.item()
            assert row["evaluations"] == box.evaluations.item()


def test_a_single_finder_trains_to_the_boxes_of_find() -> None:
    made = environment(shapes=["teapot"], networks=["tiny_network:build"])
    finder = OIRBlackBoxFinder(num_iterations=3)
    trainer().fit(finder, datamodule=made)
    trained = finder.boxes()
    found = OIRBlackBoxFinder(num_iterations=3).find(made.function(0, 0), made.u0, made.space)
    torch.testing.assert_close(trained.a, found.a, rtol=0, atol=1e-4)
    torch.testing.assert_close(trained.b, found.b, rtol=0, atol=1e-4)
    assert trained.status == found.status


@pytest.mark.parametrize("mode", ["paper", "default"])
def test_training_step_writes_the_closed_form_directions(mode: str) -> None:
    """Before the optimizer steps, a.grad and b.grad hold the directions at the corners, zero on other rows."""
    made = environment(shapes=["teapot"], networks=["tiny_network:build"])
    finder = OIRWhiteBoxFinder(mode=mode, num_iterations=2)
    seen: list[tuple[torch.Tensor, ...]] = []

    class Spy(OIRWhiteBoxFinder):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            optimizer = super().configure_optimizers()
            optimizer.register_step_pre_hook(
                lambda *_: seen.append(
                    tuple(x.detach().clone() for x in (self.a, self.b, self.a.grad, self.b.grad))  # type: ignore[arg-type]
                )
            )
            return optimizer

    finder = Spy(mode=mode, num_iterations=2)
    trainer().fit(finder, datamodule=made)
    assert len(seen) == 2
    for a, b, grad_a, grad_b in seen:
        f = made.function(0, 0)
        values, gradients = f.value_and_grad(finder.rules.points(corners(a, b), made.space))
        if mode == "paper":
            expected = oir_w_directions(a, b, values, gradients, 0.0009)
        else:
            unit = (made.space.to_unit(a), made.space.to_unit(b))
            section = (unit[1] - unit[0]).flip(-1)  # n = 2: the cross section of an axis is the other width
            expected = tuple(x / section for x in oir_w_directions(*unit, values, gradients * made.space.extent, 0.25))
        torch.testing.assert_close(grad_a, expected[0], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(grad_b, expected[1], rtol=1e-4, atol=1e-7)


def test_rows_outside_the_batch_do_not_move() -> None:
    made = environment(shapes=["teapot"], networks=["tiny_network:build"], initial_points=3)
    made.setup()
    finder = NaiveFinder()
    finder.start(made.u0, made.space)
    before = finder.a.detach().clone()
    optimizer = finder.configure_optimizers()
    rows = torch.tensor([1])
    finder.apply_update(rows, made.function(0, 0)(finder.request(rows)), None, optimizer)
    assert torch.equal(finder.a[[0, 2]], before[[0, 2]])
    assert not torch.equal(finder.a[1], before[1])
    assert finder.steps.tolist() == [0, 1, 0]


def test_the_same_command_resumes_and_computes_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows_of(finished)
    summary = evaluate([*SMALL, "--output", str(finished)])
    assert summary["computed_evaluations"] == 0
    assert rows_of(finished) == before
    assert "24 finished runs taken over" in capsys.readouterr().out


def test_a_half_finished_folder_is_completed(finished: Path, tmp_path: Path) -> None:
    """With one part missing only its group is computed, and the table is the same."""
    folder = RunFolder(tmp_path / "half")
    folder.open((finished / "config.yaml").read_text())
    parts = sorted((finished / "parts").glob("*.parquet"))
    assert len(parts) == 4
    lost = pyarrow.parquet.read_table(parts[0]).to_pylist()
    (folder.path / "parts").mkdir()
    for part in parts[1:]:
        (folder.path / "parts" / part.name).write_bytes(part.read_bytes())
    summary = evaluate([*SMALL, "--output", str(folder.path)])
    assert summary["computed_evaluations"] == sum(row["evaluations"] for row in lost)
    assert rows_of(folder.path) == rows_of(finished)


def test_another_configuration_in_the_same_folder_is_refused(finished: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)holds the results of another configuration.*seed_everything: 1"):
        evaluate([*SMALL, "--seed_everything=1", "--output", str(finished)])


def test_the_verified_finder_runs_beside_the_others(tmp_path: Path) -> None:
    """Its boxes in the Trainer are those of find(); its verdicts come from its own samples."""
    arguments = ["--model.finders=[verified]", "--model.verified_evaluations=500"]
    evaluate([*SMALL, *arguments, "--output", str(tmp_path)])
    made = environment()
    made.setup()
    rows = rows_of(tmp_path)
    assert {row["status"] for row in rows} >= {"verified"}
    for number in range(len(made)):
        shape, network, point = made.describe(number)
        key = (made.networks[network], made.shapes[shape].shape_id, point)
        (row,) = [r for r in rows if (r["network"], r["shape_id"], r["point"]) == key]
        finder = VerifiedFinder(growth_evaluations=250, verification_evaluations=250)
        box = finder.find(made.function(network, shape), made.u0[number : number + 1], made.space)
        for side, bound in (("a", box.a), ("b", box.b)):
            for k, axis in enumerate(made.space.names):
                assert row[f"{side}_{axis}"] == pytest.approx(bound[0, k].item(), abs=1e-3)
        assert row["status"] == box.status[0]
        assert (row["verdict"] == "valid") == (row["status"] == "verified")
        extra = 101 if row["status"] == "verified" else 1  # top-1 rate and worst view; u0
        assert row["evaluations"] + row["verification_evaluations"] == box.evaluations.item() + extra
        assert (row["top1_rate"] is not None) == (row["status"] == "verified")


def test_a_density_weighs_volume_mean_and_verdict(tmp_path: Path) -> None:
    """All views in the first half of the azimuth: a box that covers it is the whole space."""
    arguments = ["--data.density={azimuth: [1, 0]}", "--model.simultaneous=true"]
    evaluate([*SMALL, *arguments, "--output", str(tmp_path)])
    for row in rows_of(tmp_path):
        a, b = row["a_azimuth"], row["b_azimuth"]
        inside = sum(max(0.0, min(b, 180 + turn) - max(a, turn)) for turn in (-360, 0, 360)) / 180
        expected = inside * (row["b_elevation"] - row["a_elevation"]) / 100
        assert row["ratio"] == pytest.approx(expected, abs=1e-9)
        if row["worst_azimuth"] is not None and expected > 0:
            assert row["worst_azimuth"] % 360 <= 180 + 1e-9


def test_a_density_of_an_axis_that_is_not_swept_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data.density names \['roll'\]"):
        environment(density={"roll": [1.0]})


def test_a_class_table_adds_classes(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    (tmp_path / "gizmo").mkdir()
    box.export(tmp_path / "gizmo" / "one.ply")
    (tmp_path / "classes.yaml").write_text("gizmo: 7\n")
    made = environment(shapes=[str(tmp_path)], class_table=str(tmp_path / "classes.yaml"))
    made.setup()
    assert [(shape.class_name, shape.target) for shape in made.shapes] == [("gizmo", (7,))]


def test_networks_of_a_shape_share_renderings() -> None:
    """The second network starts from the same points: its first pictures are taken from memory."""
    made = environment(shapes=["teapot"])
    made.setup()
    for network in range(2):
        NaiveFinder(num_iterations=1).find(made.function(network, 0), made.u0[:2], made.space)
    assert made.pictures.rendered == 8
    assert made.pictures.reused >= 8


def test_verification_can_be_left_out(tmp_path: Path) -> None:
    summary = evaluate([*SMALL, "--model.verification=0", "--output", str(tmp_path)])
    assert summary["verification_evaluations"] == 0
    assert summary["verdict"]["naive"] == {"not verified": 8}
    assert summary["srvr"]["verified"]["mean"].isnan().all()


def test_a_truncated_part_is_named(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "broken")
    folder.open((finished / "config.yaml").read_text())
    (folder.path / "parts").mkdir()
    (folder.path / "parts" / "x.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ValueError, match=r"x\.parquet' cannot be read"):
        folder.load_parts()


def test_dry_run_prints_costs_and_computes_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimate = evaluate([*SMALL, "--dry_run=true", "--output", str(tmp_path / "none")])
    assert estimate["runs"] == 24
    assert estimate["evaluations"] == 8 * 4 * (4 + 8 + 4)
    assert estimate["gradient_evaluations"] == 8 * 4 * 4
    assert estimate["hours"] > 0
    assert not (tmp_path / "none").exists()
    assert "expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.networks=[efficientnet_lit0]"], "efficientnet_lite0"),
        (["--data.shapes=[teapott]"], "teapot"),
        (["--data.shapes=[/nowhere/x.obj=teapot]"], "/nowhere/x.obj"),
        (["--model.finders=[naiv]"], "did you mean 'naive'"),
        (["--data.space=[azimut]"], "did you mean 'azimuth'"),
        (["--data.space={elevation: [30, 10]}"], r"range \[30.0, 10.0\]"),
        (["--data.initial_points=[[10, 200]]"], r"\[10.0, 200.0\]"),
        (["--data.score=softmaxx"], "softmax"),
        (["--data.score=top1"], "needs gradients"),
        (["--data.networks=[]"], "data.networks is empty"),
        (["--data.networks=['small_resnet?num_classes=16']"], r"output 849, and network 'small_resnet.*' has 16"),
    ],
)
def test_mistakes_are_one_clear_error_before_any_work(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError, SystemExit), match=message):
        evaluate([*SMALL, *arguments, "--output", str(tmp_path / "out")])


def test_nan_scores_are_not_measured_and_the_job_goes_on(tmp_path: Path) -> None:
    summary = evaluate(
        [*SMALL, "--data.networks=[tiny_network:build_nan,tiny_network:build]", "--output", str(tmp_path)]
    )
    intersected = summary["srvr"]["intersected"]["mean"]
    assert intersected[0].isnan().all()
    assert intersected[1].isfinite().all()
    assert summary["status"]["naive"]["invalid_score"] == 4


def test_a_broken_mesh_is_named_and_the_job_goes_on(tmp_path: Path) -> None:
    (tmp_path / "broken.obj").write_text("this is no mesh\n")
    shapes = f"--data.shapes=[{tmp_path / 'broken.obj'}=teapot,teapot]"
    with pytest.warns(UserWarning, match="is not measured"):
        summary = evaluate([*SMALL, shapes, "--output", str(tmp_path / "out")])
    assert len(summary["not_measured"]) == 1
    assert summary["status"]["naive"]["not_measured"] == 4
    assert not any(run.status == "not_measured" for run in RunFolder(tmp_path / "out").load_parts())


def test_initial_points_do_not_depend_on_the_other_shapes() -> None:
    one, many = environment(shapes=["dumbbell"]), environment()
    one.setup()
    many.setup()
    rows = [row for row in range(len(many)) if many.shapes[many.describe(row)[0]].class_name == "dumbbell"]
    assert torch.equal(one.u0, many.u0[rows])
    other = environment(shapes=["dumbbell"], seed=1)
    other.setup()
    assert not torch.equal(one.u0, other.u0)


def test_rows_are_shared_out_without_loss() -> None:
    made = environment(initial_points=3)
    made.setup()
    for world in (1, 2, 3, 5, 20):
        shares = [Work(*made.tasks.groups(), rank, world, made.device) for rank in range(world)]
        slices = [(share.owners == share.rank).nonzero().flatten().tolist() for share in shares]
        assert list(itertools.chain.from_iterable(slices)) == list(range(len(made)))
        assert max(map(len, slices)) <= 1.25 * len(made) / world + 1


def test_meshes_are_visited_shape_by_shape() -> None:
    made = environment()
    made.setup()
    order = [batch.shape for batch in made.batches()]
    assert order == sorted(order)
    assert all(isinstance(batch, TaskBatch) for batch in made.test_dataloader())


def test_the_papers_initial_points() -> None:
    made = environment(initial_points="paper")
    made.setup()
    assert made.u0[:4].tolist() == [[130.0, 30.0], [50.0, 20.0], [200.0, 15.0], [310.0, 50.0]]


def test_suite_mean_needs_all_three_methods(tmp_path: Path) -> None:
    summary = evaluate([*SMALL, "--model.finders=[naive]", "--output", str(tmp_path)])
    assert summary["srvr"]["intersected"]["mean"].isnan().all()
    assert summary["srvr"]["intersected"]["naive"].isfinite().all()


def test_the_metric_of_the_suite_equals_the_table(finished: Path) -> None:
    made, suite = environment(), FinderSuite(num_iterations=4)
    suite.prepare(made_ready := _ready(made))
    suite.restore(made_ready, RunFolder(finished).load_parts())
    trainer().test(suite, datamodule=made, verbose=False)
    summary = json.loads((finished / "summary.json").read_text())
    for volume in ("intersected", "raw", "verified"):
        expected = torch.tensor(summary["srvr"][volume]["mean"], dtype=torch.float64)
        torch.testing.assert_close(suite.srvr_values[volume]["mean"], expected)


class SaveAndStop(Callback):
    """A checkpoint after some rounds, the fit ends there."""

    def __init__(self, path: Path, rounds: int) -> None:
        self.path, self.rounds = path, rounds

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == self.rounds:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


@pytest.mark.filterwarnings("ignore:.*checkpoint that ended before the epoch ended")
def test_a_checkpoint_without_an_output_folder_goes_on(finished: Path, tmp_path: Path) -> None:
    """In a notebook, say: what has ended is taken over, what was under way begins anew, as from a folder."""
    whole = rows_of(finished)
    names = ["naive", "oir_b", "oir_w"]
    first, stopped = FinderSuite(names, num_iterations=4), trainer()
    stopped.callbacks.append(SaveAndStop(tmp_path / "rounds.ckpt", 9))  # type: ignore[attr-defined]
    stopped.fit(first, datamodule=environment())
    suite, made, again = FinderSuite(names, num_iterations=4), environment(), trainer()
    again.fit(suite, datamodule=made, ckpt_path=tmp_path / "rounds.ckpt")
    again.test(suite, datamodule=made, verbose=False)
    places = itertools.product(range(3), range(len(made)))
    found = sorted(
        (suite.run(made, *place).columns() for place in places), key=lambda row: [row[name] for name in ORDER]
    )
    assert [{name: row.get(name) for name in whole[0]} for row in found] == whole
    runs = [first.run(made, *place) for place in itertools.product(range(3), range(len(made)))]
    ended = [run.columns() for run in runs if run.status != "running"]
    assert 0 < len(ended) < len(whole)
    kinds = ("evaluations", "audit_evaluations", "verification_evaluations")
    kept = sum(row.get(kind) or 0 for row in ended for kind in kinds)
    assert suite.spent() == sum(row[kind] or 0 for row in whole for kind in kinds) - kept  # type: ignore[misc]


def test_a_checkpoint_of_weights_alone_is_refused() -> None:
    suite = FinderSuite(["naive"])
    suite.prepare(_ready(environment()))
    with pytest.raises(ValueError, match="weights only, and no runs: save it with save_weights_only=False"):
        suite.on_load_checkpoint({"state_dict": suite.state_dict()})


def test_counting_and_restoring_do_not_go_through_the_whole_table(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _ready(environment())
    suite = FinderSuite(["naive", "oir_b", "verified"], num_iterations=2, verified_evaluations=60)
    suite.prepare(made)
    kept = [run for run in RunFolder(finished).load_parts() if run.shape_id == made.shapes[0].shape_id]
    for name in ("counts", "run"):
        monkeypatch.setattr(FinderSuite, name, lambda *_, name=name: pytest.fail(name))
    assert suite.restore(made, kept) == 8  # of naive and oir_b
    trainer().fit(suite, datamodule=made)
    monkeypatch.undo()
    kinds = ("evaluations", "audit_evaluations", "verification_evaluations")
    total = sum(suite.counts()[kind] for kind in kinds)
    known = sum(run.columns()[kind] or 0 for run in kept if run.method != "oir_w" for kind in kinds)
    assert suite.spent() == made.work.evaluations == total - known


def _ready(made: SemanticEnvironment) -> SemanticEnvironment:
    made.setup()
    return made


@pytest.mark.parametrize(
    "name",
    sorted(path.name for path in config_folder().glob("*.yaml") if not path.name.startswith(("maps_", "train_"))),
)
def test_every_configuration_parses_and_resolves(name: str, tmp_path: Path) -> None:
    cli = EvaluateCLI(["--config", f"configs/{name}", "--trainer.accelerator=cpu", "--output", str(tmp_path)])
    assert isinstance(cli.datamodule.renderer, Rasterizer)
    if any("shared/reference" in spec for spec in cli.datamodule.shape_specs):
        return
    if any(spec.startswith("scale#") for spec in cli.datamodule.shape_specs):  # the user's own meshes
        with pytest.raises(ValueError, match=r"there is no folder 'scale'; check the path before '#'"):
            cli.datamodule.setup()
    else:
        try:
            cli.datamodule.setup()
        except ModuleNotFoundError as error:
            pytest.skip(str(error))
        assert len(cli.datamodule) > 0


#: The paper's protocol and its correction as a user starts them, with other networks and one shape, so that nothing is
#: downloaded.
PAPER = [
    "--data.networks=[tiny_network:build]",
    "--data.shapes=[teapot]",
    "--data.renderer.init_args.image_size=32",
    "--trust.max_evaluations=0",
    "--model.num_iterations=2",
    "--report_grid=[]",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]


@pytest.mark.parametrize("name", ["paper.yaml", "paper_corrected.yaml"])
def test_the_papers_networks_resolve_offline(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and preprocessing are known without weights; building one without network names file and remedy."""
    with pytest.raises(SystemExit) as stopped:
        evaluate(["--config", name, "--print_config"])
    assert stopped.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["mode"] == ("paper" if name == "paper.yaml" else "default")
    assert printed["data"]["renderer"]["init_args"]["albedo"] == 1

    def fail(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("unreachable")

    data = EvaluateCLI(["--config", name, "--trainer.accelerator=cpu"]).datamodule
    specs = [network_spec(network) for network in data.networks]
    assert [spec.name.partition("?")[0].partition("/")[2] for spec in specs] == [
        "alexnet",
        "vgg11_bn",
        "resnet50",
        "inception_v3",
    ]
    plain = name == "paper.yaml"
    assert [spec.input_size for spec in specs] == ([224] * 4 if plain else [224, 224, 224, 299])
    assert {spec.mean for spec in specs} == {(0.0, 0.0, 0.0) if plain else IMAGENET_MEAN}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(OSError, match=r"fetch it elsewhere and name the file, 'torchvision/alexnet@path/to/alexnet"):
        build_network(data.networks[0])


def test_the_papers_protocol_runs(tmp_path: Path) -> None:
    """Four points, three methods in paper mode, nothing verified; white on black, lit from above."""
    arguments = ["--config", "paper.yaml", *PAPER]
    estimate = evaluate([*arguments, "--dry_run=true", "--output", str(tmp_path / "none")])
    assert estimate["evaluations"] == 4 * 2 * (4 + 8 + 4)
    summary = evaluate([*arguments, "--output", str(tmp_path)])
    assert summary["verification_evaluations"] == 0
    rows = rows_of(tmp_path)
    assert len(rows) == 4 * 3
    assert {(row["u0_azimuth"], row["u0_elevation"]) for row in rows} == {(50, 30), (130, 20), (340, 15), (230, 50)}
    for row in rows:
        assert row["steps"] == 2
        assert row["b_azimuth"] - row["a_azimuth"] < 1e-4  # from eps = 1e-5, in degrees
    renderer = EvaluateCLI(arguments).datamodule.renderer
    image = renderer(load_mesh_of("teapot"), torch.tensor([[50.0, 30.0]]), ("azimuth", "elevation"))[0]
    assert float(image[:, 0, 0].max()) == 0
    assert float((image.amax(0) - image.amin(0)).max()) < 1e-6  # no colour
    assert 0.9 < float(image.max()) <= 1


def test_the_corrected_protocol_runs(tmp_path: Path) -> None:
    """Boxes stay in the space, every one has a verdict, and the verified finder is there."""
    arguments = ["--config", "paper_corrected.yaml", *PAPER, "--model.verified_evaluations=120"]
    assert evaluate([*arguments, "--dry_run=true", "--output", str(tmp_path / "none")])["runs"] == 16
    evaluate([*arguments, "--output", str(tmp_path)])
    rows = rows_of(tmp_path)
    assert {row["method"] for row in rows} == {"naive", "oir_b", "oir_w", "verified"}
    assert {row["verdict"] for row in rows} <= {"valid", "invalid", "undecided"}
    for row in rows:
        assert -10 <= row["a_elevation"] <= row["b_elevation"] <= 90
        assert row["b_azimuth"] - row["a_azimuth"] <= 360
    assert len({(row["u0_azimuth"], row["u0_elevation"]) for row in rows}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper.yaml", "paper_corrected.yaml"])
def test_the_papers_protocol_on_reference_shapes(reference: Path, name: str, tmp_path: Path) -> None:
    """Mesh files at full size and ImageNet weights from a file, few updates."""
    weights = reference / "weights" / "squeezenet1_0.pth"
    summary = evaluate(
        [
            *("--config", name, "--model.num_iterations=2", "--model.verified_evaluations=60", "--report_grid=[]"),
            f"--data.networks=[torchvision/squeezenet1_0@{weights}?normalize=imagenet255]",
            f"--data.shapes=[{reference / 'shapes'}#cup:1,vase:1]",
            *("--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--output", str(tmp_path)),
        ]
    )
    assert summary["runs"] == 2 * 4 * (3 if name == "paper.yaml" else 4)
    assert not summary["not_measured"]
    assert summary["srvr"]["raw"]["mean"].isfinite().all()


def load_mesh_of(name: str) -> Mesh:
    (spec,) = resolve_shapes([name])
    return spec.load()


def test_the_default_configuration_is_what_the_code_defaults_to() -> None:
    defaults = EvaluateCLI(["--trainer.accelerator=cpu"])
    written = EvaluateCLI(["--config", "default.yaml", "--trainer.accelerator=cpu"])
    assert defaults.datamodule.networks == written.datamodule.networks
    assert defaults.datamodule.shape_specs == written.datamodule.shape_specs
    assert defaults.datamodule.space == written.datamodule.space
    for name, value in written.config.model.items():
        expected = defaults.config.model[name]
        assert (list(expected) if isinstance(expected, tuple | list) else expected) == value
    finders = {finder.name: finder for finder in defaults.model}
    assert list(finders) == ["naive", "oir_b", "oir_w", "verified"]
    defaults.datamodule.setup()
    runs = len(defaults.datamodule)
    forward = sum(finders[name].num_iterations * points for name, points in (("naive", 4), ("oir_b", 8), ("oir_w", 4)))
    assert runs * forward <= 3000
    assert runs * finders["oir_w"].num_iterations * 4 <= 1000


def command(repository: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, outside the repository's folder."""
    environment = {**os.environ, "PYTHONPATH": str(repository / "tests"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(repository / "evaluate.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def test_help_is_readable(repository: Path) -> None:
    text = command(repository, "--help").stdout
    for word in ("--data.networks", "--data.shapes", "--data.space", "--model.finders", "--output", "--dry_run"):
        assert word in text


def test_print_config_can_be_run_again(repository: Path, tmp_path: Path) -> None:
    text = command(repository, *SMALL, "--print_config").stdout
    (tmp_path / "c.yaml").write_text(text)
    assert "networks:" in text
    again = command(repository, "--config", str(tmp_path / "c.yaml"), "--print_config").stdout
    assert again == text


@pytest.mark.parametrize("points", [2, 1])
def test_two_processes_give_the_boxes_of_one(tmp_path: Path, points: int) -> None:
    """gloo, uneven groups; with one shape, one network and one point there are fewer tasks than processes."""
    arguments = [*SMALL, f"--data.initial_points={points}", "--data.shapes=[teapot]"]
    if points == 1:
        arguments.append("--data.networks=[tiny_network:build]")
    evaluate([*arguments, "--output", str(tmp_path / "one")])

    def start(rank: int) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            evaluate([*arguments, "--trainer.devices=2", "--output", str(tmp_path / "two")])
        return said.getvalue()

    printed = in_processes(2, start)
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert one == two
    assert ["How the runs ended" in text for text in printed] == [True, False]
