"""The page on which readers try models: as it is committed, in a real browser, and how its networks are exported."""

import base64
import functools
import gzip
import hashlib
import http.server
import importlib.util
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from browser_fixtures import AXE, CHROMIUM, Browser

from thaw.choices import create
from thaw.demo.export import LARGE, TOLERANCE, TOLERANCE_SHRUNK, Estimate, difference, export, shrink
from thaw.demo.page import HERE, RUNTIME
from thaw.diffusion.objectives import Noise
from thaw.errors import ThawError
from thaw.model import Model
from thaw.params import Choice, read_params, read_yaml
from thaw.results.layout import Artifacts
from thaw.stages import demo

ARTIFACTS = Artifacts(Path(__file__).parents[1])
PAGE, GOLDEN = ARTIFACTS.demo("demo")
MOST = 8_000_000
"""Bytes of the page."""

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
with_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxscript"))), reason="the extra `demo` is not installed"
)


# The committed page


def test_the_page_is_small() -> None:
    assert PAGE.stat().st_size <= MOST


def test_the_page_needs_nothing_beside_it_and_forbids_itself_to_ask() -> None:
    page = re.sub(r'<script type="text/plain".*?</script>', "", PAGE.read_text())
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "connect-src data:" in policy[1]


def test_the_runtime_is_the_one_that_version_says_and_has_its_licence_beside_it() -> None:
    vendor = HERE / "vendor"
    package, _, *lines = (vendor / "VERSION").read_text().splitlines()
    assert re.fullmatch(r"onnxruntime-web \d+\.\d+\.\d+", package)
    hashes = {f"{Path(name).name}.gz": expected for expected, name in map(str.split, lines)}
    assert set(hashes) == set(RUNTIME.values())
    page = PAGE.read_text()
    for file, expected in hashes.items():
        content = (vendor / file).read_bytes()
        assert hashlib.sha256(gzip.decompress(content)).hexdigest() == expected
        assert base64.b64encode(content).decode() in page
    assert "MIT License" in (vendor / "LICENSE").read_text()


def test_the_page_has_the_scripts_and_the_variants_of_today() -> None:
    page = PAGE.read_text()
    for name in ("page.css", "diffusion.js", "page.js"):
        assert (HERE / name).read_text() in page, f"`dvc repro demo` brings the page up to date with {name}"
    found = re.search(r'id="config">(.*?)</script>', page)
    assert found is not None
    models = json.loads(found[1])["models"]
    assert {name: about["variant"] for name, about in models.items()} == dict(
        read_params(ARTIFACTS.params).demos["demo"]
    )
    assert max(about["difference"] for about in models.values()) <= TOLERANCE_SHRUNK


# The page in a browser


def opened(browser: Browser, page: Path | str = PAGE, width: int = 1280, **media: str) -> None:
    """Load the page, and wait for its models."""
    browser.open("about:blank", width)  # or another fragment of the address would load nothing
    browser.open(page, width, **media)
    said = until(browser, "document.getElementById('runtime')?.textContent", r"ready|cannot|rror|ailed")
    assert "ready" in said, said


def until(browser: Browser, expression: str, pattern: str) -> str:
    """The value of an expression once it matches."""
    for _ in range(600):
        said = browser.tell(expression) or ""
        if re.search(pattern, said):
            return str(said)
        time.sleep(0.1)
    raise AssertionError(f"{expression} stays {said!r}")


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Browser:
    opened(browser)
    return browser


@pytest.fixture
def address() -> Iterator[str]:
    """The page served by HTTP on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(PAGE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{PAGE.name}"
        server.shutdown()


COMPARED = """(async (golden) => {
  const { alphaBars, subsequence, degradations, denoiser, sampling, latent, blurLatent, zoomLatent, data } = thaw;
  await thaw.runtime;
  await latent("blur", { uniform: () => 0, normal: (n) => new Float32Array(n) });
  const floats = (values) => values && Float32Array.from(values);
  const found = {};
  const hold = (name, actual, expected) => {
    const gaps = expected.map((value, i) => Math.abs(value - actual[i])); // NaN where one is missing
    found[name] = actual.length === expected.length ? Math.max(...gaps) : NaN;
  };
  for (const { schedule, alphaBar } of golden.schedules) {
    hold(schedule.name, alphaBars(schedule, 1000).filter((_, t) => t % 50 === 0), alphaBar);
  }
  for (const { start, count, steps } of golden.steps) hold(`${start} in ${count}`, subsequence(start, count), steps);
  for (const { degradation, t, x, source, z, estimate } of golden.degraded) {
    hold(`${degradation} ${t}`, degradations[degradation].degrade(floats(x), t, floats(source)), z);
    if (estimate) hold(`estimate ${degradation} ${t}`, await denoiser(degradation)(floats(z), t), estimate);
  }
  for (const { degradation, sampler, steps, z, noise, x } of golden.chains) {
    let used = 0;
    const normal = (n) => floats(noise).subarray(used, (used += n));
    const sample = sampling(degradation, sampler, normal);
    hold(`${degradation} ${sampler.name}`, await sample(floats(z), steps), x);
  }
  const [blurred, zoomed] = golden.latents;
  hold("latent blur", blurLatent(data.gaussians, blurred.index, blurred.components), blurred.z);
  const side = Math.sqrt(zoomed.centre.length);
  const rows = Array.from({ length: side }, (_, i) => zoomed.centre.slice(i * side, (i + 1) * side));
  hold("latent zoom", zoomLatent(rows, thaw.config.models.zoom.latent, zoomed.normals, thaw.config.pixels), zoomed.z);
  return found;
})"""


@in_chromium
def test_javascript_computes_what_python_does(tab: Browser) -> None:
    found = tab.tell(f"{COMPARED}({GOLDEN.read_text()})")
    assert len(found) >= 30
    assert {name: gap for name, gap in found.items() if gap is None or not gap <= 1e-3} == {}


@in_chromium
def test_it_asks_nothing_of_any_network_and_says_nothing_in_the_console(browser: Browser) -> None:
    browser.call("Network.enable")
    opened(browser)
    browser.tell("document.getElementById('sample').requestSubmit()")
    until(browser, "document.getElementById('sample-status').textContent", "^Sampled")
    assert browser.problems() == []
    sent = [said["params"] for said in browser.said if said.get("method") == "Network.requestWillBeSent"]
    asked = [request["request"]["url"] for request in sent]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert [url for url in asked if url.startswith("file:")] == [PAGE.as_uri()]
    browser.call("Network.disable")


@in_chromium
def test_it_runs_from_http_as_from_a_file(browser: Browser, address: str) -> None:
    opened(browser, address)
    browser.tell("document.getElementById('sample').requestSubmit()")
    until(browser, "document.getElementById('sample-status').textContent", "^Sampled")
    assert browser.problems() == []


PIXELS = """(() => {
  const canvas = document.getElementById('%s');
  return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data].join();
})()"""


@in_chromium
def test_the_same_seed_gives_the_same_images_and_stands_in_the_address(browser: Browser) -> None:
    seen = []
    for seed in (7, 8, 7):
        opened(browser, f"{PAGE.as_uri()}#seed={seed}&cold=zoom&steps=10&sampler=ddim")
        until(browser, "document.getElementById('sample-status').textContent", f"^Sampled with seed {seed} ")
        seen.append([browser.tell(PIXELS % name) for name in ("ddpm-sample", "cold-sample")])
    assert seen[0] == seen[2]
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]
    assert browser.tell("document.getElementById('address').href") == browser.tell("location.href")
    assert browser.tell("document.getElementById('next').click(), location.hash").startswith("#seed=8&cold=zoom")


@in_chromium
def test_a_digit_is_drawn_degraded_as_the_slider_moves_and_restored(browser: Browser) -> None:
    opened(browser)
    browser.tell("document.getElementById('clear').click()")
    blank = browser.tell(PIXELS % "degraded")
    box = browser.tell("(({x, y, width}) => [x, y, width])(document.getElementById('drawing').getBoundingClientRect())")
    for kind, share in (("mousePressed", 0.25), ("mouseMoved", 0.5), ("mouseMoved", 0.75), ("mouseReleased", 0.75)):
        browser.call("Input.dispatchMouseEvent", type=kind, x=box[0] + box[2] / 2, y=box[1] + box[2] * share,
                     button="left", buttons=1, clickCount=1)  # fmt: skip
    drawn = browser.tell(PIXELS % "degraded")
    assert drawn != blank
    move = """(t) => { const slider = document.getElementById('severity'); slider.value = t;
                       slider.dispatchEvent(new Event('input')); }"""
    browser.tell(f"({move})(800)")
    assert browser.tell(PIXELS % "degraded") != drawn
    for button, how in (("directly", "in one step"), ("stepwise", "in 10 steps")):
        browser.tell(f"document.getElementById('{button}').click()")
        until(browser, "document.getElementById('restored-how').textContent", how)
    browser.tell(f"({move})(0)")
    assert browser.tell("document.getElementById('restored-how').textContent") == "", "it was of another z"


@in_chromium
def test_the_schedule_bends_to_where_it_is_dragged(tab: Browser) -> None:
    tab.tell("document.getElementById('plot').scrollIntoView(), 0")
    box = tab.tell(
        "(({x, y, width, height}) => [x, y, width, height])(document.getElementById('plot').getBoundingClientRect())"
    )
    for name in ("linear", "constant"):
        tab.tell(f"document.querySelector('[value={name}]').click()")
        x, y = box[0] + box[2] * 0.25, box[1] + box[3] * 0.5
        tab.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
        tab.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", buttons=0, clickCount=1)
        line = tab.tell("document.querySelector('#plot .chosen').getAttribute('d')")
        at = dict(point.split(",") for point in line[1:].split("L"))
        assert float(at["250"]) == pytest.approx(210, abs=10), name


@in_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, width: int) -> None:
    opened(browser, width=width)
    assert browser.tell("document.documentElement.scrollWidth") <= width


@in_chromium
def test_only_the_result_is_shown_where_motion_is_not_wanted(browser: Browser) -> None:
    opened(browser, prefers_reduced_motion="reduce")
    watch = """(() => { const canvas = document.getElementById('ddpm-sample'); let widths = 0;
                 new MutationObserver((all) => (window.painted = widths += all.length))
                   .observe(canvas, { attributes: true, attributeFilter: ['aria-label'] }); })()"""
    browser.tell(watch)
    browser.tell("document.getElementById('sample').requestSubmit()")
    until(browser, "document.getElementById('sample-status').textContent", "^Sampled")
    assert browser.tell("window.painted") == 1


@in_chromium
@pytest.mark.parametrize(
    ("lacking", "idle"), [("delete window.DecompressionStream", 5), ("WebAssembly.validate = () => false", 4)]
)
def test_it_says_what_a_browser_lacks_and_does_the_rest(browser: Browser, lacking: str, idle: int) -> None:
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=lacking)["identifier"]
    browser.open(PAGE, 1280)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    until(browser, "document.getElementById('runtime').textContent", "This browser cannot")
    assert browser.tell("document.querySelectorAll('button:disabled').length") == idle
    before = browser.tell(PIXELS % "scheduled")
    browser.tell("document.querySelector('[value=linear]').click()")
    assert browser.tell(PIXELS % "scheduled") != before
    assert [said for said in browser.problems() if said["method"] == "Runtime.exceptionThrown"] == []


@in_chromium
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there; AXE_CORE names its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, scheme: str) -> None:
    opened(browser, prefers_color_scheme=scheme)
    browser.tell(f"{AXE.read_text()};0")
    assert browser.tell("axe.run().then((all) => all.violations.map((v) => [v.id, v.impact, v.nodes.length]))") == []


# How it is made


@pytest.fixture
def small() -> Model:
    """A model of a small network that nobody trained; of a model, only what an estimate is made of."""
    torch.manual_seed(0)
    degradation = create(
        "degradation", Choice.model_validate({"name": "gaussian_noise", "steps": 10, "schedule": {"name": "cosine"}}),
        "degradation", shape=(1, 12, 12), data=None, root=None,
    )  # fmt: skip
    network = create("network", Choice.model_validate({"name": "convnext_unet", "widths": [8, 16]}), "network",
                     shape=(1, 12, 12), key="network")  # fmt: skip
    return cast(Model, SimpleNamespace(network=network, target=Noise(degradation), degradation=degradation))


@with_onnx
def test_the_export_answers_what_torch_does_and_has_the_same_bytes_again(small: Model) -> None:
    estimate = Estimate(small)
    z, tau = torch.randn(4, 1, 12, 12), torch.tensor([0.1, 0.3, 0.5, 0.7])
    exported = export(estimate, z, tau)
    assert difference(exported, estimate, z[:3], tau[:3]) <= TOLERANCE, "for any number of images"
    whole = exported.SerializeToString(deterministic=True)
    assert export(estimate, z, tau).SerializeToString(deterministic=True) == whole
    assert str(HERE).encode() not in whole
    shrink(exported)
    assert any(parameter.numel() >= LARGE for parameter in estimate.parameters())
    assert len(exported.SerializeToString()) < len(whole)
    assert 0 < difference(exported, estimate, z, tau) <= TOLERANCE_SHRUNK


def test_without_the_extra_a_page_stays_and_a_missing_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = Artifacts(tmp_path)
    artifacts.params.write_text(ARTIFACTS.params.read_text())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ThawError, match=r"demo\.html is not there, and onnx and onnxscript would make it"):
        demo.run(artifacts, "demo")
    for path in artifacts.demo("demo"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was")
    demo.run(artifacts, "demo")
    assert [path.read_text() for path in artifacts.demo("demo")] == ["as it was"] * 2
    assert "stays as it was" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cold-blur-unt", "ddpm-linear"])
def test_a_demo_of_no_fitting_variant_is_refused(tmp_path: Path, name: str) -> None:
    content = read_yaml(ARTIFACTS.params)
    content["demos"]["demo"]["blur"] = name
    (tmp_path / "params.yaml").write_text(json.dumps(content))
    with pytest.raises(ThawError, match=rf"demos\.demo\.blur is {name}, which is no variant with that degradation"):
        read_params(tmp_path / "params.yaml")
