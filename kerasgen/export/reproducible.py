"""Equal bytes for equal models: no dates, no random numbers, and no names or orders
that come from what else a process did."""

import copy
import json
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tensorflow.core.framework import attr_value_pb2, graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from kerasgen.models.base import Model

SINCE = (1980, 1, 1, 0, 0, 0)  # the first date that zip files know
COUNTED = re.compile(r"_\d+$")  # how TensorFlow ends the names of functions
# Attributes of nodes: the machine's devices, and a gradient that isn't exported.
PROCESS = ("config_proto", "_gradient_op_type")
PLACEHOLDER = re.compile(r"_\d+(___redundant_placeholder\d+)$")


def baked(model: Model) -> Model:
    """`model.baked()`, whose layers are named as if they were the first of a process:
    Keras counts names in each thread anew."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(model.baked).result()


def settle_keras(path: Path) -> None:
    """Take the dates out of a .keras file."""
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in sorted(old.namelist())}
    about = json.loads(contents["metadata.json"])
    about.pop("date_saved")
    contents["metadata.json"] = json.dumps(about)
    with zipfile.ZipFile(path, "w") as new:
        for name, content in contents.items():
            new.writestr(zipfile.ZipInfo(name, SINCE), content)


def settle_savedmodel(folder: Path) -> None:
    """Number the functions of a SavedModel as they are called, and drop its
    fingerprint, which is random in part; nothing needs it."""
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta_graph,) = saved.meta_graphs
    graph, objects = meta_graph.graph_def, meta_graph.object_graph_def
    names = {
        name: f"{COUNTED.sub('', name)}_{i}"
        for i, name in enumerate(_in_order_of_calls(graph))
    }
    places = {name: i for i, name in enumerate(names)}
    graph.library.function.sort(key=lambda f: places[f.signature.name])
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
        for argument in function.signature.input_arg:  # that nothing reads
            argument.name = PLACEHOLDER.sub(r"\1", argument.name)
        for argument in function.arg_attr.values():
            given = argument.attr.get("_user_specified_name")
            if given is not None and given.s.isdigit():  # the number of a variable
                del argument.attr["_user_specified_name"]
    for node in _nodes(graph):
        for name in PROCESS:
            node.attr.pop(name, None)
        for value in _calls(node):
            value.name = names[value.name]
    for node in objects.nodes:
        if node.WhichOneof("kind") == "bare_concrete_function":
            called = node.bare_concrete_function
            called.concrete_function_name = names[called.concrete_function_name]
        elif node.WhichOneof("kind") == "function":
            several = node.function.concrete_functions
            several[:] = [names[name] for name in several]
    described = objects.concrete_functions
    renamed = {names[name]: copy.deepcopy(value) for name, value in described.items()}
    described.clear()
    for name, value in renamed.items():
        described[name].CopyFrom(value)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _in_order_of_calls(graph: graph_pb2.GraphDef) -> list[str]:
    """The names of all functions: those that the graph calls, each followed by those
    that it calls itself."""
    bodies = {f.signature.name: f.node_def for f in graph.library.function}
    found, todo = {}, [graph.node]
    while todo:
        called = [value.name for node in todo.pop() for value in _calls(node)]
        new = [name for name in dict.fromkeys(called) if name not in found]
        found |= dict.fromkeys(new)
        todo += [bodies[name] for name in reversed(new)]
    # Those that make and free resources, in the order they were made.
    rest = sorted(bodies.keys() - found, key=lambda name: (len(name), name))
    return [*found, *rest]


def _nodes(graph: graph_pb2.GraphDef) -> Iterator:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _calls(node) -> Iterator[attr_value_pb2.NameAttrList]:
    """The attributes of a node that name functions."""
    for _, value in sorted(node.attr.items()):
        if value.HasField("func"):
            yield value.func
        yield from value.list.func
