"""Every config.yaml parses, and gives the same job again."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_semrob.commands.evaluate import EvaluateCLI
from lightning_semrob.evaluation.job import JobConfig

RENDERERS: list[Any] = [
    "rasterizer",
    {"class_path": "lightning_semrob.rendering.Rasterizer", "init_args": {"image_size": 24, "supersampling": 1}},
    {
        "class_path": "lightning_semrob.rendering.CallableRenderer",
        "init_args": {
            "images": "tests.rendering.test_rendering_callable:grey",
            "axes": [{"name": "azimuth", "low": 0.0, "high": 360.0, "periodic": True}],
            "image_size": 16,
        },
    },
]
DATA = st.fixed_dictionaries(
    {},
    optional={
        "networks": st.sampled_from([["small_resnet"], ["small_resnet?label=a b", "tiny_network:build"]]),
        "shapes": st.sampled_from([["teapot"], ["teapot:0-1", "dumbbell"]]),
        "space": st.sampled_from([["azimuth"], {"azimuth": None}, {"azimuth": [10.0, 20.5]}]),
        "initial_points": st.sampled_from([1, 3, [[15.0]]]),
        "renderer": st.sampled_from(RENDERERS),
        "score": st.sampled_from(["softmax", "margin"]),
        "gradient": st.sampled_from(["analytic", "finite"]),
        "precision": st.sampled_from(["32", "bf16"]),
        "density": st.sampled_from([None, {"azimuth": [1.0, 2.0]}]),
        "micro_batch_size": st.integers(1, 64),
    },
)
MODEL = st.fixed_dictionaries(
    {},
    optional={
        "finders": st.sampled_from([["naive"], ["oir_b", "verified"]]),
        "mode": st.sampled_from(["default", "paper"]),
        "num_iterations": st.one_of(st.none(), st.integers(1, 90)),
        "adversarial": st.booleans(),
        "eps_m": st.floats(0.1, 0.6),
        "verification": st.sampled_from(["growing", 0, 12]),
        "simultaneous": st.booleans(),
    },
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=DATA, model=MODEL, seed=st.integers(0, 2**32 - 1))
def test_what_is_written_parses_to_the_same(data: dict[str, Any], model: dict[str, Any], seed: int) -> None:
    data = {"space": ["azimuth"], **data}
    written = JobConfig(data, model, seed, accelerator="cpu").make().config
    known = yaml.safe_load(written)
    shared = {name: value for name, value in known["data"].items() if name != "seed"}
    again = JobConfig(
        shared, known["model"], seed=known["seed_everything"], trust=known.get("trust") or {}, accelerator="cpu"
    )
    assert again.make().config == written


def test_the_command_reads_what_a_job_writes(tmp_path: Any) -> None:
    for number, renderer in enumerate(RENDERERS):
        written = JobConfig({"space": ["azimuth"], "renderer": renderer}, accelerator="cpu").make().config
        file = tmp_path / f"{number}.yaml"
        file.write_text(written)
        assert EvaluateCLI([f"--config={file}", "--trainer.accelerator=cpu"]).result_config() == written
