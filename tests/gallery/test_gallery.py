"""The gallery in a real browser: what its pages draw is what Python draws."""

import contextlib
import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import kerasgen
from kerasgen import recipe, tokenizers
from kerasgen.cli import main
from kerasgen.codec import Codec
from kerasgen.metrics import features

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


@contextlib.contextmanager
def served(gallery, zoo, out):
    """The gallery of a zoo, on a local web server: its address."""
    total = gallery.build(zoo, out, 60_000_000, ROOT / "build/npm")
    assert total < 60_000_000

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *message):
            pass

    handler = functools.partial(Handler, directory=str(out))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *request: None  # pages that are left while loading
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(gallery, tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "gallery"
    with served(gallery, ROOT / "saved_models", out) as address:
        yield address


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
def test_pages_draw_what_python_draws(site, page, name, tmp_path):
    page.goto(f"{site}/{name}/")
    page.wait_for_selector("#samples[data-done]")
    assert page.input_value("#samples [name=seed]") == "7"
    drawn = np.array(page.eval_on_selector("#samples .grid", PIXELS), "uint8")
    model = json.loads(page.eval_on_selector("#model", "e => e.textContent"))
    runtime = "onnx" + model["variant"].replace(".", "-")
    out = ["-n", "16", "--seed", "7", "--out", str(tmp_path / "all.npy"), "--quiet"]
    generate = ["generate", str(ROOT / "saved_models" / name), "--runtime", runtime]
    assert main([*generate, *out]) == 0
    expected = np.load(tmp_path / "all.npy")
    pixels = drawn.reshape(16, *expected.shape[1:3], 4)[..., : expected.shape[3]]
    np.testing.assert_allclose(pixels / 255, expected, atol=1 / 255)
    for _ in range(3):
        done = int(page.get_attribute("#samples", "data-done"))
        page.click("#samples .go")
        page.wait_for_selector(f"#samples[data-done='{done + 1}']")
    again = page.eval_on_selector("#samples .grid", PIXELS)
    np.testing.assert_array_equal(np.array(again, "uint8"), drawn)
    time = float(page.get_attribute("#samples", "data-milliseconds"))
    print(f"{name}: 16 images in {time:.0f} ms")
    assert time < 60_000


@pytest.mark.parametrize("name", names({"latents"}))
def test_sliders_move_what_is_decoded(site, page, name):
    page.goto(f"{site}/{name}/")
    page.wait_for_selector("#latents[data-done]")
    before = page.eval_on_selector("#latents", PIXELS)
    page.eval_on_selector(
        "#latents input[type=range]",
        "slider => { slider.value = 3; slider.dispatchEvent(new Event('input')); }",
    )
    page.wait_for_selector("#latents[data-done='2']")
    assert page.eval_on_selector("#latents", PIXELS) != before


@pytest.mark.parametrize("name", names({"noisy_images", "timestep"}))
def test_denoising_ends_with_what_the_network_sees(site, page, name):
    page.goto(f"{site}/{name}/")
    page.wait_for_selector("#denoising[data-done]")
    page.select_option("#denoising [name=label]", "3")
    page.fill("#denoising [name=steps]", "10")
    page.click("#denoising .go")
    page.wait_for_selector("#denoising[data-done='2']")
    noisy, seen = np.array(page.eval_on_selector("#denoising", PIXELS), "uint8")
    assert np.abs(noisy.astype(int) - seen).mean() < 8  # hardly any noise is left
    images = seen.reshape(1, 28, 28, 4)[..., :1] / 255
    judge = recipe.read(ROOT / "saved_models" / name / "recipe.yaml").evaluate.features
    _, (label,) = features.extractor(judge, (28, 28, 1))([images.astype("float32")])
    assert label == 3
    slider = "slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }"
    page.eval_on_selector("#denoising input[type=range]", slider)
    first, _ = np.array(page.eval_on_selector("#denoising", PIXELS), "uint8")
    assert np.abs(first.astype(int) - seen).mean() > 40


def test_every_model_has_a_page_and_fits_a_phone(site, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site)
    links = page.eval_on_selector_all(".zoo a", "links => links.map(l => l.href)")
    assert len(links) == len(list((ROOT / "saved_models").glob("*/manifest.json")))
    for link in [site, *links]:
        page.goto(link)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_texts_are_continued_as_in_python(gallery, page, tmp_path):
    letters = tokenizers.Characters("abcdefgh ")
    network = {"name": "transformer", "width": 16, "depth": 1, "heads": 2}
    model = kerasgen.LanguageModel(letters, 32, network, max_new_tokens=20)
    (tmp_path / "zoo").mkdir()
    model.export(tmp_path / "zoo" / "gpt_letters", formats=("onnx",))
    with served(gallery, tmp_path / "zoo", tmp_path / "site") as address:
        page.goto(f"{address}/gpt_letters/")
        page.wait_for_selector("#text[data-done='1']")
        page.fill("#text [name=prompt]", "abba")
        page.click("#text .go")
        page.wait_for_selector("#text[data-done='2']")
        found = page.get_attribute("#text", "data-text")
    assert found == model.generate(1, seed=7, prompt="abba")[0]


@pytest.mark.parametrize("name", names({"text"}))
def test_texts_are_translated(site, page, name):
    model = kerasgen.load(ROOT / "saved_models" / name)
    if not hasattr(model, "translate"):
        pytest.skip("classifies texts")
    page.goto(f"{site}/{name}/")
    page.wait_for_selector("#text[data-done='1']")  # it begins by itself
    page.fill("#text [name=prompt]", "A man rides a bike.")
    page.click("#text .go")
    page.wait_for_selector("#text[data-done='2']")
    found = page.get_attribute("#text", "data-text")
    assert found == model.translate(["A man rides a bike."])[0]


def test_molecules_are_drawn(gallery, page, tmp_path):
    network = {"name": "transformer", "width": 16, "depth": 1, "heads": 2}
    letters = tokenizers.Characters("()1=COc")
    model = kerasgen.LanguageModel(letters, 32, network, max_new_tokens=20)
    (tmp_path / "zoo").mkdir()
    out, values = tmp_path / "zoo" / "gpt_smiles", recipe.read("gpt_moses")
    model.export(out, formats=("onnx",), recipe=values)
    assert "![samples](samples.png)" in (out / "README.md").read_text()
    with served(gallery, tmp_path / "zoo", tmp_path / "site") as address:
        page.goto(f"{address}/gpt_smiles/")
        page.wait_for_selector("#text[data-done='1']")
        page.fill("#text [name=max_new_tokens]", "0")
        for i, (text, bonds) in enumerate([("c1ccccc1O", 7), ("CC(", 0)], start=2):
            page.fill("#text [name=prompt]", text)
            page.click("#text .go")
            page.wait_for_selector(f"#text[data-done='{i}']")
            drawn = page.eval_on_selector_all(
                "#text figure", "all => all.map(f => f.querySelectorAll('line').length)"
            )
            assert len(drawn) == 6 and set(map(bool, drawn)) == {bonds > 0}
            assert min(drawn) >= bonds


TEXTS = ["", "def f(x):\n    return x", "  two  spaces ", "naïve – 漢字 🎉", "the the"]


def test_tokenizers_of_the_page_are_those_of_python(tmp_path):
    corpus = [path.read_text() for path in (ROOT / "kerasgen" / "models").glob("*.py")]
    kinds = [
        tokenizers.Bytes(),
        tokenizers.Characters("".join(TEXTS)),
        tokenizers.SentencePiece.train([*corpus, *TEXTS], size=600),
    ]
    codecs = [Codec(kind, ends, 64) for kind in kinds for ends in (True, False)]
    job = {"codecs": [codec.values() for codec in codecs], "texts": TEXTS}
    (tmp_path / "job.json").write_text(json.dumps(job))
    shutil.copy(ROOT / "tools" / "site" / "tokenizers.js", tmp_path / "tokenizers.mjs")
    program = """
        import fs from "node:fs";
        import { tokenizer } from "./tokenizers.mjs";
        const { codecs, texts } = JSON.parse(fs.readFileSync("job.json"));
        console.log(JSON.stringify(codecs.map(tokenizer).map(({ encode, decode }) =>
            texts.map((text) => [encode(text), decode(encode(text))]))));
    """
    command = ["node", "--input-type=module", "--eval", program]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for codec, found in zip(codecs, json.loads(run.stdout), strict=True):
        for text, (ids, back) in zip(TEXTS, found, strict=True):
            assert ids == codec.ids([text])[0].tolist()
            assert back == codec.texts(np.array([ids]))[0] == text
