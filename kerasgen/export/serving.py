"""What TF Serving reads besides a SavedModel, and how its clients ask.

Warm-up requests lie in the SavedModel itself; `models.config` and `batching.config`
beside the artifacts serve all of them from one server.
"""

import json
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from kerasgen.export import manifest
from kerasgen.signature import Input, Signature
from kerasgen.training.checkpoint import atomic

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
MODELS, BATCHING = "models.config", "batching.config"
MOUNT = "/models"  # where the server's container sees the artifacts
LONGEST = 48  # numbers of a row that an example in JSON may have

# Rows are independent, so requests of several clients are computed together. Lengths
# are not filled up: TF Serving does that with a row's first token, where 0 is padding.
BATCHING_TEXT = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 4 }
pad_variable_length_inputs: false
"""


def write_warmup(savedmodel: Path, name: str, requests: dict) -> None:
    """Write the requests that a server runs before it takes traffic.

    Args:
        savedmodel: its folder.
        name: the name that the model is served under.
        requests: signature -> input -> array.
    """
    path = savedmodel / WARMUP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request(name, signature, inputs))
            writer.write(log.SerializeToString())


def read_warmup(savedmodel: Path) -> dict[str, dict[str, np.ndarray]]:
    """Signature -> input -> array: what `write_warmup` wrote; empty without a file."""
    path = savedmodel / WARMUP
    requests = {}
    for record in tf.data.TFRecordDataset(str(path)) if path.exists() else ():
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        asked = log.predict_log.request
        arrays = {key: tf.make_ndarray(value) for key, value in asked.inputs.items()}
        texts = {k: a.astype("S") for k, a in arrays.items() if a.dtype == object}
        requests[asked.model_spec.signature_name] = arrays | texts
    return requests


def request(name: str, signature: str, inputs: dict) -> predict_pb2.PredictRequest:
    """A request as TF Serving's clients send it."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    for key, array in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return message


def write_configs(zoo: Path) -> None:
    """Write `zoo`/models.config and batching.config for the artifacts in it."""
    config = model_server_config_pb2.ModelServerConfig()
    for path in sorted(zoo.glob(f"*/{manifest.NAME}")):
        if (path.parent / "1").is_dir():
            name = path.parent.name
            config.model_config_list.config.add(
                name=name, base_path=f"{MOUNT}/{name}", model_platform="tensorflow"
            )
    for name, text in (
        (MODELS, text_format.MessageToString(config)),
        (BATCHING, BATCHING_TEXT),
    ):
        with atomic(zoo / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


# Examples for cards.


def python_value(name: str, entry: Input) -> str:
    """NumPy code of an input for two rows."""
    if name == "seed":
        return 'np.array([1, 2], "int32")'
    if entry.dtype == "string":
        return 'np.array(["The", "A"])'
    return f'np.full({_shape(entry, 2)}, {_fill(entry)}, "{entry.dtype}")'


def curl(name: str, signature: str, inputs: dict[str, Input]) -> str | None:
    """A command that asks for two rows; None where they are too long to print."""
    if any(math.prod(_shape(entry)) > LONGEST for entry in inputs.values()):
        return None
    rows = [{k: _row(k, entry, i) for k, entry in inputs.items()} for i in range(2)]
    body = json.dumps({"signature_name": signature, "instances": rows})
    return f"curl -d '{body}' localhost:8501/v1/models/{name}:predict"


def grpc_program(name: str, signature: str, described: Signature) -> str:
    """A Python program that asks for two rows."""
    lines = [
        "import grpc",
        "import numpy as np",
        "import tensorflow as tf",
        "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
        "",
        "request = predict_pb2.PredictRequest()",
        f'request.model_spec.name = "{name}"',
        f'request.model_spec.signature_name = "{signature}"',
    ]
    for key, entry in described.inputs.items():
        value = python_value(key, entry)
        lines.append(f'request.inputs["{key}"].CopyFrom(tf.make_tensor_proto({value}))')
    return "\n".join(
        [
            *lines,
            'channel = grpc.insecure_channel("localhost:8500")',
            "service = prediction_service_pb2_grpc.PredictionServiceStub(channel)",
            "response = service.Predict(request, timeout=60)",
            f'array = tf.make_ndarray(response.outputs["{described.outputs[0]}"])',
        ]
    )


def _shape(entry: Input, *batch: int) -> tuple:
    return (*batch, *(1 if size is None else size for size in entry.shape))


def _fill(entry: Input) -> int | float:
    value = max(entry.low, 0.0) if entry.default is None else entry.default
    return int(value) if entry.dtype == "int32" else float(value)


def _row(name: str, entry: Input, i: int):
    """A row as JSON has it."""
    if name == "seed":
        return i + 1
    if entry.dtype == "string":
        return ("The", "A")[i]
    return np.full(_shape(entry), _fill(entry), entry.dtype).tolist()
