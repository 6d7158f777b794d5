"""ONNX, for every other runtime: one file a signature, weights stored once."""

import contextlib
import hashlib
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import external_data_helper, numpy_helper

from kerasgen.export import loops, rewrites
from kerasgen.export.canonical import settle_onnx
from kerasgen.models.base import Model
from kerasgen.signature import Signature

OPSET = 18
SHARED = "shared.weights"  # tensors that several files hold
SHARED_16 = "shared.fp16.weights"

# tf2onnx would copy the graph before each optimisation, to have it if that fails.
os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")


def convert(signature: Signature, metadata: dict[str, str]) -> onnx.ModelProto:
    """One signature; axis names "batch" (and "length"), names as in the signature."""
    specs = signature.specs()
    function = tf.function(_of_no_rows_too(signature), input_signature=specs)
    with _quiet():
        proto, _ = tf2onnx.convert.from_function(
            function, input_signature=specs, opset=OPSET
        )
    loops.lighten(proto.graph)  # what were states of loops, rules see as constants
    proto = rewrites.shorten(proto)
    loops.lighten(proto.graph)  # of what is new
    loops.settle(proto.graph)
    known = function.get_concrete_function().structured_outputs
    for value in proto.graph.output:  # rewriting forgets some
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, known[value.name].shape, strict=True):
            if size is not None:
                dim.dim_value = size
    for value in [*proto.graph.input, *proto.graph.output]:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if not size.HasField("dim_value"):
                size.dim_param = "length" if axis else "batch"
    for value in proto.graph.value_info:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param.startswith("unk__"):
                size.Clear()
    settle_onnx(proto.graph)
    about = {"opset": str(OPSET), "ir_version": str(proto.ir_version)}
    for key, text in (metadata | about).items():
        proto.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _of_no_rows_too(signature: Signature) -> Callable:
    """The function; where there are no rows it computes one and drops it.

    ONNX's reshapes and convolutions can't have none. Texts get along, and would pay:
    a copy of what all tokens before left in a cache, at each step.
    """
    function = signature.positional()
    if any(None in entry.shape for entry in signature.inputs.values()):
        return function

    def padded(*values):
        rows = tf.shape(values[0])[0]
        more = tf.maximum(1 - rows, 0)
        some = [tf.pad(v, [[0, more], *[[0, 0]] * (v.shape.rank - 1)]) for v in values]
        return {name: value[:rows] for name, value in function(*some).items()}

    return padded


def write(model: Model, folder: Path, metadata: dict[str, str]) -> dict[str, str]:
    """Write `folder`/<signature>.onnx; -> signature -> reason, where it can't be."""
    protos, unsupported = {}, {}
    for name, signature in model.signatures().items():
        if not signature.serves("onnx"):
            continue
        try:
            protos[name] = convert(signature, metadata | {"signature": name})
        except Exception as error:  # tf2onnx and onnx raise all kinds
            unsupported[name] = " ".join(str(error).split())[:300]
    folder.mkdir()
    for name, proto in protos.items():
        if model.signatures()[name].int8:
            onnx.save(in_8_bits(proto), folder / f"{name}.int8.onnx")
    halves = {f"{name}.fp16": in_16_bits(proto) for name, proto in protos.items()}
    for files, shared in ((protos, SHARED), (halves, SHARED_16)):
        share_weights(files.values(), folder, shared)
        for name, proto in files.items():
            onnx.save(proto, folder / f"{name}.onnx")
    if not protos:
        folder.rmdir()
    return unsupported


def in_8_bits(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same with weights of 8 bits: of products, in loops too, and of embeddings.

    Of these 7 are used. Without VNNI x86 adds two products of a byte and a weight in 16
    bits: 2 · 255 · 64 fit, 2 · 255 · 127 don't.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as scratch, _quiet():
        before, after = (str(Path(scratch) / name) for name in ("before", "after"))
        onnx.save(proto, before)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul", "Gather"],
            weight_type=QuantType.QInt8,
            reduce_range=True,
            extra_options={"EnableSubgraph": True},
        )
        return onnx.load(after)


def in_16_bits(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same with weights stored as float16. They are cast once, when a runtime opens
    the file, so it computes in float32 and needs no processor with float16."""
    half = onnx.ModelProto()
    half.CopyFrom(proto)
    for graph in loops.with_subgraphs(half.graph):
        casts = []
        for tensor in graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.dtype != np.float32 or weights.nbytes <= loops.SMALL:
                continue
            name, stored = tensor.name, f"{tensor.name}/float16"
            limits = np.finfo("float16")
            weights = np.clip(weights, limits.min, limits.max).astype("float16")
            tensor.CopyFrom(numpy_helper.from_array(weights, stored))
            to = {"to": onnx.TensorProto.FLOAT}
            casts.append(onnx.helper.make_node("Cast", [stored], [name], **to))
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
    return half


def share_weights(protos, folder: Path, shared: str = SHARED) -> None:
    """Move tensors that several models hold into one external file, `shared`."""
    tensors = [
        tensor
        for proto in protos
        for graph in loops.with_subgraphs(proto.graph)
        for tensor in graph.initializer
        if tensor.ByteSize() > loops.SMALL
    ]
    digests = [hashlib.sha256(_bytes(tensor)).digest() for tensor in tensors]
    count = Counter(digests)
    offsets, end = {}, 0
    with open(folder / shared, "wb") as file:
        for tensor, digest in zip(tensors, digests, strict=True):
            if count[digest] == 1:
                continue
            data = _bytes(tensor)
            if digest not in offsets:
                offsets[digest] = end
                file.write(data + b"\0" * (-len(data) % 64))
                end = file.tell()
            tensor.raw_data = data
            external_data_helper.set_external_data(
                tensor, shared, offset=offsets[digest], length=len(data)
            )
            tensor.ClearField("raw_data")
            for field in ("float_data", "int32_data", "int64_data"):
                tensor.ClearField(field)
    if not offsets:
        (folder / shared).unlink()


def _bytes(tensor: onnx.TensorProto) -> bytes:
    return np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()


@contextlib.contextmanager
def _quiet():
    """tf2onnx logs progress and warnings; what matters is checked by verification."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(level)
