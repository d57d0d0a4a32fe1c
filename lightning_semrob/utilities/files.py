"""Files are written to a temporary name beside the final one and renamed, so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


@contextlib.contextmanager
def _temporary_beside(path: Path, keep: bool) -> Iterator[Path]:
    # Not tempfile: only their owner can read its files.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if keep:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object], keep: bool = True) -> None:
    """Call ``write`` on a temporary file in the same folder, then rename it to ``path``, or drop it if not ``keep``.

    Raises:
        OSError: the folder is full or not writable. The message names it; files that were there before stay valid.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(path, keep) as temporary:
            write(temporary)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write '{path}' ({error.strerror or error}): free space or choose another --output"
        ) from error


def check_writable(folder: Path) -> None:
    """Raise OSError, before any work, where no file can be written into a folder, which is made if absent."""
    write_atomically(folder / "writable", lambda file: file.touch(), keep=False)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), as :func:`write_atomically` does."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_csv(path: Path, table: pyarrow.Table) -> None:
    """Write a table as CSV, as :func:`write_atomically` does.

    Texts that a spreadsheet would take for a formula, because they begin with ``=``, ``+``, ``-``, ``@``, a tab or a
    carriage return, get an apostrophe in front. Numbers stay as they are.
    """
    import pyarrow.compute
    import pyarrow.csv

    for k, field in enumerate(table.schema):
        if pyarrow.types.is_string(field.type):
            safe = pyarrow.compute.replace_substring_regex(table[k], r"\A([=+\-@\t\r])", r"'\1")
            table = table.set_column(k, field, safe)
    write_atomically(path, lambda file: pyarrow.csv.write_csv(table, file))


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def plain_json(value: Any) -> Any:
    """Plain JSON data: NaN and infinities become null, tensors and arrays lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
