"""Start several workers on this machine, or tell what several machines need.

    python -m kerasgen.training.launch --workers N [--restarts R] -- train RECIPE …
    python -m kerasgen.training.launch --hosts HOST:PORT,HOST:PORT,…

With --workers: N processes that train one model. When one dies all are stopped and
started again with --resume, so the run continues from its last checkpoint. With
--hosts: the line that sets TF_CONFIG on each host; then run the same `kerasgen train …`
on all of them, with --out in a folder that they share. On a cluster the job operator
does both.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

MOST_WORKERS = 64  # of one machine


def tf_config(addresses: Sequence[str], index: int) -> str:
    """What the environment variable TF_CONFIG is on worker `index`."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def launch(command: Sequence[str], workers: int, restarts: int = 3) -> int:
    """Run `command` as `workers` processes to a common end.

    Args:
        command: the program and its arguments; `--resume` is added at restarts.
        workers: how many.
        restarts: how often all are started again because one died.
    Returns:
        0 when all went well, else the exit status of the worker that failed first.
    """
    for attempt in range(restarts + 1):
        status, worker, errors = _attempt(command, workers)
        if status == 0:
            return 0
        print(errors, end="", file=sys.stderr)
        if status == 2 or attempt == restarts:  # bad input stays bad
            break
        print(f"worker {worker} died ({status}): starting all again", file=sys.stderr)
        if "--resume" not in command:
            command = [*command, "--resume"]
    return status if status > 0 else 1


def _attempt(command, workers: int) -> tuple[int, int, str]:
    """-> the status of the first worker that failed (0: none), which, its stderr."""
    addresses, running = _free_addresses(workers), {}
    with contextlib.ExitStack() as stack:
        logs = [
            stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(workers)
        ]
        try:
            for i, log in enumerate(logs):
                environment = os.environ | {"TF_CONFIG": tf_config(addresses, i)}
                errors = log if i else None  # the chief's are seen at once
                running[i] = subprocess.Popen(command, env=environment, stderr=errors)
            while running:
                for i, process in list(running.items()):
                    status = process.poll()
                    if status:
                        logs[i].seek(0)
                        return status, i, logs[i].read()
                    if status == 0:
                        del running[i]
                time.sleep(0.05)
            return 0, 0, ""
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    try:
        return [f"localhost:{s.getsockname()[1]}" for s in sockets]
    finally:
        for s in sockets:
            s.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kerasgen.training.launch",
        description="Train with several workers: start them here, or get TF_CONFIG "
        "for several hosts.",
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--workers", type=int, metavar="N", help="start N here")
    mode.add_argument("--hosts", metavar="HOST:PORT,…", help="print their TF_CONFIG")
    parser.add_argument("--restarts", type=int, default=3, metavar="R")
    parser.add_argument(
        "command", nargs="*", metavar="train …", help="the arguments of `kerasgen`"
    )
    options = parser.parse_args(arguments)
    if options.hosts:
        hosts = options.hosts.split(",")
        if not all(host.rpartition(":")[2].isdigit() for host in hosts):
            parser.error("--hosts takes HOST:PORT,HOST:PORT,…")
        for i, host in enumerate(hosts):
            print(f"# {host}\nexport TF_CONFIG='{tf_config(hosts, i)}'")
        return 0
    if not 1 <= options.workers <= MOST_WORKERS or options.restarts < 0:
        parser.error(
            f"--workers must be from 1 to {MOST_WORKERS}, --restarts at least 0"
        )
    if options.command[:1] != ["train"]:
        parser.error("give what to run: -- train RECIPE …")
    command = [sys.executable, "-m", "kerasgen", *options.command]
    return launch(command, options.workers, options.restarts)


if __name__ == "__main__":
    sys.exit(main())
