"""What TF Serving reads besides a SavedModel, and how its clients ask.

Warm-up requests lie in the SavedModel itself; `models.config` and `batching.config`
beside the artifacts serve all of them from one server.
"""

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from kerasgen import manifest
from kerasgen.files import atomic
from kerasgen.inputs import Input
from kerasgen.signature import Signature

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
MODELS, BATCHING = "models.config", "batching.config"
MOUNT = "/models"  # where the server's container sees the artifacts
LONGEST = 48  # numbers of a row that an example in JSON may have
LARGEST_BATCH = 64  # rows

# Rows are independent, so requests of several clients are computed together. Rows of
# shorter requests are filled up with *the first number of their request* (AddPadding in
# tensorflow_serving/batching/batching_util.cc), which graphs take for padding where it
# is 0, or the token 1 that begins texts: see `kerasgen.ids`.
BATCHING_TEXT = f"""\
max_batch_size {{ value: {LARGEST_BATCH} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 1000 }}
num_batch_threads {{ value: 4 }}
pad_variable_length_inputs: true
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
            writer.write(log.SerializeToString(deterministic=True))


def read_warmup(savedmodel: Path) -> dict[str, dict[str, np.ndarray]]:
    """Signature -> input -> array: what `write_warmup` wrote.

    Raises:
        Exception: of any kind, where the file holds something else.
    """
    requests = {}
    for record in tf.data.TFRecordDataset(str(savedmodel / WARMUP)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        if log.WhichOneof("log_type") != "predict_log":
            raise ValueError("a request of another kind")
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


# Examples for cards: requests of two rows.


def python_value(name: str, entry: Input, typical: Mapping) -> str:
    """NumPy code of an input."""
    if _is_long(entry):
        middle = _value(name, entry, 0)
        return f'np.full({(2, *_shape(entry))}, {middle}, "{entry.dtype}")'
    rows = [_row(name, entry, typical, i) for i in range(2)]
    dtype = "" if entry.dtype == "string" else f', "{entry.dtype}"'
    return f"np.array({rows}{dtype})"


def curl(name: str, signature: str, inputs: Mapping, typical: Mapping) -> str:
    """A command that asks TF Serving by HTTP; Python writes what is long.

    Args:
        name: the name that the model is served under.
        signature: the signature's.
        inputs: name -> `Input`.
        typical: see `kerasgen.kinds.Kind.typical`.
    """
    short = {k: entry for k, entry in inputs.items() if not _is_long(entry)}
    rows = [{k: _row(k, e, typical, i) for k, e in short.items()} for i in range(2)]
    request = {"signature_name": signature, "instances": rows}
    url = f"localhost:8501/v1/models/{name}:predict"
    if len(short) == len(inputs):
        body = json.dumps(request, ensure_ascii=False)
        return f"curl -d {shlex.quote(body)} {url}"
    arrays = ", ".join(
        f'"{k}": {_written(entry)}' for k, entry in inputs.items() if k not in short
    )
    program = (
        f"import json; long = {{{arrays}}}; rows = {json.dumps(rows)}; "
        f'print(json.dumps({{"signature_name": "{signature}", '
        '"instances": [row | long for row in rows]}))'
    )
    return f"python3 -c {shlex.quote(program)} | curl -d @- {url}"


def grpc_program(
    name: str, signature: str, described: Signature, typical: Mapping
) -> str:
    """A Python program that asks TF Serving by gRPC."""
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
        value = python_value(key, entry, typical)
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


def _shape(entry: Input) -> tuple:
    return tuple(1 if size is None else size for size in entry.shape)


def _is_long(entry: Input) -> bool:
    return math.prod(_shape(entry)) > LONGEST


def _row(name: str, entry: Input, typical: Mapping, i: int):
    """A row, as JSON and Python write it."""
    if name in typical:
        return np.asarray(typical[name][i]).tolist()
    if entry.dtype == "string":
        return ""
    return np.full(_shape(entry), _value(name, entry, i)).tolist()


def _value(name: str, entry: Input, i: int) -> int | float:
    """A number of row i: a seed or label of its own, the default, or the middle."""
    kind = int if entry.dtype == "int32" else float
    if name in ("seed", "label"):
        value = i + 1 if entry.limit is None else min(i, entry.limit)
    elif entry.default is not None:
        value = entry.default
    else:
        ends = (entry.low, entry.limit)
        value = 0 if None in ends else sum(ends) / 2
    return kind(value)


def _written(entry: Input) -> str:
    """Python code of a long row, without NumPy: a picture of a white square, or a mask
    of it, or a number repeated."""
    if len(entry.shape) != 3:
        code = str(float(_value("", entry, 0)))
        for size in reversed(_shape(entry)):
            code = f"[{code}] * {size}"
        return code
    height, width, channels = entry.shape
    rows, columns = (
        f"{n // 4} <= {v} < {n - n // 4}"
        for v, n in zip("yx", (height, width), strict=True)
    )
    pixel = f"[float({rows} and {columns})] * {channels}"
    return f"[[{pixel} for x in range({width})] for y in range({height})]"
