"""Ctrl-C while a program of this package imports what it needs, which takes seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

#: The console scripts of the package.
PROGRAMS = ("semrob", "semrob-evaluate", "semrob-train")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Imports at whose interruption one of our own programs ends at once, with code 130 and no traceback.

    Compiled packages swallow a KeyboardInterrupt and fail later on what they have not imported, so nothing is raised.
    Programs of others are left alone.
    """
    ours = Path(sys.argv[0]).stem in PROGRAMS or sys.orig_argv[1:3] == ["-m", "lightning_semrob"]
    handler = signal.getsignal(signal.SIGINT)
    if (
        not ours
        or handler is not signal.default_int_handler
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
