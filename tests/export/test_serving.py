"""What TF Serving reads and its clients send. There is no TF Serving among the
packages: its protos, and its loader, TensorFlow's C API, stand for it."""

import json
import re
import shlex

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

from kerasgen.export import runtimes, savedmodel, serving
from kerasgen.signature import Input, seed


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
    assert batching.max_batch_size.value >= 32
    assert not batching.pad_variable_length_inputs  # with a token, not with 0


def test_the_requests_of_a_card_work(digits_artifact, loaded):
    card = (digits_artifact / "README.md").read_text()
    commands = [line for line in card.splitlines() if line.startswith("curl")]
    assert len(commands) == 2  # generate and decode: images are too long to print
    for command in commands:
        curl, option, body, url = shlex.split(command)
        assert url == "localhost:8501/v1/models/vae_digits:predict"
        body = json.loads(body)
        rows = body["instances"]
        kinds = {"seed": "int32", "latents": "float32"}
        inputs = {
            key: np.array([row[key] for row in rows], kinds[key]) for key in rows[0]
        }
        outputs = loaded(body["signature_name"], inputs)
        assert outputs["images"].shape == (2, 8, 8, 1)
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
        "token_ids": Input((None,), "int32"),
        "prompt": Input((), "string"),
        "seed": seed(),
        "top_p": Input(low=1e-6, default=1.0),
    }
    rows = json.loads(shlex.split(serving.curl("m", "s", inputs))[2])["instances"]
    assert rows[0] == {"token_ids": [0], "prompt": "The", "seed": 1, "top_p": 1.0}
    for name, entry in inputs.items():
        value = eval(serving.python_value(name, entry), {"np": np})
        assert len(value) == 2 and value.ndim == 1 + len(entry.shape)
    assert serving.curl("m", "s", {"images": Input((28, 28, 1))}) is None
