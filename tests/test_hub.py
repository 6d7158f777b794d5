"""The hub: models come over HTTP to the cache, verified before they are read."""

import base64
import contextlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import kerasgen
from kerasgen import cache, extras, hub, manifest, places, recipe, remotes, tokenizers
from kerasgen.cli import main
from kerasgen.errors import InputError, RunError
from kerasgen.models import loading

ROOT = Path(__file__).parents[1]
BIG = 3 * 2**20  # bytes of the file that is cut, slow or longer than told


class Server(http.server.ThreadingHTTPServer):
    """A web server of a folder, which records what it is asked and misbehaves."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.asked, self.ranges = Path(folder), [], []
        self.answers = {}  # path -> function of the handler, in place of the file
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = unquote(self.path.removeprefix("/"))
        self.server.asked.append(name)
        if "Range" in self.headers:
            self.server.ranges.append((name, self.headers["Range"]))
        if name in self.server.answers:
            return self.server.answers[name](self)
        path = self.server.folder / name
        if not path.is_file():
            return self.send_error(404)
        self.send(path.read_bytes())

    def send(self, content, most=None):
        """The rest of a file from where it is asked, or so many bytes of that."""
        start = int(re.sub(r"\D", "", self.headers.get("Range", "0")))
        self.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asks may have gone
            self.wfile.write(content[start:][:most])

    def log_message(self, *_):
        pass


def cut(times, most=BIG // 4):
    """Answers with so many bytes of a file, and then with all that is asked."""
    left = [times]

    def answer(handler):
        left[0] -= 1
        content = (handler.server.folder / handler.path[1:]).read_bytes()
        handler.send(content, most if left[0] >= 0 else None)

    return answer


def status(code):
    return lambda handler: handler.send_error(code)


def sent(content):
    return lambda handler: handler.send(content)


def leads(target):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def silent(handler):
    time.sleep(1.0)
    with contextlib.suppress(OSError):
        handler.send_error(500)


def dripping(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(BIG))
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)


def unending(handler):
    """More than was said, of no length."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(64):
            handler.wfile.write(bytes(2**20))


def artifact(folder, **changes):
    """Files as an artifact has them; only their hashes matter here."""
    big = np.random.default_rng(0).bytes(BIG)
    files = {
        "1/saved_model.pb": b"graph",
        "1/variables/variables.index": b"index",
        "README.md": b"# tiny",
        "litert/generate.tflite": b"litert",
        "metrics.json": b'{"figures": {}}',
        "model.keras": b"keras",
        "onnx/generate.onnx": b"onnx",
        "onnx/shared.weights": big,
        "tokenizer.json": b"{}",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest.write(folder, {"signatures": {}, **changes})
    return folder


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A hub with the model "tiny", and a cache of its own."""
    artifact(tmp_path / "hub" / "tiny")
    hub.write_index(tmp_path / "hub")
    server = Server(tmp_path / "hub")
    monkeypatch.setenv("KERASGEN_HUB", server.address)
    monkeypatch.setenv("KERASGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.stop()


def cached(name="*"):
    """Files of models in the cache that have this name."""
    return [path for path in cache.home().glob(f"models/**/{name}") if path.is_file()]


def kept():
    """What of files that were cut is in the cache."""
    return [path for path in cache.home().glob("partial/**/*") if path.is_file()]


def test_a_model_comes_whole_once_and_stays_without_a_network(server, capsys):
    folder = hub.fetch("tiny")
    assert manifest.differences(folder) == [] and folder.name == "tiny"
    names = [manifest.NAME, *manifest.read(folder)["files"]]
    assert sorted(server.asked) == sorted([hub.INDEX, *(f"tiny/{n}" for n in names)])
    server.asked.clear()
    assert hub.fetch("tiny") == folder and server.asked == [hub.INDEX]
    server.stop()
    assert capsys.readouterr().err == ""
    assert hub.fetch("tiny") == folder
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("can't be reached; what is in the cache is used")
    assert kept() == []


@pytest.mark.parametrize(
    ("runtimes", "names"),
    [
        (["onnx"], ["onnx/generate.onnx", "onnx/shared.weights"]),
        (["onnx-fp16"], ["onnx/generate.onnx", "onnx/shared.weights"]),
        (["litert"], ["litert/generate.tflite"]),
        (["savedmodel"], ["1/saved_model.pb", "1/variables/variables.index"]),
        (["keras"], ["metrics.json", "model.keras"]),
        (
            ["keras", "litert"],
            ["litert/generate.tflite", "metrics.json", "model.keras"],
        ),
    ],
)
def test_only_what_a_runtime_needs_is_asked_for(server, runtimes, names):
    folder = hub.fetch("tiny", runtimes)
    expected = [hub.INDEX, "tiny/manifest.json", "tiny/tokenizer.json"]
    expected += [f"tiny/{name}" for name in names]
    assert sorted(server.asked) == sorted(expected)
    assert (folder / manifest.DIGEST).exists()
    begins = tuple(manifest.PARTS[name.partition("-")[0]] for name in runtimes)
    assert manifest.differences(folder, begins) == []
    hub.fetch("tiny")  # the others come too
    assert manifest.differences(folder) == []
    assert len(server.asked) == len(set(server.asked)) + 1  # the index twice


def test_an_address_of_a_folder_is_a_model(server, monkeypatch):
    monkeypatch.setenv("KERASGEN_HUB", "")
    folder = places.find(f"{server.address}/tiny/").folder
    assert (folder.name, server.asked[0]) == ("tiny", "tiny/manifest.sha256")
    assert (folder / "model.keras").read_bytes() == b"keras"
    server.stop()
    assert places.find(f"{server.address}/tiny").folder == folder


@pytest.mark.parametrize("end", ["/", "/index.json"])
def test_the_address_of_the_hub_may_end_so(server, end, monkeypatch):
    monkeypatch.setenv("KERASGEN_HUB", server.address + end)
    assert places.find("tiny").name == "tiny"


def test_what_is_here_comes_before_the_hub(server, tmp_path):
    here = shutil.copytree(tmp_path / "hub" / "tiny", "saved_models/tiny")
    assert places.find("tiny").folder == Path(here) and server.asked == []
    assert main(["pull", "tiny", "--runtime", "litert"]) == 0
    assert "tiny/litert/generate.tflite" in server.asked


def test_a_new_version_is_another_folder(server, tmp_path):
    before = hub.fetch("tiny", ["keras"])
    (tmp_path / "hub" / "tiny" / "model.keras").write_bytes(b"better")
    manifest.write(tmp_path / "hub" / "tiny", {"signatures": {}})
    hub.write_index(tmp_path / "hub")
    assert [row["version"] for row in hub.index()] == [2]
    after = hub.fetch("tiny", ["keras"])
    assert (after / "model.keras").read_bytes() == b"better"
    assert (before / "model.keras").read_bytes() == b"keras"
    hub.write_index(tmp_path / "hub")
    assert [row["version"] for row in hub.index()] == [2]  # it is the same


def test_the_index_of_saved_models_is_that_of_its_artifacts(tmp_path):
    """`python tools/hub.py` writes it."""
    folder = ROOT / "saved_models"
    rows = json.loads((folder / hub.INDEX).read_text())["models"]
    found = {row["name"]: row["manifest"] for row in rows}
    paths = folder.glob(f"*/{manifest.NAME}")
    assert found == {path.parent.name: manifest.sha256(path) for path in paths}


@pytest.mark.parametrize("end", ["tiny/..", "tiny/%2e%2e", "a b"])
def test_odd_ends_of_addresses_name_no_folders(server, end):
    for folder in (server.folder, server.folder / "a b"):
        artifact(folder)
    folder = hub.fetch(f"{server.address}/{end}", ["litert"])
    assert folder.name == "model" and folder.parent.parent == cache.home() / "models"


WEIGHTS = "tiny/onnx/shared.weights"


def test_what_is_cut_goes_on_where_it_ended(server):
    server.answers[WEIGHTS] = cut(2)
    assert manifest.differences(hub.fetch("tiny")) == []
    steps = [f"bytes={BIG // 4}-", f"bytes={BIG // 2}-"]
    assert server.ranges == [(WEIGHTS, step) for step in steps]


def test_what_stays_cut_goes_on_the_next_time(server):
    server.answers[WEIGHTS] = cut(99, most=0)
    with pytest.raises(RunError, match="shared.weights: the connection was cut"):
        hub.fetch("tiny", ["onnx"])
    server.answers[WEIGHTS] = cut(1)
    server.answers["tiny/tokenizer.json"] = status(503)  # so that it ends there
    with pytest.raises(RunError, match="tokenizer.json: the server answers 503"):
        hub.fetch("tiny", ["onnx"])
    assert cached("tokenizer.json") == [] and len(cached("shared.weights")) == 1
    server.answers.clear()
    assert manifest.differences(hub.fetch("tiny")) == [] and kept() == []


def test_a_killed_process_is_continued(server):
    digest = manifest.sha256(server.folder / "tiny" / manifest.NAME)
    name = manifest.sha256(server.folder / WEIGHTS)
    partial = cache.home() / "partial" / digest / name
    partial.parent.mkdir(parents=True)
    partial.write_bytes((server.folder / WEIGHTS).read_bytes()[:1000])
    hub.fetch("tiny", ["onnx"])
    assert server.ranges == [(WEIGHTS, "bytes=1000-")]


@pytest.mark.parametrize("size", [1000, BIG, BIG + 5])
def test_the_beginning_of_another_file_is_thrown_away(server, size):
    digest = manifest.sha256(server.folder / "tiny" / manifest.NAME)
    name = manifest.sha256(server.folder / WEIGHTS)
    partial = cache.home() / "partial" / digest / name
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(size))
    if size > BIG:
        server.answers[WEIGHTS] = lambda handler: (
            status(416)(handler) if "Range" in handler.headers else cut(0)(handler)
        )
    folder = hub.fetch("tiny", ["onnx"])
    assert manifest.differences(folder, "onnx/") == [] and kept() == []
    assert places.find(folder, ["onnx"]).folder == folder  # by its path too
    with pytest.raises(InputError, match="tiny holds no trained model"):
        places.find(folder)


def test_a_server_without_ranges_sends_all_again(server):
    content = (server.folder / WEIGHTS).read_bytes()
    left = [1]

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(BIG))
        handler.end_headers()
        handler.wfile.write(content[: 1000 if left.pop() else None])
        left.append(0)

    server.answers[WEIGHTS] = answer
    assert manifest.differences(hub.fetch("tiny")) == []
    assert server.ranges == [(WEIGHTS, "bytes=1000-")]


def test_another_part_than_was_asked_is_not_taken(server):
    def answer(handler):
        if "Range" not in handler.headers:
            return cut(1)(handler)
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{BIG - 1}/{BIG}")
        handler.send_header("Content-Length", str(BIG))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write((server.folder / WEIGHTS).read_bytes())

    server.answers[WEIGHTS] = answer
    with pytest.raises(RunError, match="shared.weights: another part came than was"):
        hub.fetch("tiny", ["onnx"])
    server.answers.clear()
    assert manifest.differences(hub.fetch("tiny")) == []


@pytest.mark.parametrize("name", ["manifest.json", "model.keras", "tokenizer.json"])
def test_a_file_that_was_tampered_with_is_refused(server, name, capsys):
    evil = bytes((server.folder / "tiny" / name).stat().st_size)
    server.answers[f"tiny/{name}"] = sent(evil)
    for _ in range(2):  # nothing of it stays
        assert main(["pull", "tiny"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"tiny/{name} is refused: it isn't the file that its hash is of" in line
        assert cached(name) == kept() == []
    server.answers.clear()
    assert main(["pull", "tiny", "--quiet"]) == 0


def test_the_index_pins_the_manifest(server):
    """Whoever replaces a model, its manifest and its digest has not the index."""
    evil = server.folder / "tiny"
    (evil / "model.keras").write_bytes(b"evil!")
    manifest.write(evil, {"signatures": {}})
    assert manifest.differences(evil) == []
    with pytest.raises(RunError, match="tiny/manifest.json is refused: it isn't the"):
        hub.fetch("tiny")
    assert cached() == kept() == []


def test_a_file_of_the_cache_that_changed_is_fetched_anew(server, capsys):
    path = hub.fetch("tiny", ["keras"]) / "model.keras"
    path.write_bytes(b"evil!")
    hub.fetch("tiny", ["keras"])
    assert path.read_bytes() == b"keras"
    path.write_bytes(b"evil!")
    server.stop()
    assert main(["generate", "tiny"]) == 1
    assert "tiny/model.keras: the server can't be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/evil",
        "onnx/../../evil",
        "onnx//evil",
        "./evil",
        "onnx\\evil",
        "c:evil",
        "evil\n",
        "onnx/",
        "",
        "manifest.json",
        "manifest.sha256",
    ],
)
def test_names_that_lead_elsewhere_are_refused(server, tmp_path, name):
    path = server.folder / "tiny" / manifest.NAME
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps(content | {"files": content["files"] | {name: "0" * 64}})
    )
    manifest.write_digest(path.parent)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="tiny/manifest.json is refused: it names the"):
        hub.fetch(f"{server.address}/tiny")
    assert server.asked == ["tiny/manifest.sha256", "tiny/manifest.json"]
    own = [cache.home(), *cache.home().rglob("*")]
    assert sorted(set(tmp_path.rglob("*")) - set(own)) == before
    assert cached() == kept() == []


@pytest.mark.parametrize("answer", [sent(bytes(BIG)), unending])
@pytest.mark.parametrize("of", ["manifest", "index"])
def test_a_file_longer_than_was_said_is_not_taken(server, of, answer):
    """Of old artifacts, whose manifest tells no sizes, the index tells them."""
    path = server.folder / "tiny" / manifest.NAME
    content = json.loads(path.read_text())
    if of == "index":
        del content["sizes"]
    path.write_text(json.dumps(content))
    hub.write_index(server.folder)
    server.answers["tiny/model.keras"] = answer
    with pytest.raises(RunError, match="model.keras is refused: it has more than 5 b"):
        hub.fetch("tiny", ["keras"])
    assert cached("model.keras") == kept() == []


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (status(404), 2, "tiny/model.keras: there is no such file (404)"),
        (status(403), 2, "tiny/model.keras: the server refuses it (403)"),
        (status(500), 1, "tiny/model.keras: the server answers 500; try again later"),
        (silent, 1, "tiny/model.keras: no answer in 0.3 seconds"),
        (dripping, 1, "tiny/model.keras: it comes too slowly"),
        (leads("file:///etc/passwd"), 1, "is refused: it leads from http to file"),
        (leads("ftp://127.0.0.1/x"), 1, "is refused: it leads from http to ftp"),
        (leads("/tiny/model.keras"), 1, "it leads from one address to another without"),
        (cut(99, most=0), 1, "tiny/model.keras: the connection was cut"),
        (sent(b""), 1, "tiny/model.keras is refused: it isn't the file"),
    ],
)
def test_whatever_a_server_does_gets_one_line(
    server, answer, code, message, monkeypatch, capsys
):
    monkeypatch.setattr(remotes, "SILENCE", 0.3)
    monkeypatch.setattr(remotes, "WINDOW", 0.2)
    monkeypatch.setattr(cache, "_most", lambda *_: BIG)
    server.answers["tiny/model.keras"] = answer
    assert main(["generate", "tiny"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and cached("model.keras") == []
    assert (kept() != []) == (answer is dripping)  # that could go on


def test_a_server_may_send_elsewhere_on_the_web(server):
    server.answers["tiny/model.keras"] = leads("/store/1")
    server.answers["store/1"] = sent(b"keras")
    hub.fetch("tiny", ["keras"])


@pytest.mark.parametrize(
    ("arguments", "hub_is", "code", "message"),
    [
        (["pull", "tiny"], "http://127.0.0.1:9", 1, "index.json: the server can't be"),
        (["pull", "tinny"], None, 2, "did you mean tiny?"),
        (["generate", "tinny"], None, 2, "did you mean tiny?"),
        (["list", "--hub"], "", 2, "there is no hub: name one"),
        (["pull", "tiny"], "", 2, "there is no hub: name one"),
        (["generate", "tiny"], "", 2, "or name a hub of models by KERASGEN_HUB"),
        (["verify", "tiny"], "", 2, "or name a hub of models by KERASGEN_HUB"),
        (["list", "--hub"], "ftp://x", 2, "ftp://x is no address of models"),
        (["generate", "hf://x"], None, 2, "hf://x is no address of models"),
        (["generate", "https://"], None, 2, "https:// is no address of models"),
        (["push", "hub/tiny", "https://x/y"], None, 2, "only hf://ORG/REPO is pushed"),
        (["push", ".", "hf://x/y"], None, 2, ". is no artifact: it has no manifest"),
    ],
)
def test_bad_names_get_one_line(
    server, arguments, hub_is, code, message, monkeypatch, capsys
):
    if hub_is is not None:
        monkeypatch.setenv("KERASGEN_HUB", hub_is)
    assert main(arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and cached() == []


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../tiny"},
        {"name": 7},
        {"manifest": "../../x"},
        {"version": "1"},
        {"bytes": {"keras": "5"}},
        {"bytes": None},
        {"figures": {"fid": {}}},
    ],
)
def test_a_damaged_index_gets_one_line(server, change, capsys):
    (row,) = hub.index()
    server.answers[hub.INDEX] = sent(json.dumps({"models": [row | change]}).encode())
    assert main(["list", "--hub"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "index.json is damaged: it must hold models with names" in line
    server.stop()
    assert hub.index() == [row]  # what is kept is the last good one


def test_a_password_is_told_nobody():
    found = remotes.remote("http://me:secret@127.0.0.1:9/models/?key=secret")
    with pytest.raises(
        RunError, match="^http://127.0.0.1:9/models/x: the server can't"
    ):
        found.fetch("x", Path("x"), 5, lambda *_: None)


FETCH = "from kerasgen import hub; print(hub.fetch('tiny'))"


def python(*arguments, **environment):
    """A process that imports this kerasgen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_fetch_each_file_once(server):
    def slow(handler):
        time.sleep(2.0)
        cut(0)(handler)

    server.answers[WEIGHTS] = slow
    both = [python("-c", FETCH) for _ in range(2)]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len({out for out, _ in told}) == 1
    assert manifest.differences(Path(told[0][0].strip())) == []
    asked = [name for name in server.asked if name != hub.INDEX]
    assert len(asked) == len(set(asked)) == 10
    lines = "".join(err for _, err in told)
    assert lines == "kerasgen: another process fetches this model: waiting for it\n"


# Models.


@pytest.fixture(scope="module")
def vae():
    """A VAE of a few weights, and their moving average."""
    dense = {"name": "dense", "widths": [4]}
    model = kerasgen.VAE(
        (4, 4, 1), latent_dim=2, encoder=dense, decoder=dense, ema_decay=0.9
    )
    for average in model.averages:
        average.assign(average + 1.0)
    return model


def test_a_preset_is_the_model_as_it_ships(vae, tmp_path):
    vae.save_to_preset(tmp_path / "new" / "tiny", labels=["a", "b"])
    folder = tmp_path / "new" / "tiny"
    assert manifest.files(folder) == ["model.keras"]
    assert manifest.differences(folder) == []
    again = kerasgen.VAE.from_preset(folder)
    np.testing.assert_array_equal(again.generate(3), vae.generate(3))
    assert again.averages == [] and again.ema_decay == 0.0
    assert places.label_names(places.find(folder)) == ["a", "b"]
    assert kerasgen.GenerativeModel.from_preset(str(folder)).latent_dim == 2
    vae.save_to_preset(folder)  # takes the place of the first
    assert places.label_names(places.find(folder)) == []


def test_a_preset_of_another_class_is_refused(vae, tmp_path):
    vae.save_to_preset(tmp_path / "tiny")
    with pytest.raises(
        InputError, match="tiny is no GAN but a VAE: VAE.from_preset ta"
    ):
        kerasgen.GAN.from_preset(tmp_path / "tiny")


def test_a_preset_of_texts_has_its_tokenizer_and_recipe(tmp_path):
    small = {"name": "transformer", "width": 8, "depth": 1, "heads": 1}
    model = kerasgen.LanguageModel(tokenizers.Characters("ab"), 8, network=small)
    trained_by = recipe.read("gpt_python_docs")
    model.save_to_preset(tmp_path / "tiny", recipe=trained_by)
    names = ["model.keras", "recipe.yaml", "tokenizer.json"]
    assert manifest.files(tmp_path / "tiny") == names
    place = places.find(tmp_path / "tiny")
    assert loading.codec(place).texts([[2, 3]]) == ["ab"]
    assert place.recipe() == trained_by


def test_a_preset_takes_the_place_of_nothing_else(vae, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="mine holds something else than an artifact"):
        vae.save_to_preset(tmp_path / "mine")
    with pytest.raises(InputError, match="thesis.txt is a file: give a folder"):
        vae.save_to_preset(tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_a_preset_is_fetched_by_name(vae, server, capsys):
    vae.save_to_preset(server.folder / "vae")
    hub.write_index(server.folder)
    again = kerasgen.VAE.from_preset("vae")
    np.testing.assert_array_equal(again.generate(2), vae.generate(2))
    assert kerasgen.load(f"{server.address}/vae").generate(1).shape == (1, 4, 4, 1)
    assert main(["generate", "vae", "--runtime", "onnx"]) == 2
    assert main(["verify", "vae"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "vae can't generate in onnx: its signatures are none" in lines[0]
    assert "vae has no exported files to compare: run `kerasgen export`" in lines[1]


@pytest.fixture
def digits(server):
    """The same hub with the artifact vae_digits."""
    shutil.copytree(ROOT / "saved_models" / "vae_digits", server.folder / "vae_digits")
    hub.write_index(server.folder)
    return server


def test_commands_take_names_of_the_hub(digits, tmp_path, capsys):
    """Samples of fetched ONNX files are those of the artifact itself."""
    draw = ["-n", "2", "--seed", "3", "--runtime", "onnx", "--out"]
    own = str(ROOT / "saved_models" / "vae_digits")
    assert main(["generate", own, *draw, str(tmp_path / "a.npy")]) == 0
    assert main(["generate", "vae_digits", *draw, str(tmp_path / "b.npy")]) == 0
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    asked = {name.removeprefix("vae_digits/") for name in digits.asked}
    asked = {name for name in asked if not name.startswith("onnx/")}
    assert asked == {hub.INDEX, manifest.NAME, "recipe.yaml"}
    assert main(["verify", "vae_digits", "--runtime", "onnx"]) == 0
    assert "files for onnx unchanged" in capsys.readouterr().out
    assert {name for name in digits.asked if name.endswith("tflite")} == set()
    (digits.folder / "tiny").rename(tmp_path / "gone")
    assert main(["list", "--hub"]) == 0
    assert "vae_digits  v1  keras" in capsys.readouterr().out
    assert main(["list", "--hub", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["name"] for row in rows] == ["tiny", "vae_digits"]
    assert rows[1]["figures"]["nll"]["unit"] == "nats"
    assert rows[1]["card"] == "vae_digits/README.md"


# Hugging Face: its own client asks a server that answers as theirs does.

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="no huggingface_hub"
)


class Face(Server):
    """As much of Hugging Face as a model's download and a small commit take."""

    def __init__(self, folder):
        super().__init__(folder)
        self.RequestHandlerClass = FaceHandler
        self.commits, self.created = [], []


class FaceHandler(Handler):
    COMMIT = "c" * 40

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path.startswith("/api/models/me/tiny"):
            return self.answer(
                {
                    "id": "me/tiny",
                    "sha": self.COMMIT,
                    "siblings": [
                        {
                            "rfilename": name,
                            "size": (self.server.folder / name).stat().st_size,
                        }
                        for name in os.listdir(self.server.folder)
                        + manifest.files(self.server.folder)
                        if (self.server.folder / name).is_file()
                    ],
                }
            )
        begin = f"/me/tiny/resolve/{self.COMMIT}/"
        file = self.server.folder / path.removeprefix(begin)
        if not path.startswith(begin) or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return None
        if path in self.server.answers:
            return self.server.answers[path](self)
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", self.COMMIT)
        self.send_header("ETag", f'"{manifest.sha256(file)}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path == "/api/repos/create":
            self.server.created.append(json.loads(body)["name"])
            return self.answer({"url": f"{self.server.address}/me/tiny"})
        if path == "/api/models/me/tiny/preupload/main":
            files = json.loads(body)["files"]
            how = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer({"files": [{"path": f["path"], **how} for f in files]})
        if path == "/api/models/me/tiny/commit/main":
            self.server.commits.append([json.loads(line) for line in body.splitlines()])
            about = {"commitUrl": f"{self.server.address}/me/tiny/commit/c"}
            return self.answer(about | {"commitOid": self.COMMIT, "success": True})
        return self.answer({})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def face(tmp_path, monkeypatch):
    """A Hugging Face with the model me/tiny, for processes that are started."""
    server = Face(artifact(tmp_path / "repo"))
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("KERASGEN_HOME", str(tmp_path / "home"))
    yield server
    server.stop()


def command(*arguments, **environment):
    """-> exit status, what is said on standard output, and on standard error."""
    process = python("-m", "kerasgen", *map(str, arguments), **environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@needs_client
def test_hugging_face_is_asked_by_its_own_client(face):
    status, out, err = command("pull", "hf://me/tiny", "--runtime", "litert")
    assert (status, err) == (0, "")
    folder = Path(out.strip())
    assert (folder / "litert" / "generate.tflite").read_bytes() == b"litert"
    assert not any("onnx" in path for path in face.asked)
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    status, out, _ = command("pull", "hf://me/tiny@main")
    assert status == 0 and manifest.differences(Path(out.strip())) == []
    assert not list(cache.home().glob("partial/**/*"))
    face.stop()
    status, again, err = command("pull", "hf://me/tiny", HF_HUB_OFFLINE="1")
    assert (status, again) == (0, out) and "what is in the cache is used" in err


@needs_client
def test_what_hugging_face_has_is_checked_too(face):
    (face.folder / "model.keras").write_bytes(b"evil!")
    status, _, err = command("pull", "hf://me/tiny")
    assert status == 1 and err.count("\n") == 1
    assert "hf://me/tiny/model.keras is refused: it isn't the file" in err
    (face.folder / "model.keras").write_bytes(b"longer than it says")
    status, _, err = command("pull", "hf://me/tiny")
    assert status == 1 and "model.keras is refused: it has more than 5 bytes" in err
    assert cached("model.keras") == kept() == []
    status, _, err = command("pull", "hf://me/nothing")
    assert status == 2 and err.count("\n") == 1 and "hf://me/nothing" in err


@needs_client
def test_push_commits_an_artifact(face, tmp_path):
    source = artifact(tmp_path / "own")
    (source / "notes.txt").write_text("mine alone")
    status, _, err = command("push", source, "hf://me/tiny")
    assert status == 1 and "notes.txt: not in manifest.json: nothing is sent" in err
    assert face.commits == []
    (source / "notes.txt").unlink()
    status, out, err = command("push", source, "hf://me/tiny")
    assert (status, err) == (0, "") and out.endswith("own is at hf://me/tiny\n")
    ((head, *files),) = face.commits
    assert head["value"]["summary"] == "kerasgen: own"
    found = {
        entry["value"]["path"]: base64.b64decode(entry["value"]["content"])
        for entry in files
    }
    names = [*manifest.files(source), manifest.NAME, manifest.DIGEST]
    assert found == {name: (source / name).read_bytes() for name in names}


@needs_client
def test_push_sends_a_whole_hub(face, tmp_path):
    artifact(tmp_path / "hub" / "a")
    hub.write_index(tmp_path / "hub")
    assert command("push", tmp_path / "hub", "hf://me/tiny")[0] == 0
    paths = [entry["value"].get("path") for entry in face.commits[0][1:]]
    assert {"index.json", "a/manifest.json", "a/model.keras"} <= set(paths)


@needs_client
def test_hugging_face_may_be_the_hub(face):
    artifact(face.folder / "a")
    hub.write_index(face.folder)
    own = {"KERASGEN_HUB": "hf://me/tiny"}
    status, out, _ = command("pull", "a", "--runtime", "litert", **own)
    assert status == 0 and out.endswith("/a\n")
    assert manifest.differences(Path(out.strip()), "litert/") == []


def test_without_the_client_a_line_names_the_extra(server, monkeypatch, capsys):
    there = extras._installed
    monkeypatch.setattr(
        extras, "_installed", lambda name: name != "huggingface_hub" and there(name)
    )
    extras.need.cache_clear()
    for command in (["pull", "hf://me/tiny"], ["push", "hub/tiny", "hf://me/tiny"]):
        assert main(command) == 2
        assert "extra 'hub'" in capsys.readouterr().err
