"""Mistakes of every kind are one sentence with the remedy and exit code 2, before any work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_network import InkNetwork
from torch import Tensor, nn

from lightning_semrob.commands.console import main
from lightning_semrob.maps import SemanticMaps
from lightning_semrob.networks import build_network
from lightning_semrob.space import SemanticSpace

JOB = {
    "--data.networks": "[tiny_network:build]", "--data.shapes": "[teapot]", "--data.image_size": "32",
    "--data.initial_points": "1", "--model.finders": "[naive]", "--model.num_iterations": "2",
    "--model.verification": "8", "--report_grid": "[]", "--trainer.accelerator": "cpu",
    "--trainer.devices": "1",  # others would start the tests again
    "--trainer.enable_progress_bar": "false", "--data.runtime": "torch",
}  # fmt: skip
Said = Callable[..., str]


def build_without_gradient() -> nn.Module:
    """A network that cuts the way of gradients."""

    class Cut(InkNetwork):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    return Cut()


def build_half() -> nn.Module:
    """A network of 16-bit parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1000)).half()


def build_small() -> nn.Module:
    """A network of ten classes that says so only when it is built."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    network.num_classes, network.input_size = 10, 32  # type: ignore[assignment]
    return network


sys.modules["hostile_networks"] = sys.modules[__name__]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command says on its way to exit code 2."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(words)
        error = capsys.readouterr().err.strip()
        assert stopped.value.code == 2, error
        assert "Traceback" not in error
        assert "weights_only" not in error
        assert error.startswith("error: ")
        assert "\n" not in error
        return error

    return run


def job(output: Path, **settings: str) -> list[str]:
    changed = JOB | {f"--{name.replace('__', '.')}": value for name, value in settings.items()}
    return ["evaluate", *(f"{name}={value}" for name, value in changed.items()), f"--output={output}"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer__devices": "0"}, "trainer.devices=0"),
        ({"trainer__devices": "-1"}, "trainer.devices=-1"),
        ({"trainer__devices": "two"}, "trainer.devices=two"),
        ({"trainer__accelerator": "gpu"}, "gpu"),
        ({"model__verified_evaluations": "-5"}, "verified_evaluations must be at least 40"),
        ({"model__verified_evaluations": "3"}, "verified_evaluations must be at least 40"),
        ({"data__image_size": "100000"}, "image_size must lie in [8, 4096] pixels, got 100000"),
        ({"report_grid": "[100000,100000]"}, "10,000,000,000 views of a shape: 20,000 at most"),
        ({"data__networks": "[tiny_network:build,hostile_networks:build_half]"}, "has parameters of torch.float16"),
        (
            {"data__networks": "[tiny_network:build,hostile_networks:build_small]"},
            "'hostile_networks:build_small' has 10",
        ),
        ({"data__networks": "[tiny_network:build,small_resnet@gone.pt]"}, "there is no file"),
        (
            {"data__networks": "[hostile_networks:build_without_gradient]", "model__finders": "[oir_w]"},
            "'hostile_networks:build_without_gradient' passes no gradient",
        ),
    ],
)
def test_a_wrong_setting_leaves_no_job(settings: dict[str, str], message: str, said: Said, tmp_path: Path) -> None:
    if settings.get("trainer__accelerator") == "gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert message in said(*job(tmp_path / "job", **settings))
    assert not (tmp_path / "job" / "config.yaml").exists()


def test_a_corrected_network_goes_on_in_the_same_folder(said: Said, tmp_path: Path) -> None:
    """A network that never ran has no results that the folder would have to keep."""
    said(*job(tmp_path / "job", data__networks="[hostile_networks:build_small]"))
    main(job(tmp_path / "job"))
    assert (tmp_path / "job" / "runs.parquet").is_file()


@pytest.mark.parametrize("entry", ["84.5", "null", "true", "[1, x]", "{indices: [1], synset: 3.5}"])
def test_a_wrong_class_table(entry: str, said: Said, tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text(f"thing: {entry}\n")
    assert "class 'thing' has the" in said(*job(tmp_path / "job", data__class_table=str(tmp_path / "table.yaml")))


BROKEN = {
    "truncated.pt": lambda good: good[: len(good) // 2],
    "empty.pt": lambda good: b"",
    "half_a_string.pt": lambda good: b"\x80\x02]q\x00(X\x03",
    "no_pickle.pt": lambda good: b"hello",
    "no_magic.pt": lambda good: b"\x80\x02}X\x01\x00\x00\x00aK\x01s.",
    "no_memo.pt": lambda good: b"\x80\x02h\xff.",
    "no_mark.pt": lambda good: b"\x80\x02K\x01K\x02u.",
    "command.pt": lambda good: b"\x80\x02cos\nsystem\n.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_state_dict(name: str, said: Said, tmp_path: Path) -> None:
    torch.save(build_network("small_resnet?num_classes=10").backbone.state_dict(), tmp_path / "good.pt")
    (tmp_path / name).write_bytes(BROKEN[name]((tmp_path / "good.pt").read_bytes()))
    message = said(*job(tmp_path / "job", data__networks=f"[small_resnet@{tmp_path / name}]"))
    assert f"{tmp_path / name} was refused: it is not a file of tensors alone (" in message
    assert "()" not in message.partition("alone")[2].partition(";")[0]


@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_safetensors_file(keep: int, said: Said, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:keep])
    message = said(*job(tmp_path / "job", data__networks=f"[small_resnet@{tmp_path / 'x.safetensors'}]"))
    assert "was refused: it is not a file of tensors alone" in message


def test_an_empty_job_json(said: Said, tmp_path: Path) -> None:
    main(job(tmp_path))
    (tmp_path / "job.json").write_text("")
    assert "job.json" in said(*job(tmp_path))


@pytest.fixture
def maps(tmp_path: Path) -> str:
    made = SemanticMaps(torch.rand(1, 1, 4, 3), SemanticSpace.default(), ("n",), ("s",), ("teapot",))
    return str(made.save(tmp_path / "maps.nc"))


def test_numbers_of_the_other_commands(maps: str, said: Said, tmp_path: Path) -> None:
    assert "--points must be at least 1, got 0" in said("traps", maps, "--points=0", f"--output={tmp_path}")
    assert "--views must be at least 1, got 0" in said("audit", "--shapes", "teapot", "--views=0")
    network = ("--network=tiny_network:build", "--image_size=32")
    assert "--port must lie in [1, 65535], got 99999" in said("explore", "--port=99999", *network)
    words = ("maps", "--data.networks=[tiny_network:build]", "--data.shapes=[teapot]", "--data.image_size=32")
    for devices in ("0", "-1"):
        assert f"devices={devices}" in said(*words, f"--devices={devices}", "--accelerator=cpu")
    assert "is a folder" in said(*words, f"--output={tmp_path}", "--accelerator=cpu")
    assert "too large" in said(*words, "--maps.steps=[100000,100000]", "--accelerator=cpu")


def test_a_job_of_which_no_run_was_measured_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.obj").write_text("v 1 2\nf 1 2 3\n")
    with pytest.warns(UserWarning, match="is not measured"), pytest.raises(SystemExit) as stopped:
        main(job(tmp_path / "job", data__shapes=f"[{tmp_path / 'broken.obj'}=teapot]"))
    assert stopped.value.code == 1
    assert "none of the 1 runs was measured" in capsys.readouterr().err
    assert (tmp_path / "job" / "summary.json").is_file()


@pytest.mark.parametrize("text", ["", "{}\n", "nonsense\n"])
def test_emptied_statements_are_not_verified(text: str, said: Said, tmp_path: Path) -> None:
    main(job(tmp_path))
    (tmp_path / "statements.jsonl").write_text(text)
    assert "statements.jsonl" in said("verify", str(tmp_path), "--trust=true")


def test_a_home_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    main([*job(tmp_path)[:-1], "--output=~/job"])
    assert (tmp_path / "job" / "runs.parquet").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("text", ["x", "data: [1", "data: 3\nmodel: {}", "\x00", ""])
def test_a_configuration_that_is_none(text: str, said: Said, tmp_path: Path) -> None:
    main(job(tmp_path / "job", trust__max_evaluations="0"))
    (tmp_path / "job" / "config.yaml").write_text(text)
    folder = str(tmp_path / "job")
    for words in (["report", folder], ["verify", folder], ["merge", folder, f"--output={tmp_path / 'out'}"],
                  ["compare", folder, folder], job(tmp_path / "job", trust__max_evaluations="0")):  # fmt: skip
        assert "config.yaml" in said(*words)


def test_a_configuration_that_changed_since_its_runs(said: Said, tmp_path: Path) -> None:
    """Other numbers of the same name would be sampled again, joined or compared."""
    main(job(tmp_path / "job", trust__max_evaluations="0"))
    config = tmp_path / "job" / "config.yaml"
    config.write_text(config.read_text().replace("image_size: 32", "image_size: 48"))
    folder = str(tmp_path / "job")
    for words in (["report", folder], ["verify", folder, "--trust=true"], ["compare", folder, folder],
                  ["merge", folder, f"--output={tmp_path / 'out'}"]):  # fmt: skip
        assert "has changed since the runs beside it were written: undo that" in said(*words)


def test_a_broken_table_is_named(said: Said, tmp_path: Path) -> None:
    main(job(tmp_path / "job", trust__max_evaluations="0"))
    (tmp_path / "job" / "runs.parquet").write_bytes(b"PAR1")
    folder = str(tmp_path / "job")
    for words in (
        ["report", folder, "--trust=true"],
        ["compare", folder, folder],
        ["merge", folder, f"--output={tmp_path / 'out'}"],
    ):
        assert "runs.parquet' cannot be read (" in said(*words)
