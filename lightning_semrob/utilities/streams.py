"""Where a command prints: a terminal of any encoding, or a pipe whose reader may leave."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


class Stream:
    """Stands for an output stream; what nobody reads any more is dropped, so that the work goes on to its end.

    Attributes:
        gone: whether the reader has left.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.gone = False

    def write(self, text: str) -> int:
        """Write, unless the reader has left."""
        try:
            return len(text) if self.gone else int(self._stream.write(text))
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Flush, unless the reader has left."""
        try:
            if not self.gone:
                self._stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        self.gone = True
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # for what its buffer still holds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[Stream]:
    """Print what the terminal cannot show as escapes, and go on where the reader leaves; gives standard output."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    out = Stream(before[0])
    sys.stdout, sys.stderr = out, Stream(before[1])
    try:
        yield out
    finally:
        out.flush()
        sys.stdout, sys.stderr = before
