"""The gallery in a real browser: what its pages draw is what Python draws."""

import functools
import http.server
import importlib.util
import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import kerasgen

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="make test-gallery installs chromium"),
    pytest.mark.skipif(not shutil.which("npm"), reason="npm fetches the web runtime"),
]


@pytest.fixture(scope="module")
def gallery():
    sys.path.insert(0, str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location(
        "gallery", ROOT / "tools" / "gallery.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.pop(0)
    return module


@pytest.fixture(scope="module")
def site(gallery, tmp_path_factory):
    """The gallery of saved_models, on a local web server: its folder and address."""
    out = tmp_path_factory.mktemp("site") / "gallery"
    total = gallery.build(ROOT / "saved_models", out, 60_000_000, ROOT / "build/npm")
    assert total < 60_000_000

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *message):
            pass

    handler = functools.partial(Handler, directory=str(out))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield out, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        profile = tmp_path_factory.mktemp("profile")
        context = driver.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, args=QUIET
        )
        yield context
        context.close()


@pytest.fixture
def page(browser):
    """A page; it must stay without errors, and ask nobody but the site."""
    page, errors = browser.new_page(), []
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.on(
        "request",
        lambda r: (
            r.url.split(":")[0] == "http"
            and "//127.0.0.1" not in r.url
            and errors.append(r.url)
        ),
    )
    yield page
    page.close()
    assert not errors


PIXELS = """grid => Array.from(grid.querySelectorAll("canvas"), canvas =>
    Array.from(canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data))"""


def names(panel):
    """Artifacts whose page has a panel, by their signatures."""
    found = []
    for path in sorted((ROOT / "saved_models").glob("*/manifest.json")):
        signatures = json.loads(path.read_text())["signatures"].values()
        needs = [{k for k, v in s["inputs"].items() if "default" not in v}
                 for s in signatures]  # fmt: skip
        found += [path.parent.name] if panel in needs else []
    return found


@pytest.mark.parametrize("name", names({"seed"}))
def test_pages_draw_what_python_draws(site, page, name):
    page.goto(f"{site[1]}/{name}/")
    page.wait_for_selector("#images[data-done]")
    assert page.input_value("#images [name=seed]") == "7"
    drawn = np.array(page.eval_on_selector("#images .grid", PIXELS), "uint8")
    expected = kerasgen.load(ROOT / "saved_models" / name).generate(16, seed=7)
    pixels = drawn.reshape(16, *expected.shape[1:3], 4)[..., : expected.shape[3]]
    np.testing.assert_allclose(pixels / 255, expected, atol=1 / 255)
    for _ in range(3):
        done = int(page.get_attribute("#images", "data-done"))
        page.click("#images .go")
        page.wait_for_selector(f"#images[data-done='{done + 1}']")
    again = page.eval_on_selector("#images .grid", PIXELS)
    np.testing.assert_array_equal(np.array(again, "uint8"), drawn)
    time = float(page.get_attribute("#images", "data-milliseconds"))
    print(f"{name}: 16 images in {time:.0f} ms")
    assert time < 60_000


@pytest.mark.parametrize("name", names({"latents"}))
def test_sliders_move_what_is_decoded(site, page, name):
    page.goto(f"{site[1]}/{name}/")
    page.wait_for_selector("#latents[data-done]")
    before = page.eval_on_selector("#latents", PIXELS)
    page.eval_on_selector(
        "#latents input[type=range]",
        "slider => { slider.value = 3; slider.dispatchEvent(new Event('input')); }",
    )
    page.wait_for_selector("#latents[data-done='2']")
    assert page.eval_on_selector("#latents", PIXELS) != before


def test_every_model_has_a_page_and_fits_a_phone(site, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site[1])
    links = page.eval_on_selector_all(".zoo a", "links => links.map(l => l.href)")
    assert len(links) == len(list((ROOT / "saved_models").glob("*/manifest.json")))
    for link in [site[1], *links]:
        page.goto(link)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
