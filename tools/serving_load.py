"""Triton and its clients, for `tools/serving.py`, which starts this in `.venv-serving`.

    python tools/serving_load.py serve JOB.json
    python tools/serving_load.py load JOB.json HTTP_PORT GRPC_PORT

`serve` starts Triton on the loopback interface, and `load`, the clients, in a process
of their own. Imports neither kerasgen nor TensorFlow, whose C library it opens.
"""

import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np

HOST = "127.0.0.1"
CLIENTS, SIZES = 32, (1, 1, 2, 3, 5, 8, 16)  # rows of a request
LARGEST = 64  # rows that the server computes together


def serve(path: str) -> None:
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    # Triton runs a Python of its own, from the libpython that it finds: this one's.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    job = json.loads(Path(path).read_text())
    sys.path.append(job["packages"])  # last: what is installed here comes first
    spec = importlib.util.spec_from_file_location("runtimes", job["runtimes"])
    runtimes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runtimes)
    ports = free_ports(2)
    config = TritonConfig(
        http_address=HOST,
        http_port=ports[0],
        grpc_address=HOST,
        grpc_port=ports[1],
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:

        def tensor(name, array):
            """As Triton sees it: rows without the batch axis, texts of any length."""
            shape = column(array).shape[1:]
            shape = shape if array.dtype.kind == "f" else (-1,)
            return Tensor(name=name, dtype=array.dtype.type, shape=shape)

        for service in job["services"]:
            load = runtimes.RUNTIMES[service["runtime"]]
            function = load(Path(service["artifact"]), service["signature"])
            inputs, outputs = rows(service)
            triton.bind(
                model_name=service["name"],
                infer_func=batch(answering(function, inputs)),
                inputs=[tensor(*item) for item in inputs.items()],
                outputs=[tensor(*item) for item in outputs.items()],
                config=ModelConfig(
                    max_batch_size=LARGEST,
                    batcher=DynamicBatcher(max_queue_delay_microseconds=500),
                ),
                strict=False,
            )
        triton.run()
        command = [sys.executable, __file__, "load", path, *map(str, ports)]
        subprocess.run(command, check=True)


def column(array: np.ndarray) -> np.ndarray:
    """Triton has no rows that are single numbers: `(n,)` -> `(n, 1)`."""
    return array[:, None] if array.ndim == 1 else array


def answering(function, inputs: dict):
    """`function` on what Triton hands over."""

    def answer(**arrays):
        rows = {k: v.reshape(v.shape[: inputs[k].ndim]) for k, v in arrays.items()}
        return {name: column(array) for name, array in function(rows).items()}

    return answer


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def rows(service: dict) -> tuple[dict, dict]:
    """The rows that requests are made of, and what Keras answers."""
    found = []
    for kind in ("inputs", "outputs"):
        with np.load(f"{service['rows']}-{kind}.npz", allow_pickle=False) as file:
            found.append({key: file[key] for key in file.files})
    return tuple(found)


class Client:
    """The official client, by HTTP or gRPC."""

    def __init__(self, protocol: str, port: str):
        module = importlib.import_module(f"tritonclient.{protocol}")
        self.module = module
        self.client = module.InferenceServerClient(f"{HOST}:{port}")

    def __call__(self, model: str, inputs: dict, outputs) -> dict:
        asked = []
        for name, array in inputs.items():
            array = column(array)
            kind = {"i": "INT32", "f": "FP32", "S": "BYTES"}[array.dtype.kind]
            asked.append(self.module.InferInput(name, list(array.shape), kind))
            asked[-1].set_data_from_numpy(array)
        answer = self.client.infer(model, asked)
        return {name: answer.as_numpy(name) for name in outputs}


def equal(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Whether answers are right; ids end where the longest of their batch do."""
    expected = column(expected)
    if expected.dtype.kind == "S":
        return found.tolist() == expected.tolist()
    if found.dtype != expected.dtype or len(found) != len(expected):
        return False
    if found.ndim == 2 and found.shape != expected.shape:
        width = max(found.shape[1], expected.shape[1])
        found, expected = (
            np.pad(a, [[0, 0], [0, width - a.shape[1]]]) for a in (found, expected)
        )
    return found.shape == expected.shape and np.allclose(
        found, expected, rtol=1e-5, atol=tolerance
    )


def under_load(service, ports, clients: int, sizes, seconds: float) -> dict:
    """So many clients ask for so long, each when it has its answer."""
    inputs, outputs = rows(service)
    count = len(next(iter(inputs.values())))
    lock = threading.Lock()
    times, total = [], {"rows": 0, "errors": 0, "wrong": 0}
    first_error = []
    end = time.perf_counter() + seconds

    def ask(i: int) -> None:
        draw = random.Random(i)
        protocol = ("http", "grpc")[i % 2]
        client = Client(protocol, ports[i % 2])
        while time.perf_counter() < end:
            places = [draw.randrange(count) for _ in range(draw.choice(sizes))]
            request = {key: value[places] for key, value in inputs.items()}
            start = time.perf_counter()
            wrong, error = 0, None
            try:
                answer = client(service["name"], request, outputs)
            except Exception as caught:  # the clients raise all kinds
                error = caught
            else:
                wrong = sum(
                    not equal(answer[key][i : i + 1], outputs[key][[place]], tolerance)
                    for key in outputs
                    for i, place in enumerate(places)
                )
            with lock:
                times.append(time.perf_counter() - start)
                total["rows"] += len(places)
                total["wrong"] += wrong
                total["errors"] += error is not None
                if error:
                    first_error.append(str(error))

    tolerance = service["tolerance"]
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begin
    p50, p99 = (1000 * np.percentile(times, [50, 99])).tolist()
    return {
        "requests": len(times),
        **total,
        "p50_ms": p50,
        "p99_ms": p99,
        "per_second": total["rows"] / taken,
        **({"first_error": first_error[0]} if first_error else {}),
    }


def load(path: str, *ports: str) -> None:
    job = json.loads(Path(path).read_text())
    seconds, results = job["seconds"], {}
    for service in job["services"]:
        under_load(service, ports, 2, (1, 16), 0.5)  # warm up
        found = under_load(service, ports, CLIENTS, SIZES, seconds)
        alone = under_load(service, ports, 2, (1,), seconds)
        together = under_load(service, ports, 2, (32,), seconds)
        for other in (alone, together):
            for key in ("errors", "wrong"):
                found[key] += other[key]
        found["rows_per_second"] = {
            "mixed": round(found.pop("per_second")),
            "batch_1": round(alone["per_second"]),
            "batch_32": round(together["per_second"]),
        }
        found["two_clients"] = {key: alone[key] for key in ("p50_ms", "p99_ms")}
        results[service["name"]] = found
    Path(job["results"]).write_text(json.dumps(results))


if __name__ == "__main__":
    {"serve": serve, "load": load}[sys.argv[1]](*sys.argv[2:])
