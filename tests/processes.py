"""Several processes for a test, forked, so that nothing is imported again, each with the place that torchrun names."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def in_processes(count: int, function: Callable[[int], Any], seconds: float = 120) -> list[Any]:
    """``function(rank)`` in each of ``count`` processes; an exception of any fails the test with its traceback.

    Results are plain data: tensors do not outlive the process that sends them.
    """
    context = multiprocessing.get_context("fork")
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count), "NODE_RANK": "0"}

    def body(rank: int, sender: Connection) -> None:
        os.environ |= place | {"LOCAL_RANK": str(rank)}
        try:
            sender.send((True, function(rank)))
        except BaseException:
            sender.send((False, traceback.format_exc()))

    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    processes = [context.Process(target=body, args=(rank, sender)) for rank, (_, sender) in enumerate(pipes)]
    for process in processes:
        process.start()
    waiting = {receiver: rank for rank, (receiver, _) in enumerate(pipes)}
    results: list[Any] = [None] * count
    end = time.monotonic() + seconds
    try:
        while waiting:
            ready = wait(list(waiting), max(end - time.monotonic(), 0))
            assert ready, f"processes {sorted(waiting.values())} say nothing"
            for receiver in ready:
                assert isinstance(receiver, Connection)
                done, result = receiver.recv()
                assert done, result  # the others may wait for this one
                results[waiting.pop(receiver)] = result
    finally:
        for process in processes:
            process.join(0 if waiting else 10)
            process.kill()
    return results
