"""Run an artifact's signatures in each runtime.

Imports neither kerasgen nor Keras: verification runs this file as a program of its own,
so that what answers is the exported file alone.
"""

import ctypes
import functools
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

FILES = {  # of a signature in ONNX; SavedModels and LiteRT have one for all
    "onnx": "onnx/{}.onnx",
    "onnx-fp16": "onnx/{}.fp16.onnx",
    "onnx-int8": "onnx/{}.int8.onnx",
    "litert": "litert/model.tflite",
    "litert-int8": "litert/model.int8.tflite",
}


ALONE = {  # until version 0.1 each signature had a file of its own
    "litert": "litert/{}.tflite",
    "litert-int8": "litert/{}.int8.tflite",
}


def path(runtime: str, artifact: Path, signature: str = "") -> Path:
    """The file or folder that a runtime opens for a signature."""
    found = artifact / FILES.get(runtime, "1").format(signature)
    if runtime in ALONE and not found.exists():
        alone = artifact / ALONE[runtime].format(signature)
        return alone if alone.exists() else found
    return found


def answered(runtime: str, artifact: Path, signatures: Iterable[str]) -> list[str]:
    """Those signatures that files of a runtime are there for."""
    together = artifact / FILES.get(runtime, "1")
    if format(runtime) == "litert" and together.exists():
        held = held_by(together)
        return [name for name in signatures if name in held]
    return [name for name in signatures if path(runtime, artifact, name).exists()]


def held_by(tflite: Path) -> list[str]:
    """The signatures in a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        return list(Interpreter(model_path=str(tflite)).get_signature_list())
    except ValueError:
        return []


def format(runtime: str) -> str:
    """What a runtime opens: "savedmodel", "onnx" or "litert"."""
    return runtime.split("-")[0] if runtime in FILES else "savedmodel"


def savedmodel(artifact: Path, signature: str) -> Callable:
    """TensorFlow's Python loader."""
    import tensorflow as tf

    folder = path("savedmodel", artifact, signature)
    for library in libraries(folder):
        tf.load_op_library(str(library))
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures[signature]

    def call(inputs: dict) -> dict:
        _ = loaded  # signatures hold no reference to what they are part of
        outputs = function(**{k: tf.constant(v) for k, v in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return call


def libraries(savedmodel: Path) -> list[Path]:
    """Those of operations that TF Serving has, but TensorFlow alone has not."""
    if b"SentencepieceOp" not in (savedmodel / "saved_model.pb").read_bytes():
        return []
    text = importlib.util.find_spec("tensorflow_text")  # importing it imports Keras
    (home,) = text.submodule_search_locations
    return [Path(home) / "python" / "ops" / "_sentencepiece_tokenizer.so"]


def onnx(artifact: Path, signature: str, runtime: str = "onnx") -> Callable:
    """ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(path(runtime, artifact, signature)),
        options,
        providers=["CPUExecutionProvider"],
    )
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def litert(artifact: Path, signature: str, runtime: str = "litert") -> Callable:
    """The LiteRT interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path(runtime, artifact, signature)))
    runner = interpreter.get_signature_runner(signature)
    return lambda inputs: runner(**inputs)


def tensorflow_c(artifact: Path, signature: str) -> Callable:
    """TensorFlow's C loader with the tag `serve`: the call that TF Serving makes."""
    endpoints = json.loads((artifact / "endpoints.json").read_text())[signature]
    session = _CSession(path("tensorflow_c", artifact, signature))
    return lambda inputs: session.run(
        {endpoints["inputs"][name]: value for name, value in inputs.items()},
        endpoints["outputs"],
    )


RUNTIMES = {
    "savedmodel": savedmodel,
    "tensorflow_c": tensorflow_c,
    "onnx": onnx,
    "litert": litert,
}
# Smaller files, which answer a little different.
VARIANTS = {
    "onnx-fp16": functools.partial(onnx, runtime="onnx-fp16"),
    "onnx-int8": functools.partial(onnx, runtime="onnx-int8"),
    "litert-int8": functools.partial(litert, runtime="litert-int8"),
}


def server(runtime: str, artifact: Path) -> Callable:
    """A function `(signature, **inputs) -> outputs`; files are opened when used."""
    opened = {}

    def serve(signature: str, **inputs) -> dict:
        if signature not in opened:
            opened[signature] = (RUNTIMES | VARIANTS)[runtime](artifact, signature)
        return opened[signature](inputs)

    return serve


def without_objects(arrays: dict) -> dict:
    """The same with bytes of one width for objects, which a file would have pickled."""
    return {
        name: np.array(array.tolist(), "S") if array.dtype == object else array
        for name, array in arrays.items()
    }


def c_library() -> tuple[Path, Path]:
    """TensorFlow's own of its C interface; both only on Linux."""
    home = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    return home / "libtensorflow_framework.so.2", home / "libtensorflow_cc.so.2"


def left_out() -> dict[str, str]:
    """Runtimes that this machine can't ask, and why."""
    if all(path.exists() for path in c_library()):
        return {}
    return {"tensorflow_c": "its C library is in TensorFlow's packages for Linux only"}


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class _CSession:
    """A SavedModel opened through TensorFlow's C API, with ctypes and numpy only."""

    TYPES = {1: "float32", 3: "int32", 9: "int64"}  # TF_DataType
    STRING, STRING_SIZE = 7, 24  # and the bytes of a TF_TString

    def __init__(self, folder: Path):
        for library in c_library():
            self.tf = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        for name in (
            "NewStatus",
            "NewGraph",
            "NewSessionOptions",
            "GraphOperationByName",
            "LoadSessionFromSavedModel",
            "AllocateTensor",
            "TensorData",
            "StringGetDataPointer",
        ):
            getattr(self.tf, f"TF_{name}").restype = ctypes.c_void_p
        self.tf.TF_Message.restype = ctypes.c_char_p
        self.tf.TF_TensorByteSize.restype = ctypes.c_size_t
        self.tf.TF_StringGetSize.restype = ctypes.c_size_t
        self.tf.TF_Dim.restype = ctypes.c_int64
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        for file in libraries(folder):
            self.tf.TF_LoadLibrary(str(file).encode(), self.status)
            self._check()
        self.graph = ctypes.c_void_p(self.tf.TF_NewGraph())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.tf.TF_LoadSessionFromSavedModel(
                ctypes.c_void_p(self.tf.TF_NewSessionOptions()),
                None,
                str(folder).encode(),
                tags,
                1,
                self.graph,
                None,
                self.status,
            )
        )
        self._check()

    def run(self, inputs: dict, outputs: dict) -> dict:
        """Tensor name -> array, name -> tensor name; -> name -> array."""
        feeds = (_Output * len(inputs))(*map(self._output, inputs))
        values = [self._tensor(array) for array in inputs.values()]
        fetches = (_Output * len(outputs))(*map(self._output, outputs.values()))
        results = (ctypes.c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            self.session,
            None,
            feeds,
            (ctypes.c_void_p * len(values))(*values),
            len(values),
            fetches,
            results,
            len(outputs),
            None,
            0,
            None,
            self.status,
        )
        self._check()
        arrays = {
            name: self._array(r) for name, r in zip(outputs, results, strict=True)
        }
        for tensor in [*values, *results]:
            self.tf.TF_DeleteTensor(ctypes.c_void_p(tensor))
        return arrays

    def _check(self):
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def _output(self, tensor: str) -> _Output:
        name, _, index = tensor.partition(":")
        operation = self.tf.TF_GraphOperationByName(self.graph, name.encode())
        return _Output(operation, int(index or 0))

    def _tensor(self, array: np.ndarray) -> int:
        if array.dtype.kind in "SO":  # bytes, of one width or as objects
            return self._strings(array)
        array = np.ascontiguousarray(array)
        kind = {name: number for number, name in self.TYPES.items()}[array.dtype.name]
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = self.tf.TF_AllocateTensor(kind, shape, array.ndim, size)
        data = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, array.ctypes.data, array.nbytes)
        return tensor

    def _strings(self, array: np.ndarray) -> int:
        shape = (ctypes.c_int64 * 1)(len(array))
        size = ctypes.c_size_t(self.STRING_SIZE * len(array))
        tensor = self.tf.TF_AllocateTensor(self.STRING, shape, 1, size)
        for i, text in enumerate(array.tolist()):
            place = self._place(ctypes.c_void_p(tensor), i)
            self.tf.TF_StringInit(place)
            self.tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
        return tensor

    def _text(self, tensor, i: int) -> bytes:
        place = self._place(tensor, i)
        size = self.tf.TF_StringGetSize(place)
        return ctypes.string_at(self.tf.TF_StringGetDataPointer(place), size)

    def _place(self, tensor, i: int):
        return ctypes.c_void_p(self.tf.TF_TensorData(tensor) + i * self.STRING_SIZE)

    def _array(self, tensor: int) -> np.ndarray:
        tensor = ctypes.c_void_p(tensor)
        rank = self.tf.TF_NumDims(tensor)
        shape = [self.tf.TF_Dim(tensor, i) for i in range(rank)]
        if self.tf.TF_TensorType(tensor) == self.STRING:
            texts = [self._text(tensor, i) for i in range(math.prod(shape))]
            return np.array(texts, object).reshape(shape)
        array = np.empty(shape, self.TYPES[self.tf.TF_TensorType(tensor)])
        size = self.tf.TF_TensorByteSize(tensor)
        ctypes.memmove(array.ctypes.data, self.tf.TF_TensorData(tensor), size)
        return array


def main(request: str) -> None:
    """Answer the calls of a JSON file: {"artifact", "runtime", "calls": [{"signature",
    "inputs": FILE.npz, "outputs": FILE.npz}]}."""
    for forbidden in ("kerasgen", "keras"):
        sys.modules[forbidden] = None  # importing it would fail
    job = json.loads(Path(request).read_text(encoding="utf-8"))
    opened = {}
    for call in job["calls"]:
        name = call["signature"]
        if name not in opened:
            load = (RUNTIMES | VARIANTS)[job["runtime"]]
            opened[name] = load(Path(job["artifact"]), name)
        with np.load(call["inputs"], allow_pickle=False) as file:
            inputs = {key: file[key] for key in file.files}
        np.savez(call["outputs"], **without_objects(opened[name](inputs)))


if __name__ == "__main__":
    main(sys.argv[1])
