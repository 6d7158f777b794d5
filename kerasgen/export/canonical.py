"""ONNX graphs whose order and names follow from what they compute.

tf2onnx goes through sets, so names and orders differ from one process to the next.
"""

import itertools
from collections.abc import Iterator

import onnx


def settle_onnx(graph: onnx.GraphProto) -> None:
    """Put nodes and weights in the order in which the outputs need them, and name them
    by it. Inputs and outputs keep their names; equal weights become one, and what no
    output needs goes."""
    graph.doc_string = ""
    fixed = [value.name for value in [*graph.input, *graph.output]]
    _settle(graph, {name: name for name in fixed}, itertools.count())


def _settle(graph, names: dict[str, str], numbers: Iterator[int]) -> None:
    """`names`, old -> new, are those that are decided, of the graphs around too."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes, stored = [], {}  # (name, where it is fixed, content) -> weight
    for thing in list(_needed(graph)):
        if isinstance(thing, str):
            weight = onnx.TensorProto()
            weight.CopyFrom(weights[thing])
            weight.name = ""
            content = names.get(thing), weight.SerializeToString(deterministic=True)
            if content not in stored:
                weight.name = names.get(thing) or f"weight_{next(numbers)}"
                stored[content] = weight
            names[thing] = stored[content].name
            continue
        node = onnx.NodeProto()
        node.CopyFrom(thing)
        for name in thing.output:
            if name and name not in names:
                names[name] = f"{thing.op_type}_{next(numbers)}"
        node.input[:] = [names[name] if name else "" for name in thing.input]
        node.output[:] = [names[name] if name else "" for name in thing.output]
        node.name = next(filter(None, node.output))
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                inner = dict(names)
                for value in attribute.g.input:
                    inner[value.name] = f"input_{next(numbers)}"
                _settle(attribute.g, inner, numbers)
        nodes.append(node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(stored.values())
    known = [value for value in graph.value_info if value.name in names]
    for value in [*known, *graph.input, *graph.output]:
        value.name = names[value.name]
    known = sorted({value.name: value for value in known}.items())
    known = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for _, v in known]
    del graph.value_info[:]
    graph.value_info.extend(known)


def _needed(graph) -> Iterator[onnx.NodeProto | str]:
    """The nodes, and the names of the weights, that outputs need, each after what it
    needs itself."""
    made = {name: node for node in graph.node for name in node.output if name}
    weights = {tensor.name for tensor in graph.initializer}
    done = set()
    todo = [(value.name, False) for value in reversed(graph.output)]
    while todo:
        name, ready = todo.pop()
        if name in done:
            continue
        if name in weights:
            done.add(name)
            yield name
        elif name in made and ready:
            done.update(made[name].output)
            yield made[name]
        elif name in made:
            todo.append((name, True))
            todo += [(read, False) for read in reversed(_reads(made[name]))]


def _reads(node) -> list[str]:
    """What a node reads, in order; its subgraphs too."""
    found = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            found += _outer(attribute.g)
    return found


def _outer(graph) -> list[str]:
    """What a graph reads of those around it, in the order in which it needs it."""
    own = {value.name for value in graph.input}
    own |= {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    read = [
        name
        for node in _needed(graph)
        if not isinstance(node, str)
        for name in _reads(node)
    ]
    read += [value.name for value in graph.output]
    return [name for name in dict.fromkeys(read) if name not in own]
