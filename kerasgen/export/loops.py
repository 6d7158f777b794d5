"""ONNX loops without what doesn't change in them.

tf2onnx hands every weight through a `Loop` as a state, so a sampler would transpose all
its kernels at each step. Here work that depends on such states alone is done once,
before the loop; or never, where it only rearranges weights. And weights that a loop
reads are put inside: ONNX Runtime packs kernels for the processor where they are
initializers of the very graph that reads them.
"""

import copy
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

REARRANGED = {"Reshape", "Squeeze", "Transpose", "Unsqueeze"}  # by which operations
SMALL = 1024  # bytes, of tensors that don't matter
PACKED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}  # of which a runtime packs weights


def lighten(graph: onnx.GraphProto) -> None:
    """Take out of every loop of `graph` what is the same at each step."""
    _lift(graph)
    _rearrange_weights(graph)
    _drop_unused(graph)


def _lift(graph) -> None:
    """What doesn't change in a loop moves in front of it, from the inmost outwards."""
    # Found anew each time: what is done to one puts all nodes into new places.
    for outputs in [n.output[:] for n in graph.node if n.op_type == "Loop"]:
        loop = next(node for node in graph.node if node.output[:] == outputs)
        _lift(_body(loop))
        _drop_constant_states(graph, loop, _body(loop))
        _hoist(graph, loop, _body(loop))


def with_subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """`graph` and all graphs within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from with_subgraphs(attribute.g)


def _body(loop):
    return next(a.g for a in loop.attribute if a.name == "body")


def _drop_constant_states(graph, loop, body) -> None:
    """States that each step hands on as they are: the body reads the first value."""
    passed = {n.output[0]: n.input[0] for n in body.node if n.op_type == "Identity"}

    def origin(name):
        while name in passed:
            name = passed[name]
        return name

    # Loop: (trips, go on, *states) -> states. Body: (trip, go on, *states) -> (go on,
    # *states). Loops of ours don't gather the outputs of all steps.
    inside, outside, kept = {}, {}, []
    for k, start in enumerate(loop.input[2:]):
        before = body.input[k + 2].name
        if origin(body.output[k + 1].name) == before:
            inside[before], outside[loop.output[k]] = start, start
        else:
            kept.append(k)
    for field, first in ((loop.input, 2), (loop.output, 0), (body.input, 2)):
        _replace(field, [*field[:first], *(field[first + k] for k in kept)])
    _replace(body.output, [body.output[0], *(body.output[1 + k] for k in kept)])
    _rename(body, inside)
    _rename(graph, outside)


def _hoist(graph, loop, body) -> None:
    """Nodes that depend on nothing that changes move in front of the loop."""
    changing = {value.name for value in body.input}
    results = {value.name for value in body.output}
    moved, stays = [], []
    for node in body.node:
        fixed = changing.isdisjoint(_reads(node)) and results.isdisjoint(node.output)
        (moved if fixed else stays).append(node)
        if not fixed:
            changing.update(node.output)
    names = {name for node in moved for name in node.output}
    known = [value for value in body.value_info if value.name not in names]
    place = list(graph.node).index(loop)
    graph.initializer.extend(body.initializer)
    nodes = [*graph.node[:place], *map(copy.deepcopy, moved), *graph.node[place:]]
    _replace(body.initializer, [])
    _replace(body.value_info, known)
    _replace(body.node, stays)
    _replace(graph.node, nodes)


def _rearrange_weights(graph) -> None:
    """Weights that are transposed, reshaped or squeezed are stored as such."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type in REARRANGED and weights.keys() >= set(node.input):
            feeds = {name: numpy_helper.to_array(weights[name]) for name in node.input}
            (result,) = ReferenceEvaluator(node).run(None, feeds)
            result = np.ascontiguousarray(result)
            weights[node.output[0]] = numpy_helper.from_array(result, node.output[0])
        else:
            nodes.append(node)
    _replace(graph.node, nodes)
    _replace(graph.initializer, weights.values())


def _drop_unused(graph) -> None:
    """No weights that nothing reads."""
    for part in with_subgraphs(graph):
        used = {name for node in part.node for name in _reads(node)}
        used |= {value.name for value in part.output}
        _replace(part.initializer, [w for w in part.initializer if w.name in used])


def settle(graph: onnx.GraphProto) -> None:
    """Put weights that only a loop of `graph` reads into its body, and copies there of
    those that its products share with something outside."""
    for loop in [node for node in graph.node if node.op_type == "Loop"]:
        weights = {tensor.name: tensor for tensor in graph.initializer}
        others = {name for node in graph.node if node != loop for name in _reads(node)}
        others |= {*loop.input, *(value.name for value in graph.output)}
        alone = weights.keys() & _reads(loop) - others
        shared = weights.keys() & _reads(loop, PACKED) & others
        copies = {name: f"{name}/loop" for name in shared}
        body = _body(loop)
        _rename(body, copies)
        for name, tensor in weights.items():
            if name in alone | shared:
                body.initializer.append(tensor)
                body.initializer[-1].name = copies.get(name, name)
        _replace(graph.initializer, [weights[n] for n in weights if n not in alone])
        settle(body)


def without_copies(graph: onnx.GraphProto, around: dict | None = None) -> None:
    """Have loops read large weights of the graphs around them, in place of copies: a
    file that holds its weights itself is smaller then, and may be slower."""
    known, copies = dict(around or {}), {}
    for tensor in graph.initializer:
        if tensor.ByteSize() > SMALL:
            data = numpy_helper.to_array(tensor)
            name = known.setdefault(
                (data.dtype, data.shape, data.tobytes()), tensor.name
            )
            if name != tensor.name:
                copies[tensor.name] = name
    kept = [tensor for tensor in graph.initializer if tensor.name not in copies]
    _replace(graph.initializer, kept)
    _rename(graph, copies)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                without_copies(attribute.g, known)


def _reads(node, kinds=None) -> set[str]:
    """The names that a node reads, its subgraphs included; or those of it and them that
    are of these kinds."""
    names = set(node.input) if kinds is None or node.op_type in kinds else set()
    for attribute in node.attribute:
        names |= {name for inner in attribute.g.node for name in _reads(inner, kinds)}
        if kinds is None:
            names |= {value.name for value in attribute.g.output}
    return names


def _rename(graph, names: dict[str, str]) -> None:
    """Have `graph` read other names; its outputs keep theirs."""
    for node in graph.node:
        _replace(node.input, [names.get(name, name) for name in node.input])
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)
    for value in graph.output:
        if value.name in names:
            graph.node.append(
                helper.make_node("Identity", [names[value.name]], [value.name])
            )


def _replace(field, items) -> None:
    """The items in place of those of a repeated field."""
    copies = [copy.deepcopy(item) for item in items]
    del field[:]
    field.extend(copies)
