"""What TF Serving reads and its clients send. There is no TF Serving among the
packages: its protos, and its loader, TensorFlow's C API, stand for it."""

import json
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,  # noqa: F401  (in the pool, for what follows)
)
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

import kerasgen
from kerasgen import kinds
from kerasgen.export import card, runtimes, savedmodel, serving
from kerasgen.inputs import Input, label, prompt, seed
from kerasgen.tokenizers import Bytes, Characters


@pytest.fixture(scope="module")
def loaded(digits_artifact, tmp_path_factory):
    """The SavedModel in TensorFlow's C loader: (signature, inputs) -> outputs."""
    view = tmp_path_factory.mktemp("view")
    (view / "1").symlink_to(digits_artifact / "1")
    savedmodel.write_endpoints(view)
    serve = runtimes.server("tensorflow_c", view)
    return lambda signature, inputs: serve(signature, **inputs)


def test_warmup_requests_replay(digits_artifact, loaded):
    path = digits_artifact / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    asked = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in records
    ]
    manifest = json.loads((digits_artifact / "manifest.json").read_text())
    assert [r.model_spec.signature_name for r in asked] == [*manifest["signatures"]]
    assert {request.model_spec.name for request in asked} == {"vae_digits"}
    for request in asked:
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        outputs = loaded(request.model_spec.signature_name, inputs)
        for value in outputs.values():
            assert len(value) == 1 and np.isfinite(value).all()


def test_warmup_keeps_texts(tmp_path):
    requests = {
        "complete": {"prompt": np.array([b"The", b"A"]), "seed": np.int32([1, 2])}
    }
    serving.write_warmup(tmp_path, "gpt", requests)
    (name,), (inputs,) = zip(*serving.read_warmup(tmp_path).items(), strict=True)
    assert name == "complete" and inputs["prompt"].tolist() == [b"The", b"A"]
    assert inputs["prompt"].dtype.kind == "S" and inputs["seed"].dtype == "int32"


def batching_parameters():
    """The message of tensorflow_serving's session_bundle_config.proto, which its
    package leaves out."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    wrapped = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches")
    for number, name in enumerate([*wrapped, "num_batch_threads"], 1):
        kind = ".google.protobuf.Int64Value"
        message.field.add(name=name, number=number, type=11, type_name=kind, label=1)
    text = ".google.protobuf.StringValue"
    message.field.add(
        name="thread_pool_name", number=5, type=11, type_name=text, label=1
    )
    message.field.add(name="allowed_batch_sizes", number=6, type=3, label=3)
    message.field.add(name="pad_variable_length_inputs", number=7, type=8, label=1)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("BatchingParameters")
    )()


def test_configs_are_the_official_protos(digits_artifact, tmp_path):
    (tmp_path / "vae_digits").symlink_to(digits_artifact)
    (tmp_path / "something_else").mkdir()
    serving.write_configs(tmp_path)
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "models.config").read_text(), config)
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == ("vae_digits", "/models/vae_digits")
    assert entry.model_platform == "tensorflow"
    batching = batching_parameters()
    text_format.Parse((tmp_path / "batching.config").read_text(), batching)
    assert batching.max_batch_size.value == serving.LARGEST_BATCH == 64
    assert batching.pad_variable_length_inputs  # see test_clients.py


def body(command):
    """What a command of a card sends."""
    *program, curl, option, sent, url = shlex.split(command)
    assert (curl, option) == ("curl", "-d") and url.startswith("localhost:8501/v1/")
    if not program:
        return json.loads(sent)
    python, option, code, pipe = program
    assert (python, option, pipe, sent) == ("python3", "-c", "|", "@-")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True)
    return json.loads(done.stdout)


def test_the_requests_of_a_card_work(digits_artifact, loaded):
    card = (digits_artifact / "README.md").read_text()
    bodies = [body(line) for line in card.splitlines() if "curl -d" in line]
    asked = [one["signature_name"] for one in bodies]
    manifest = json.loads((digits_artifact / "manifest.json").read_text())
    assert asked == [*manifest["signatures"]]  # every one
    for one in bodies:
        rows, described = one["instances"], manifest["signatures"]
        described = described[one["signature_name"]]["inputs"]
        inputs = {
            key: np.array([row[key] for row in rows], entry["dtype"])
            for key, entry in described.items()
        }
        for value in loaded(one["signature_name"], inputs).values():
            assert len(value) == 2 and np.isfinite(value).all()
        if "images" in inputs:
            assert inputs["images"].shape == (2, 8, 8, 1)
            assert 0.1 < inputs["images"].mean() < 0.5  # there is something on it
    assert "at most 64 rows" in card and "30 s" not in card
    (program,) = re.findall(r"```python\n(import grpc.*?)```", card, re.DOTALL)
    names = {}
    with pytest.raises(grpc.RpcError) as caught:  # no server, but all is as it wants
        exec(program.replace(":8500", ":1"), names)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    inputs = {k: tf.make_ndarray(v) for k, v in names["request"].inputs.items()}
    outputs = loaded(names["request"].model_spec.signature_name, inputs)
    assert len(outputs["images"]) == 2


def test_examples_of_every_kind_of_input():
    inputs = {
        "token_ids": prompt(SimpleNamespace(tokenizer=Bytes())),
        "prompt": Input((), "string"),
        "seed": seed(),
        "label": label(SimpleNamespace(classes=3)),
        "top_p": Input(low=1e-6, high=1.0, default=0.9),
        "noise_level": Input(low=0.0, high=1.0),
        "mask": Input((8, 8, 1), low=0.0, high=1.0),
    }
    typical = {"prompt": ["it's\n", "é"], "token_ids": np.int32([[1, 5], [1, 0]])}
    sent = body(serving.curl("m", "s", inputs, typical))
    first, second = sent["instances"]
    mask = np.array(first.pop("mask"))
    assert mask.shape == (8, 8, 1) and mask.sum() == 16 and mask[3, 4] == 1
    rest = {"seed": 1, "label": 0, "top_p": 0.9, "noise_level": 0.5}
    assert first == {"token_ids": [1, 5], "prompt": "it's\n"} | rest
    assert (second["seed"], second["label"], second["prompt"]) == (2, 1, "é")
    for name, entry in inputs.items():
        value = eval(serving.python_value(name, entry, typical), {"np": np})
        assert len(value) == 2 and value.ndim == 1 + len(entry.shape)


def test_a_card_of_texts_asks_with_texts_of_its_kind():
    """Not with "The" where molecules are written; and says what servers do."""
    most = {"max_new_tokens": 20, "max_new_tokens_limit": 40}
    model = kerasgen.LanguageModel(
        Characters("\n#(1CNO"), context=16, opening="\n", **most
    )
    kind = kinds.of(model.signatures())
    typical = kind.typical(model)
    for text, row in zip(typical["prompt"], typical["token_ids"], strict=True):
        assert set(text) <= set("\n#(1CNO")
        assert row.tolist()[0] == 0 and model.codec.texts(row[None]) == [text]
    text = card._serving(model, "gpt", typical)
    asked = [body(line) for line in text.splitlines() if line.startswith("curl")]
    assert [one["signature_name"] for one in asked] == [
        "generate",
        "complete",
        "logits",
    ]
    assert asked[1]["instances"][0]["prompt"] == typical["prompt"][0]
    assert "30 s" in text and "`generate`, `complete` take" in text
    assert "*with the first number of each request*" in text
    table = card._inputs(model)
    assert "| `max_new_tokens` | 0 … 40 | 20 | the nearest |" in table
    assert "| `token_ids` | 0 … 8 |  | 0 |" in table
    assert "`label`:" not in card._inputs(model, ["no", "yes"])  # it takes none
    gan = kerasgen.GAN((4, 4, 1), 2, classes=2)
    assert card._inputs(gan, ["no", "yes"]).endswith("\n\n`label`: 0 no, 1 yes.")
    assert "`label`:" not in card._inputs(gan, ["0", "1"])  # its own name
    translator = kerasgen.Translator(Characters("abc"), context=8, beam=1)
    found = kind.typical(
        translator, ["ab c", "c"]
    )  # of which it doesn't know the space
    assert found["text"] == ["ab c", "c"]
    assert found["token_ids"].tolist() == [[1, 2, 3, 4], [1, 4, 0, 0]]
    found = kind.typical(translator)
    assert all(found["text"]) and found["token_ids"].shape == (2, 2)
