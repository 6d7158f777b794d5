"""Which operations exported files may hold: those that compute, and no others.

A SavedModel is a program: its graph can read and write files or run Python. What a
server could reach is checked against a list of operations that only compute.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from kerasgen.export import loops

# By block: structure, control and variables, which are only read; arithmetic and logic;
# reduction, order and search; arrays, lists and ragged tensors; networks and images;
# strings, and tokenizers whose tables are in the graph.
_COMPUTE = """
Assert Bitcast Case Cast CheckNumerics Const EnsureShape Fill Identity IdentityN If
Merge NoOp OnesLike PartitionedCall Placeholder PlaceholderWithDefault PreventGradient
Range Rank ReadVariableOp Shape ShapeN Size StatefulPartitionedCall StatelessCase
StatelessIf StatelessWhile StopGradient Switch VarHandleOp While ZerosLike

Abs Acos Acosh Add AddN AddV2 All Any ApproximateEqual Asin Asinh Atan Atan2 Atanh
BitwiseAnd BitwiseOr BitwiseXor Ceil ClipByValue Cos Cosh Digamma DivNoNan Equal Erf
Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Igamma Inv Invert
IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot
LogicalOr Maximum Minimum Mod Mul MulNoNan Ndtri Neg NotEqual Pow RealDiv Reciprocal
RightShift Rint Round Rsqrt Select SelectV2 Sigmoid Sign Sin Sinh Sqrt Square
SquaredDifference Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy

ArgMax ArgMin Bincount Bucketize Cumprod Cumsum CumulativeLogsumexp DenseBincount
InTopKV2 InvertPermutation LowerBound Max Mean Min Prod SegmentMaxV2 SegmentMean
SegmentSumV2 Sum TopKV2 Unique UniqueV2 UnsortedSegmentMax UnsortedSegmentMin
UnsortedSegmentProd UnsortedSegmentSum UpperBound Where

BatchToSpaceND BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset
ConcatV2 DepthToSpace Diag DiagPart DynamicPartition DynamicStitch EmptyTensorList
ExpandDims Gather GatherNd GatherV2 LinSpace MatrixBandPart MatrixDiagPartV3
MatrixDiagV3 MirrorPad OneHot Pack Pad PadV2 ParallelDynamicStitch RaggedGather
RaggedRange RaggedTensorFromVariant RaggedTensorToTensor RaggedTensorToVariant Reshape
Reverse ReverseSequence ReverseV2 Roll ScatterNd Slice SpaceToBatchND SpaceToDepth
Split SplitV Squeeze StridedSlice TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
TensorListSetItem TensorListSplit TensorListStack TensorScatterAdd TensorScatterMax
TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile
Transpose Unpack XlaDynamicSlice XlaDynamicUpdateSlice

AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd Conv2D
Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 CropAndResize DepthwiseConv2dNative
DepthwiseConv2dNativeBackpropInput Einsum Elu FusedBatchNorm FusedBatchNormV2
FusedBatchNormV3 L2Loss LRN LeakyRelu LogSoftmax MatMul MaxPool MaxPool3D MaxPoolV2
Relu Relu6 ResizeBicubic ResizeBilinear ResizeNearestNeighbor Selu Softmax
SoftmaxCrossEntropyWithLogits Softplus Softsign SparseSoftmaxCrossEntropyWithLogits
XlaConvV2 XlaDotV2

AsString DecodePaddedRaw DecodeRaw HashTableV2 InitializeTableV2 LookupTableFindV2
LookupTableImportV2 LookupTableSizeV2 NormalizeUTF8 ReduceJoin RegexFullMatch
RegexReplace SentencepieceDetokenizeOp SentencepieceOp SentencepieceTokenizeOp
StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin StringLength
StringLower StringSplitV2 StringStrip StringToHashBucketFast StringToNumber StringUpper
Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript
UnicodeTranscode UnsortedSegmentJoin
"""
COMPUTE = frozenset(_COMPUTE.split())
# A server loads weights, by one function; another saves them, which no server calls.
LOAD = COMPUTE | {"AssignVariableOp", "RestoreV2"}
SAVE = LOAD | {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename"}

FILES = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
DOMAINS = {"", "ai.onnx"}  # whose operations are ONNX's own


def problems(artifact: Path, formats=("savedmodel", "onnx")) -> list[str]:
    """A line for each file of an artifact that could do more than compute. LiteRT's
    own operations, all that its interpreter has, only compute.
    """
    lines = []
    if "savedmodel" in formats and (artifact / "1").exists():
        lines += savedmodel_problems(artifact / "1")
    for path in sorted((artifact / "onnx").glob("*.onnx")) if "onnx" in formats else ():
        try:
            proto = onnx.load(path, load_external_data=False)
        except DecodeError:
            lines.append(f"onnx/{path.name}: damaged")
            continue
        lines += [f"onnx/{path.name}: {line}" for line in onnx_problems(proto)]
    return lines


def savedmodel_problems(folder: Path) -> list[str]:
    """A line for each operation that does more than compute: what it is part of."""
    strange = sorted({path.name for path in folder.iterdir()} - FILES)
    if strange:  # loaders would prefer some to saved_model.pb
        return [f"{folder.name}/{name}: no file of a SavedModel" for name in strange]
    try:
        content = (folder / "saved_model.pb").read_bytes()
        saved = saved_model_pb2.SavedModel.FromString(content)
    except (OSError, DecodeError):
        return [f"{folder.name}/saved_model.pb: missing or damaged"]
    if [list(graph.meta_info_def.tags) for graph in saved.meta_graphs] != [["serve"]]:
        return [f"{folder.name}/saved_model.pb: must hold one graph, to serve"]
    found = {}
    for graph in saved.meta_graphs:
        for owner, operation in _forbidden(graph):
            found.setdefault(operation, owner)
    return [f"{who}: {op} does more than compute" for op, who in found.items()]


def _forbidden(meta_graph) -> Iterator[tuple[str, str]]:
    """-> (who reaches it, operation)."""
    graph = _Graph(meta_graph.graph_def)
    saver = meta_graph.saver_def
    saved, loaded = (
        graph.reached([name])
        for name in (saver.save_tensor_name, saver.restore_op_name)
    )
    for name, definition in meta_graph.signature_def.items():
        outputs = [value.name for value in definition.outputs.values()]
        for operation in graph.operations(graph.reached(outputs)) - COMPUTE:
            yield f"signature {name}", operation
    everything = graph.everything()
    for who, reached, allowed in (
        ("loading", loaded, LOAD),
        ("saving", saved - loaded, SAVE),
        ("the graph", everything - saved - loaded, COMPUTE),
    ):
        for operation in graph.operations(reached) - allowed:
            yield who, operation


class _Graph:
    """The nodes of a graph and of its functions, by key: (function or "", name)."""

    def __init__(self, graph_def):
        self.functions = {f.signature.name: f for f in graph_def.library.function}
        bodies = {"": graph_def.node}
        bodies |= {name: f.node_def for name, f in self.functions.items()}
        self.nodes = {
            (name, node.name): node for name, body in bodies.items() for node in body
        }
        self.bodies = {
            name: {(name, node.name) for node in body} for name, body in bodies.items()
        }

    def everything(self) -> set:
        return set(self.nodes)

    def reached(self, tensors) -> set:
        """What computes these tensors of the graph: every node of a function counts,
        as those with effects run even if nothing takes their outputs."""
        todo = [("", _node(name)) for name in tensors if name]
        found = set()
        while todo:
            key = todo.pop()
            if key in found or key not in self.nodes:
                continue
            found.add(key)
            for function in self._called(self.nodes[key]):
                todo += self.bodies[function]
            if key[0] == "":
                todo += [("", _node(name)) for name in self.nodes[key].input]
        return found

    def _called(self, node) -> Iterator[str]:
        names = [node.op]
        for value in node.attr.values():
            names += [value.func.name, *(f.name for f in value.list.func)]
        return (name for name in names if name in self.functions)

    def operations(self, keys) -> set[str]:
        return {self.nodes[key].op for key in keys} - set(self.functions)


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def onnx_problems(proto: onnx.ModelProto) -> list[str]:
    """A line for each operation of another domain, and for weights elsewhere."""
    graphs = list(loops.with_subgraphs(proto.graph))
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for function in proto.functions for node in function.node]
    strange = {f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in DOMAINS}
    lines = [f"{name} is no operation of ONNX's own" for name in sorted(strange)]
    for tensor in (tensor for graph in graphs for tensor in graph.initializer):
        for entry in tensor.external_data:
            if entry.key == "location" and Path(entry.value).name != entry.value:
                lines.append(f"{tensor.name} lies in {entry.value}")
    return lines
