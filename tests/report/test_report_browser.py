"""The report page in a real browser: Debian's Chromium, headless, driven by Playwright (which downloads none)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning_semrob.commands.evaluate import evaluate
from lightning_semrob.evaluation.folder import environment_of
from lightning_semrob.report.page.pictures import saved_grid
from lightning_semrob.report.page.training import write_training_report
from tests.report.test_report import SMALL, hostile_page

pytest.importorskip("plotly", reason="plotly is absent: pip install plotly")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent: pip install playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium")

HOSTILE = "a'\"><img src=x onerror=document.title='taken'>&amp;"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job whose second shape has a hostile name."""
    import trimesh

    folder = tmp_path_factory.mktemp("browser")
    mesh = folder / f"{HOSTILE}.ply"
    trimesh.creation.box((1.0, 0.5, 2.0)).export(mesh)
    shapes = json.dumps(["teapot", f"{mesh}=dumbbell"])
    finders = ["--model.finders=[oir_b,verified]", "--model.verified_evaluations=240"]
    trust = ["--trust.max_evaluations=90", "--trust.tiles=[6,3]"]
    evaluate([*SMALL, *finders, *trust, "--data.shapes", shapes, "--output", str(folder / "out")])
    return folder / "out"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Visit:
    """An open page and what went wrong on it."""

    def __init__(self, browser: Any, folder: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.trouble.append(message.text) if message.type != "log" else None)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto((folder / "report.html").as_uri(), timeout=120_000)
        self.page.wait_for_selector("html[data-ready]", timeout=120_000)

    def middle(self, network: int) -> tuple[float, float]:
        """Screen position of the middle of a region of the first shape's map."""
        region = self.page.evaluate(
            "network => JSON.parse(document.getElementById('data').textContent).shapes[0].regions"
            ".find(r => r.network === network && r.outlines.length).outlines[0]",
            network,
        )
        plot = self.page.locator(f"#shape-0 .map[data-network='{network}']")
        plot.scroll_into_view_if_needed()
        area = plot.locator(".nsewdrag").bounding_box()
        x, y = (region[0] + region[1]) / 2 % 360, (region[2] + region[3]) / 2
        return area["x"] + area["width"] * x / 360, area["y"] + area["height"] * (90 - y) / 100


@pytest.fixture
def desktop(browser: Any, folder: Path) -> Iterator[Visit]:
    visit = Visit(browser, folder, viewport={"width": 1280, "height": 900})
    yield visit
    assert not visit.trouble
    assert all(url.startswith(("file:", "blob:", "data:")) for url in visit.requests)
    visit.context.close()


def test_the_first_screen_is_where_to_trust_and_the_verdict_follows(desktop: Visit) -> None:
    page = desktop.page
    assert page.locator("main > section").first.get_attribute("id") == "trust"
    assert page.locator(".headline li").count() == 6
    tiles = page.locator("#trust svg").first.bounding_box()
    assert tiles["y"] + tiles["height"] < 900
    assert page.locator("#trust .views img").first.is_visible()
    assert page.locator(".verdicts tbody tr").count() == 2
    verdict, findings = (page.locator(name).bounding_box() for name in ("#verdict", ".findings"))
    assert findings["y"] + findings["height"] - verdict["y"] < 900
    assert page.locator(".map .main-svg").count() >= 4
    assert page.locator(".curve .main-svg").count() >= 1


def test_hover_shows_score_and_rendering(desktop: Visit) -> None:
    x, y = desktop.middle(0)
    picture = desktop.page.locator("#shape-0 .now .picture")
    desktop.page.mouse.move(x, y)
    desktop.page.wait_for_selector("#shape-0 .hoverlayer .hovertext")
    shown = desktop.page.locator("#shape-0 .where").inner_text()
    before = picture.evaluate("node => node.style.backgroundPosition")
    assert picture.evaluate("node => node.style.backgroundImage").startswith('url("blob:')
    label = desktop.page.locator("#shape-0 .hovertext").first.text_content()
    score = desktop.page.locator("#shape-0 .scores td.number").first.inner_text()
    assert label.endswith(f": {score}")
    desktop.page.mouse.move(x + 200, y, steps=4)
    desktop.page.wait_for_function("old => document.querySelector('#shape-0 .where').textContent !== old", arg=shown)
    assert picture.evaluate("node => node.style.backgroundPosition") != before


def test_click_shows_the_region(desktop: Visit) -> None:
    desktop.page.mouse.click(*desktop.middle(1))
    desktop.page.wait_for_selector("#shape-0 .details dl")
    details = desktop.page.locator("#shape-0 .details").inner_text()
    for word in ("tiny_network:build_other", "azimuth", "elevation", "status", "growing", "mean of f", "worst view"):
        assert word in details
    assert desktop.page.locator("#shape-0 .picked:visible").count() >= 1
    assert desktop.page.locator("#shape-0 tr[aria-current=true]").count() == 1
    assert desktop.page.locator("#shape-0 .details .picture").count() >= 2


def test_the_keyboard_reaches_everything(desktop: Visit) -> None:
    page = desktop.page
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("() => { const n = document.activeElement; return n.className || n.id || n.tagName; }")
        )
        if "map" in reached[-1].split():
            break
    assert {"skip", "jump", "INPUT"} <= set(reached)
    assert "map" in reached[-1].split()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.evaluate("document.querySelector('#shape-0 .map').focus()")
    before = page.locator("#shape-0 .where").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.locator("#shape-0 .where").inner_text() != before
    button = page.locator("#shape-0 .regions button").first
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#shape-0 .details dl").count() == 1


def test_methods_can_be_hidden(desktop: Visit) -> None:
    lines = desktop.page.locator("#shape-0 .map").first.locator(".scatterlayer .trace")
    before = lines.count()
    desktop.page.locator("input[data-method='0']").uncheck()
    assert lines.count() < before
    desktop.page.locator("input[data-method='0']").check()
    assert lines.count() == before


def test_a_hostile_name_is_only_text(desktop: Visit) -> None:
    page = desktop.page
    assert HOSTILE in page.locator("#shape-1 h3").inner_text()
    page.locator("#shape-1 .regions button").first.click()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "taken"


def test_hostile_runs_run_nothing(browser: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(hostile_page(folder))
    visit = Visit(browser, tmp_path, viewport={"width": 1280, "height": 900})
    page = visit.page
    page.locator("#shape-1 .regions button").first.click()
    page.wait_for_selector("#shape-1 .details dl")
    assert "</script>" in page.locator("#shape-1 .details").inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "taken"
    # Were a text not escaped, the policy would still refuse its script.
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert page.title() != "1"
    assert any("Content Security Policy" in line for line in visit.trouble)
    visit.context.close()


def test_a_phone_needs_no_horizontal_scroll(browser: Any, folder: Path) -> None:
    visit = Visit(browser, folder, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    first = page.locator("#trust .headline").bounding_box()
    assert 0 < first["y"] < 740
    tiles = page.locator("#trust svg").first.bounding_box()
    assert first["y"] < tiles["y"]
    assert tiles["width"] > 250
    page.touchscreen.tap(*visit.middle(0))
    page.wait_for_selector("#shape-0 .details dl")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#shape-0 .here button[aria-pressed=true]").count() == 1
    assert not visit.trouble
    visit.context.close()


def test_it_prints(browser: Any, folder: Path, tmp_path: Path) -> None:
    visit = Visit(browser, folder, viewport={"width": 1280, "height": 900})
    visit.page.pdf(path=str(tmp_path / "page.pdf"), format="A4", print_background=True)
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    visit.page.emulate_media(media="print")
    assert not visit.page.locator(".bar").is_visible()
    assert not visit.page.locator("#shape-0 .view").is_visible()
    assert visit.page.locator("#shape-0 .regions").is_visible()
    assert not visit.trouble
    visit.context.close()


def test_the_page_of_a_training_shows_maps_side_by_side(browser: Any, folder: Path, tmp_path: Path) -> None:
    """The maps before and after on one screen, behind a section that says what was gained."""
    environment = environment_of(folder, trust=True)
    table = (["views", "verified SRVR"], [["clean", "15.0"], ["regions", "65.0"]])
    shutil.copy(folder / "maps.nc", tmp_path)
    findings = ["regions is more robust"]
    names = ["clean", "regions"]
    write_training_report(environment, tmp_path, folder, table, None, findings, names, saved_grid(folder))
    assert (tmp_path / "maps.png").stat().st_size > 1000
    visit = Visit(browser, tmp_path, viewport={"width": 1280, "height": 900})
    page = visit.page
    section = page.locator("#training")
    assert section.bounding_box()["y"] < page.locator("#verdict").bounding_box()["y"]
    assert section.locator("tbody tr").count() == 2
    section.locator("a[href='#regions']").click()
    before, after = (page.locator(f"#shape-0 .map[data-network='{k}']").bounding_box() for k in (0, 1))
    assert before["y"] == after["y"]
    assert before["x"] + before["width"] <= after["x"]
    assert not visit.trouble
    visit.context.close()
