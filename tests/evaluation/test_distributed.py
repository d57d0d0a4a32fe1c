"""One process or several, one machine or two: the same numbers, every run once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml
from processes import free_port, in_processes

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import RunFolder
from lightning_semrob.trust.record import MAPS_FILE, read_records

JOB = [
    "--data.networks=[tiny_network:build,tiny_network:build_other]", "--data.shapes=[teapot,dumbbell,teapot:1]",
    "--data.image_size=32", "--data.initial_points=1", "--model.finders=[naive,oir_b,oir_w,verified]",
    "--model.num_iterations=4", "--model.verified_evaluations=120", "--report_grid=[]", "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false", "--trust.tiles=[4,2]",
]  # fmt: skip
ORDER = ["network", "shape_id", "point", "method"]


def table(folder: Path) -> list[dict[str, object]]:
    rows = pyarrow.parquet.read_table(folder / "runs.parquet").to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in ORDER])


def summary_of(folder: Path) -> dict[str, object]:
    """Without what depends on time and on the number of processes."""
    summary: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return {name: value for name, value in summary.items() if "seconds" not in name and name != "processes"}


def maps_of(folder: Path) -> list[str]:
    """The trust maps, in the order of the file."""
    return [record.line() for record in read_records(folder / MAPS_FILE)]


def words_of(repository: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": f"{repository}:{repository / 'tests'}", "OMP_NUM_THREADS": "1"}
    return [str(repository / "evaluate.py"), *words], environment


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job in one process."""
    folder = tmp_path_factory.mktemp("one")
    evaluate([*JOB, "--output", str(folder)])
    return folder


def assert_same(folder: Path, one: Path) -> None:
    """Bounds, statuses, samples and SRVR; what was carried out is what the table says, so no run was repeated."""
    assert table(folder) == table(one)
    assert maps_of(folder) == maps_of(one)
    summary = summary_of(folder)
    assert summary == summary_of(one)
    kinds = ("evaluations", "verification_evaluations", "audit_evaluations")
    assert summary["executed_evaluations"] == sum(row[kind] or 0 for row in table(one) for kind in kinds)  # type: ignore[misc]


@pytest.mark.parametrize("devices", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_give_the_numbers_of_one(devices: int, one: Path, repository: Path, tmp_path: Path) -> None:
    """Three shapes and two networks divide by neither number."""
    words, environment = words_of(repository, *JOB, f"--trainer.devices={devices}", f"--output={tmp_path}")
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{devices} processes: start-up" in done.stdout
    assert_same(tmp_path, one)


def test_task_order_and_logical_batch_do_not_matter(one: Path, tmp_path: Path) -> None:
    """Shapes in another order, and each shape in a job of its own: rows equal to 1e-6."""
    names = [name for name in table(one)[0] if name.startswith(("a_", "b_", "mean", "variance", "worst"))]
    reversed_job = [word.replace("[teapot,dumbbell,teapot:1]", "[teapot:1,dumbbell,teapot]") for word in JOB]
    alone = [word.replace("[teapot,dumbbell,teapot:1]", "[dumbbell]") for word in JOB]
    expected = {tuple(row[name] for name in ORDER): row for row in table(one)}
    for job, folder in ((reversed_job, tmp_path / "reversed"), (alone, tmp_path / "alone")):
        evaluate([*job, f"--output={folder}"])
        for row in table(folder):
            known = expected[tuple(row[name] for name in ORDER)]
            assert (row["status"], row["verdict"], row["evaluations"]) == (
                known["status"], known["verdict"], known["evaluations"]
            )  # fmt: skip
            for name in names:
                assert row[name] == pytest.approx(known[name], abs=1e-6), name


def test_every_process_goes_on_from_what_the_first_one_read(one: Path, tmp_path: Path) -> None:
    """Started by torchrun or SLURM, the second process is there while the old runs still lie in the folder."""
    shutil.copytree(one, tmp_path / "job")

    def start(rank: int) -> None:
        time.sleep(0 if rank else 2)
        evaluate([*JOB, "--trainer.devices=2", "--overwrite=true", f"--output={tmp_path / 'job'}"])

    in_processes(2, start)
    assert_same(tmp_path / "job", one)


def test_a_shape_that_another_process_could_not_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.obj").write_text("this is no mesh\n")
    job = [word.replace("dumbbell,teapot:1", f"{tmp_path / 'broken.obj'}=dumbbell") for word in JOB]

    def start(rank: int) -> list[str]:
        with warnings.catch_warnings(record=True) as said:
            warnings.filterwarnings("always", "shape .* is not measured")
            evaluate([*job, "--model.finders=[naive]", "--trainer.devices=2", f"--output={tmp_path / 'out'}"])
        return [str(warning.message).partition(":")[0] for warning in said]

    first, second = in_processes(2, start)
    assert list(summary_of(tmp_path / "out")["not_measured"]) == ["broken"]  # type: ignore[call-overload]
    assert (first, second) == (["shape 'broken' is not measured"], [])


@pytest.mark.slow
def test_two_nodes_by_torchrun(one: Path, repository: Path, tmp_path: Path) -> None:
    port = free_port()
    words, environment = words_of(
        repository, *JOB, "--trainer.num_nodes=2", "--trainer.devices=1", f"--output={tmp_path}"
    )
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={rank}", "--nproc_per_node=1",
             "--master_addr=127.0.0.1", f"--master_port={port}", *words],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [node.communicate(timeout=400) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert sum(out.count("How the runs ended") for out, _ in outputs) == 1
    assert_same(tmp_path, one)


@pytest.mark.slow
def test_slurm_preemption_requeues_and_goes_on(repository: Path, tmp_path: Path) -> None:
    """Lightning's own means: SIGUSR1 saves a checkpoint and calls ``scontrol requeue``; the next start goes on."""
    calls = tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    scontrol.chmod(0o755)
    job = [word.replace("tiny_network:build,tiny_network:build_other", "tiny_network:build_slow") for word in JOB]
    job += [f"--trainer.default_root_dir={tmp_path / 'checkpoints'}", f"--output={tmp_path / 'job'}"]
    words, environment = words_of(repository, *job)
    environment |= {
        "PATH": f"{tmp_path / 'bin'}:{environment['PATH']}", "SLURM_JOB_ID": "17", "SLURM_NTASKS": "1",
        "SLURM_JOB_NAME": "semrob", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_PROCID": "0",
        "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True)
    folder = RunFolder(tmp_path / "job")
    end = time.monotonic() + 240
    while not list((folder.path / "parts").glob("*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    while not calls.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()  # what SLURM does to a job that is requeued
    process.communicate()
    assert calls.read_text() == "requeue 17\n"
    kept = folder.load_parts()
    again = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{len(kept)} finished runs taken over" in again.stdout
    evaluate([*job[:-1], f"--output={tmp_path / 'whole'}"])
    assert table(tmp_path / "job") == table(tmp_path / "whole")


def test_the_slurm_example_is_a_command_that_parses(repository: Path) -> None:
    """The arguments of the job script are those of ``evaluate.py``."""
    from lightning_semrob.commands.evaluate import EvaluateCLI

    script = (repository / "examples" / "slurm.sh").read_text().replace("\\\n", " ")
    (line,) = [line for line in script.splitlines() if line.startswith("srun ")]
    words = line.split("evaluate.py", 1)[1].split()
    assert "--trainer.num_nodes=2" in words
    kept = [word for word in words if not word.startswith(("--trainer.num_nodes", "--trainer.devices"))]
    cli = EvaluateCLI([*kept, "--trainer.accelerator=cpu"])
    assert yaml.safe_load(cli.result_config())["data"]["networks"]


@pytest.mark.slow
def test_what_only_the_first_process_finds_out_ends_all_of_them(repository: Path, tmp_path: Path) -> None:
    """The others are starting while the first one probes the networks; they exit and say nothing."""
    (tmp_path / "batch_network.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        return x.mean((1, 2, 3))[:, None].expand(-1, 1000) - x.mean()\n\n\nbuild = Net\n"
    )
    words = ["--data.networks=[batch_network:build]", "--data.image_size=32", "--trainer.devices=2"]
    done = subprocess.run(
        [sys.executable, str(repository / "evaluate.py"), *words, f"--output={tmp_path / 'job'}"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{repository}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert "depend on the other pictures of its batch" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "job" / "config.yaml").exists()
