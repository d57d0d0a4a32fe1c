"""The leaderboard: the page is what the entries give, entries fit their protocol, runs can be stopped and checked."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

SHAPES = ["teapot:0", "teapot:1", "dumbbell:0", "dumbbell:1", "dumbbell:2", "teapot:2"]


@pytest.fixture(scope="module")
def board() -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/leaderboard, which are scripts beside each other."""
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks" / "leaderboard")
    sys.path.insert(0, folder)
    import entries
    import run
    import table

    yield SimpleNamespace(entries=entries, run=run, table=table)
    sys.path.remove(folder)
    for name in ("entries", "run", "table"):
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def small(board: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A protocol of small pictures and few evaluations, and the entry of a network of the tests."""
    folder = tmp_path_factory.mktemp("board")
    settings = yaml.safe_load((board.entries.FOLDER / "embedded-3.yaml").read_text())
    settings["data"] |= {"shapes": SHAPES, "renderer": "rasterizer", "image_size": 32}
    settings["trust"] |= {"tiles": [6, 2], "max_evaluations": 60}
    settings["model"]["finders"][0]["init_args"] |= {"growth_evaluations": 60, "verification_evaluations": 200}
    (folder / "small-1.yaml").write_text(yaml.safe_dump(settings))
    options = [
        f"--protocol={folder / 'small-1.yaml'}",
        f"--output={folder / 'runs'}",
        f"--results={folder / 'results'}",
    ]
    arguments = ["tiny_network:build", "--label=ink", *options]
    assert board.run.main(arguments) == 0
    path = folder / "results" / "small-1" / "ink.json"
    return SimpleNamespace(
        folder=folder, options=options, arguments=arguments, path=path, entry=json.loads(path.read_text())
    )


def test_the_page_is_what_the_entries_give(board: SimpleNamespace) -> None:
    """Reads every entry, so that it also says whether each fits its protocol."""
    page = board.table.PAGE.read_text(encoding="utf-8")
    assert board.table.rendered(page) == page
    assert board.table.main(["--check"]) == 0


def test_every_result_belongs_to_a_protocol(board: SimpleNamespace) -> None:
    folders = {path.name for path in board.entries.RESULTS.glob("*")}
    assert folders <= set(board.entries.protocols())
    for name in folders:
        found = board.entries.read_entries(board.entries.load_protocol(name))
        assert len({entry["label"] for entry in found}) == len(found)
        assert len({entry["shapes_sha256"] for entry in found}) == 1  # all networks saw the same shapes


def test_an_entry_holds_what_was_measured(board: SimpleNamespace, small: SimpleNamespace) -> None:
    entry = small.entry
    board.entries.check_entry(entry, board.entries.load_protocol(small.folder / "small-1.yaml"))
    assert [(shape["class_name"], shape["shape_id"]) for shape in entry["shapes"]] == [
        (name.partition(":")[0], name) for name in SHAPES
    ]
    for name in board.entries.MEASURES:
        found = entry["overall"][name]
        assert 0 <= found["low"] <= found["estimate"] <= found["high"] <= 1
    assert entry["classes"]["teapot"]["shapes"] == 3
    assert entry["verdicts"]["valid"] == sum(shape["verified_srvr"] > 0 for shape in entry["shapes"])
    for shape in entry["shapes"]:
        assert shape["accuracy"] * 12 % 1 == pytest.approx(0, abs=1e-9)  # a view of each of the tiles
        assert shape["trusted"] + shape["failing"] <= 1
        assert 12 <= shape["evaluations"]["maps"] <= 120
    assert entry["overall"]["trusted_top1"]["estimate"] > 0
    assert entry["evaluations"]["maps"] == sum(shape["evaluations"]["maps"] for shape in entry["shapes"])


def test_the_map_by_top1_is_that_of_evaluate(small: SimpleNamespace) -> None:
    from lightning_semrob.commands.evaluate import evaluate
    from lightning_semrob.trust.record import read_maps

    folder = small.folder / "plain"
    shapes = ["--data.shapes=[teapot:0]", "--data.networks=[tiny_network:build]", "--model.finders=[naive]"]
    evaluate(
        [
            f"--config={small.folder / 'small-1.yaml'}",
            *shapes,
            f"--output={folder}",
            "--trainer.enable_progress_bar=false",
        ]
    )
    (record,) = read_maps(folder)
    first = small.entry["shapes"][0]
    assert (record.score, first["shape_id"]) == ("top1", record.shape_id)
    assert (first["trusted_top1"], first["failing_top1"]) == (record.map.trusted_share, record.map.failing_share)
    assert (first["accuracy"], first["mean_score"]) == (record.top1, record.map.first_mean)


def test_a_second_start_measures_nothing(
    small: SimpleNamespace, board: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning_semrob.functions import RenderedFunction

    runs = small.folder / "runs" / "small-1" / "entry" / "ink"
    maps = json.loads((runs / "maps.json").read_text())
    last = list(maps)[-1]
    (runs / "maps.json").write_text(json.dumps({key: value for key, value in maps.items() if key != last}))
    (runs / "job" / "summary.json").unlink()
    small.path.unlink()
    asked: list[int] = []
    compute = RenderedFunction._compute

    def count(self: RenderedFunction, u: Any) -> Any:
        asked.append(u.shape[-2])
        return compute(self, u)

    monkeypatch.setattr(RenderedFunction, "_compute", count)
    assert board.run.main(small.arguments) == 0
    assert f"{len(SHAPES)} finished runs taken over" in capsys.readouterr().out
    # The maps of the last shape; of the runs at most u0 again.
    assert sum(asked) < maps[last]["evaluations"]["maps"] + 10 * len(SHAPES)
    assert {**json.loads(small.path.read_text()), "date": ""} == {**small.entry, "date": ""}
    small.path.write_text(small.path.read_text().replace(small.entry["date"], "2001-01-01"))
    assert board.run.main(small.arguments) == 0
    assert json.loads(small.path.read_text())["date"] == "2001-01-01"  # an entry that stays keeps its date


@pytest.mark.slow
def test_a_check_measures_again(
    small: SimpleNamespace, board: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert board.run.main([*small.arguments, "--check"]) == 0
    said = capsys.readouterr().out
    assert "the same to 0.0001" in said
    assert "taken over" not in said
    assert not (small.folder / "runs" / "small-1" / "check" / "ink").exists()  # nor will the next one take over


def test_a_check_names_what_differs(
    small: SimpleNamespace, board: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    new = copy.deepcopy(small.entry)
    new["shapes"][0]["accuracy"] = 2.0
    new["versions"]["torch"] = "1.0"
    new["overall"]["verified_srvr"]["low"] += 1e-9
    (line,) = board.run.compare(small.entry, new, 1e-6)
    assert line.startswith("shapes[0].accuracy: ")
    assert line.endswith("became 2.0")
    assert "note: versions.torch: " in capsys.readouterr().out


def test_runs_of_other_weights_are_refused(small: SimpleNamespace, board: SimpleNamespace) -> None:
    identity = small.folder / "runs" / "small-1" / "entry" / "ink" / "weights_sha256"
    known = identity.read_text()
    assert known == small.entry["weights_sha256"]
    identity.write_text("0" * 64)
    with pytest.raises(ValueError, match="runs of other weights of 'tiny_network:build': delete the folder"):
        board.run.main(small.arguments)
    identity.write_text(known)


def test_a_label_stands_for_one_network(small: SimpleNamespace, board: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"is the entry of 'tiny_network:build': give another --label"):
        board.run.main(["tiny_network:build_other", "--label=ink", *small.options])
    with pytest.raises(ValueError, match=r"no entry .* to check"):
        board.run.main(["tiny_network:build", "--label=other", "--check", *small.options])


def test_names_without_paths(board: SimpleNamespace) -> None:
    name = "torchvision/squeezenet1_0@../shared/weights/squeezenet1_0.pth?normalize=imagenet255"
    assert board.entries.public_name(name) == "torchvision/squeezenet1_0@squeezenet1_0.pth?normalize=imagenet255"
    assert board.entries.default_label(name) == "torchvision/squeezenet1_0"
    assert board.entries.file_name("torchvision/squeezenet1_0") == "torchvision-squeezenet1_0"
    assert board.entries.public_name("open_clip/ViT-B-32?weights=openai") == "open_clip/ViT-B-32?weights=openai"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": {"name": "small-1", "sha256": "0"}}, "the protocol is now small-1"),
        ({"schema": 0}, "schema 0"),
        ({"label": None}, "label = None"),
        ({"weights_sha256": 3}, "weights_sha256 = 3"),
        ({"network": "small_resnet@/home/me/x.pth"}, "holds a path"),
        ({"more": 1}, "unknown fields"),
        ({"u0_robust": 99}, r"\['u0_robust'\] do not follow"),
        ({"overall": {"trusted": {"estimate": 1.0}}}, r"\['overall'\] do not follow"),
    ],
)
def test_an_entry_that_does_not_fit(
    small: SimpleNamespace, board: SimpleNamespace, change: dict[str, Any], message: str
) -> None:
    protocol = board.entries.load_protocol(small.folder / "small-1.yaml")
    with pytest.raises(ValueError, match=message):
        board.entries.check_entry(small.entry | change, protocol)


def test_the_hash_is_of_what_decides_the_numbers(board: SimpleNamespace, tmp_path: Path) -> None:
    text = (board.entries.FOLDER / "embedded-3.yaml").read_text()
    (tmp_path / "a.yaml").write_text("# another comment\n" + text)
    (tmp_path / "b.yaml").write_text(text.replace("eps_v: 0.05", "eps_v: 0.06"))
    original, same, other = (
        board.entries.load_protocol(name).sha256 for name in ("embedded-3", tmp_path / "a.yaml", tmp_path / "b.yaml")
    )
    assert original == same != other
    with pytest.raises(ValueError, match="no protocol 'embeded-1': did you mean 'embedded-3'"):
        board.entries.load_protocol("embeded-1")
    (tmp_path / "c.yaml").write_text(text.replace("  score: softmax", "  networks: [efficientnet_lite0]"))
    with pytest.raises(ValueError, match="names data"):
        board.entries.load_protocol(tmp_path / "c.yaml")


def test_the_table_ranks_and_compares(small: SimpleNamespace, board: SimpleNamespace) -> None:
    protocol = board.entries.load_protocol(small.folder / "small-1.yaml")
    weaker = copy.deepcopy(small.entry)
    for shape in weaker["shapes"]:
        shape["trusted_top1"] = 0.0
    weaker["label"] = "none"
    text = board.table.section(protocol, [small.entry, weaker])
    assert text.index("| ink |") < text.index("| none |")
    assert text.count("| ink | none |") == 5  # four measures, and the table of classes
    assert "p for all 4 (Holm)" in text
    assert "6 shapes of 2 classes" in text
    with pytest.raises(ValueError, match=r"needs '<!-- leaderboard embedded-3 -->'"):
        board.table.rendered("no markers")
