"""The page that walks through a map: what it shows is right, and its server answers."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import torch
from PIL import Image

from lightning_semrob.commands import console as program
from lightning_semrob.commands.explore import application
from lightning_semrob.evaluation.environment import SemanticEnvironment
from lightning_semrob.finders import VerifiedFinder
from lightning_semrob.report.explore import Explorer, build_app


def environment(**changes: Any) -> SemanticEnvironment:
    arguments: dict[str, Any] = {
        "networks": ["tiny_network:build"],
        "shapes": ["teapot"],
        "initial_points": [[40.0, 20.0]],
        "image_size": 32,
        "micro_batch_size": 8,
    }
    return SemanticEnvironment(**(arguments | changes))


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer(environment(), steps=(6, 4), evaluations=80)


def test_the_view_is_that_of_f(explorer: Explorer) -> None:
    view = explorer.look([130.0, 35.0])
    f = environment()
    f.setup()
    assert view.score == pytest.approx(float(f.function(0, 0)(torch.tensor([[[130.0, 35.0]]]))), abs=1e-6)
    names = [name for name, _ in view.top]
    shares = [share for _, share in view.top]
    assert len(names) == 5
    assert "teapot" in names
    assert shares == sorted(shares, reverse=True)
    assert view.right == (names[0] == "teapot")
    assert dict(view.top)["teapot"] == pytest.approx(view.score, abs=1e-6)
    picture = Image.open(io.BytesIO(base64.b64decode(view.source.partition(",")[2])))
    assert picture.size == (32, 32)
    with pytest.raises(ValueError, match="outside the space"):
        explorer.look([0.0, 95.0])


def test_the_map_is_measured_once_with_its_point_and_box(explorer: Explorer) -> None:
    before = explorer.f.evaluations
    figure = explorer.figure([40.0, 20.0], ([350.0, 0.0], [380.0, 20.0]), "oir_b")
    field = figure["data"][0]
    f = environment()
    f.setup()
    u = torch.tensor([[[field["x"][4], field["y"][1]]]])
    assert field["z"][1][4] == pytest.approx(float(f.function(0, 0)(u)), abs=1e-5)
    assert (figure["data"][-1]["x"], figure["data"][-1]["y"]) == ([40.0], [20.0])
    assert figure["data"][1]["x"].count(None) == 2  # at both ends of the turn
    assert explorer.f.evaluations == before
    json.dumps(figure)


@pytest.mark.parametrize("method", ["naive", "oir_w", "verified"])
def test_the_box_grows_to_that_of_the_finder(explorer: Explorer, method: str) -> None:
    growing = explorer.grow(method, [40.0, 20.0])
    assert growing.a.shape == growing.b.shape == (len(growing.a), 2)
    assert growing.verdict in ("valid", "invalid", "undecided")
    assert growing.evaluations <= 80 + 8
    assert (growing.a <= torch.tensor([40.0, 20.0]) + 1e-9).all()
    assert (growing.b >= torch.tensor([40.0, 20.0]) - 1e-9).all()
    if method == "verified":
        found = VerifiedFinder(growth_evaluations=40, verification_evaluations=40).find(
            explorer.f, torch.tensor([[40.0, 20.0]]), explorer.space
        )
        torch.testing.assert_close(growing.b[-1], found.b[0])
        assert growing.status == found.status[0]
    text = explorer.describe(growing)
    assert growing.verdict in text
    assert "azimuth" in text


def test_boxes_grow_on_finite_differences() -> None:
    explorer = Explorer(environment(gradient="finite"), steps=(4, 3), evaluations=120)
    assert explorer.look([40.0, 20.0]).score == pytest.approx(
        float(explorer.f(torch.tensor([[[40.0, 20.0]]]))), abs=1e-6
    )
    growing = explorer.grow("oir_w", [40.0, 20.0])
    assert len(growing.a) > 1
    assert growing.evaluations <= 120 + 8


def test_one_network_and_one_shape() -> None:
    with pytest.raises(ValueError, match="one network and one shape, got 1 and 2"):
        Explorer(environment(shapes=["teapot", "dumbbell"]))
    with pytest.raises(ValueError, match="choose one of"):
        Explorer(environment(), steps=(4, 3)).grow("oir", [40.0, 20.0])


class Client:
    """The server of an application, asked as its page asks it."""

    def __init__(self, app: Any) -> None:
        self.client = app.server.test_client()

    def call(self, outputs: list[str], inputs: dict[str, Any], changed: str, state: dict[str, Any]) -> Any:
        def named(values: dict[str, Any]) -> list[dict[str, Any]]:
            return [
                {"id": key.split(".")[0], "property": key.split(".")[1], "value": value}
                for key, value in values.items()
            ]

        name = outputs[0] if len(outputs) == 1 else ".." + "...".join(outputs) + ".."
        split = [{"id": x.split(".")[0], "property": x.split(".")[1]} for x in outputs]
        body = {
            "output": name,
            "outputs": split[0] if len(outputs) == 1 else split,
            "inputs": named(inputs),
            "changedPropIds": [changed],
            "state": named(state),
        }
        answer = self.client.post("/_dash-update-component", json=body)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()["response"]


def test_the_server_answers(explorer: Explorer) -> None:
    pytest.importorskip("dash", reason="dash is absent: pip install dash")
    client = Client(build_app(explorer))
    page = client.client.get("/")
    assert page.status_code == 200
    assert "https://" not in page.get_data(as_text=True)
    assert "teapot seen by" in client.client.get("/_dash-layout").get_data(as_text=True)
    sliders = {"axis-0.value": 40.0, "axis-1.value": 20.0}
    shown = client.call(["picture.src", "score.children", "top.children"], sliders, "axis-0.value", {})
    assert shown["picture"]["src"].startswith("data:image/png;base64,")
    assert f"f = {explorer.look([40.0, 20.0]).score:.3f}" in shown["score"]["children"]
    click = {"map.clickData": {"points": [{"x": 120.0, "y": 30.0}]}}
    moved = client.call(["axis-0.value", "axis-1.value"], click, "map.clickData", {})
    assert [moved[f"axis-{k}"]["value"] for k in (0, 1)] == [120.0, 30.0]
    grown = client.call(
        ["boxes.data", "told.children", "step.max"],
        {"grow.n_clicks": 1} | sliders,
        "grow.n_clicks",
        {"method.value": "oir_b"},
    )
    boxes = grown["boxes"]["data"]
    expected = explorer.grow("oir_b", [40.0, 20.0])
    assert boxes["b"] == expected.b.tolist()
    assert grown["step"]["max"] == len(expected.a) - 1
    both = {"boxes.data": boxes, "clock.n_intervals": 1}
    begun = client.call(["step.value", "clock.disabled"], both, "boxes.data", {"step.value": 5})
    assert (begun["step"]["value"], begun["clock"]["disabled"]) == (0, False)
    going = client.call(["step.value", "clock.disabled"], both, "clock.n_intervals", {"step.value": 0})
    assert going["step"]["value"] >= 1
    drawn = client.call(["map.figure"], sliders | {"step.value": 1, "boxes.data": boxes}, "step.value", {})
    assert len(drawn["map"]["figure"]["data"]) == 4
    gone = client.call(
        ["boxes.data", "told.children", "step.max"],
        {"grow.n_clicks": 1} | sliders,
        "axis-0.value",
        {"method.value": "oir_b"},
    )
    assert gone["boxes"]["data"] is None


def test_the_command_builds_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("dash", reason="dash is absent: pip install dash")
    words = ["--shape=teapot", "--network=tiny_network:build", "--image_size=32", "--space=[distance]", "--steps=[4]"]
    app, config = application([*words, "--port=8051"])
    assert config.port == 8051
    assert app.server.test_client().get("/").status_code == 200
    assert {"report", "explore"} <= set(program.COMMANDS)
