"""Reads the pickles that the paper's authors published, without calling anything that a file names.

A box is an object of a class of theirs (``models.ndinterval``, in older versions ``scale_robustness.n_interval``) that
holds intervals of the package pyinterval. Whatever a file names is looked up in a short list of stand-ins, which keep
numbers and call nothing, numpy's own functions included; any other name refuses the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

_DTYPES = ("f4", "f8", "i4", "i8", "b1")

#: First pickle of a file of ``torch.save``, before it wrote zip files; two more come before the value.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
#: Largest value that is read from a zip file, bytes; theirs are below 1 MB.
_LARGEST = 2**28
#: Most numbers of a point or bound that is no array.
_LONGEST = 16


class RefusedFileError(ValueError):
    """A file that holds something else than results; nothing of it was executed."""


class _Dtype:
    """Stands for numpy.dtype: one of the plain numbers of ``_DTYPES`` in either byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not (isinstance(code, str) and code in _DTYPES):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self.plain: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|")):
            raise pickle.UnpicklingError("a type of numbers without byte order")
        if state[1] in "<>":
            self.plain = self.plain.newbyteorder(state[1])

    def read(self, raw: Any) -> np.ndarray[Any, Any]:
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if not (isinstance(self, _Dtype) and isinstance(data, bytes)):
            raise pickle.UnpicklingError("numbers that are no bytes of a plain type")
        return np.frombuffer(data, self.plain)


class _Array:
    """Stands for numpy.ndarray and for the function that rebuilds one; its numbers come with its state."""

    values: np.ndarray[Any, Any]

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, raw = state
        self.values = _Dtype.read(dtype, raw).reshape(shape, order="F" if by_columns else "C")


class _Region:
    """Stands for a box of theirs: keeps its bounds."""

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, dict) and {"a", "b"} <= set(state)):
            raise pickle.UnpicklingError("a region without bounds a and b")
        self.bounds = rows([state["a"], state["b"]])


class _Interval:
    """Stands for an interval of pyinterval. It repeats the bounds, so nothing of it is kept."""

    def __new__(cls, *_: Any) -> _Interval:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        return


def _number(dtype: Any, raw: Any) -> Any:
    """Stands for the function with which numpy rebuilds a number."""
    return _Dtype.read(dtype, raw).item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for codecs.encode, by which Python 3 writes bytes for older versions."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")


_STAND_INS: Final[Mapping[str, Any]] = {
    # numpy 2 renamed the module.
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    **{f"{module}.ndinterval": _Region for module in ("models", "__main__")},
    **{f"{module}.n_interval": _Region for module in ("scale_robustness", "__main__")},
    "interval.interval": _Interval,
}


class _Reader(pickle._Unpickler):
    """Python's unpickler, which calls nothing but what :meth:`find_class` returns. Keys must be text, because hashing
    deeply nested tuples overflows CPython's stack.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names '{module}.{name}'")
        return _STAND_INS[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds tensors")

    def set_items(self) -> None:
        self.put(self.pop_mark())  # type: ignore[attr-defined]

    def set_item(self) -> None:
        self.put([self.stack.pop(-2), self.stack.pop()])

    def put(self, items: list[Any]) -> None:
        into = self.stack[-1]
        if not (isinstance(into, dict) and all(isinstance(key, str) for key in items[::2])):
            raise pickle.UnpicklingError("a dictionary whose keys are no text")
        into.update(zip(items[::2], items[1::2], strict=True))

    def set_state(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if type(built) not in (_Array, _Dtype, _Interval, _Region):
            raise pickle.UnpicklingError(f"a state for a {type(built).__name__}")
        built.__setstate__(state)

    def refuse(self) -> None:
        raise pickle.UnpicklingError("a set or an old dictionary")

    dispatch[pickle.SETITEM[0]], dispatch[pickle.SETITEMS[0]] = set_item, set_items
    dispatch[pickle.BUILD[0]] = set_state
    for _code in (pickle.DICT, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET):
        dispatch[_code[0]] = refuse


def read_pt(path: Path) -> dict[str, Any]:
    """A dictionary of numbers, strings, arrays and regions from a file of ``torch.save``.

    Raises:
        RefusedFileError: the file names anything else, is broken, or holds no dictionary.
        OSError: it cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        found = _value(content)
    except Exception as error:  # whatever a broken or hostile file makes of the reader
        raise RefusedFileError(
            f"'{path}' was refused: {str(error) or type(error).__name__}, and the authors' results are numbers, arrays "
            "and regions alone; nothing of it was executed"
        ) from error
    if not isinstance(found, dict):
        raise RefusedFileError(f"'{path}' was refused: it holds a {type(found).__name__}, not a dictionary of results")
    return found


def _value(content: io.BytesIO) -> Any:
    """What ``torch.save`` was given, from either of its formats."""
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as file:
            (member,) = (item for item in file.infolist() if item.filename.endswith("/data.pkl"))
            if member.file_size > _LARGEST:
                raise pickle.UnpicklingError(f"its pickle has {member.file_size} bytes")
            return _Reader(io.BytesIO(file.read(member))).load()
    content.seek(0)
    if _Reader(content).load() != _TORCH_MAGIC:
        raise pickle.UnpicklingError("torch.save did not write it")
    for _ in ("version", "machine"):
        _Reader(content).load()
    return _Reader(content).load()


def rows(values: Any) -> np.ndarray[Any, Any]:
    """Points of equal length, (P, n) float64, from a list of arrays or of short lists of numbers, or from one array.

    Raises:
        TypeError, ValueError: anything else.
    """
    if isinstance(values, _Array):
        return np.array(values.values, dtype=np.float64)
    rows: list[Any] = []
    for row in values:
        short = isinstance(row, list | tuple) and len(row) <= _LONGEST
        if not isinstance(row, _Array) and not (short and all(isinstance(x, int | float) for x in row)):
            raise TypeError(f"a {type(row).__name__} where a point or a bound is expected")
        rows.append(row.values if isinstance(row, _Array) else row)
    return np.array(rows, dtype=np.float64)
