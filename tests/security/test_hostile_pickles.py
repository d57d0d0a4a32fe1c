"""The authors' files are pickles: what a hostile one asks for is refused, and nothing of it runs or crashes Python."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_semrob.maps import authors, authors_pickle
from lightning_semrob.maps.authors_pickle import RefusedFileError, read_pt


def write(path: Path, body: bytes, zipped: bool = True) -> Path:
    """A file of ``torch.save`` whose value is this pickle."""
    if zipped:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", body)
            file.writestr("archive/version", "3\n")
        return path
    head = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, head, 2)
    path.write_bytes(head.getvalue() + body)
    return path


#: Calls numpy.ndarray((1,), object, bytes): numpy would take the bytes for the address of an object.
OBJECT_ARRAY = (
    b"\x80\x02}X\x01\x00\x00\x00zcnumpy\nndarray\n(K\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R"
    b"C\x08AAAAAAAAtRs."
)
#: The same with numbers, which numpy would build in that memory without a copy.
PLAIN_ARRAY = OBJECT_ARRAY.replace(b"O8", b"f8")


@pytest.mark.parametrize("zipped", [False, True])
def test_an_array_of_objects_is_refused_and_python_lives(zipped: bool, tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match=r"an array of type 'O8'.*nothing of it was executed"):
        read_pt(write(tmp_path / "map.pt", OBJECT_ARRAY, zipped))


def test_nothing_of_numpy_is_called(tmp_path: Path) -> None:
    made = read_pt(write(tmp_path / "map.pt", PLAIN_ARRAY))["z"]
    assert not isinstance(made, np.ndarray)
    assert {type(x).__module__ if not callable(x) else x.__module__ for x in authors_pickle._STAND_INS.values()} == {
        "lightning_semrob.maps.authors_pickle"
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x80\x02}(cbuiltins\nlist\nK\x01u.", "it names 'builtins.list'"),
        (b"\x80\x02ctorch\nTensor\n(J\xff\xff\xff\x7ftR.", "it names 'torch.Tensor'"),
        (b"\x80\x02}(X\x01\x00\x00\x00zX\x01\x00\x00\x000Qu.", "it holds tensors"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "another encoding"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n}b.", "a state for a function"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R(K\x03X\x01\x00\x00\x00<tb.", "it holds a _Dtype"),
        (b"\x80\x02]q\x00(h\x00h\x00h\x00e.", "it holds a list"),
        (b"\x80\x04\x8f.", "a set"),
        (b"\x80\x02X\xff\xff\xff\xff.", "refused"),
        (b"\x80\x02h\x07.", "refused"),
        (b"\x80\x02u.", "refused"),
        (b"", "refused"),
    ],
)
def test_every_other_pickle_is_refused_in_one_sentence(body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match=message) as refused:
        read_pt(write(tmp_path / "optim.pt", body))
    assert "\n" not in str(refused.value)
    assert "weights_only" not in str(refused.value)


def test_a_key_of_nested_tuples_is_not_hashed(tmp_path: Path) -> None:
    """Hashing very many nested tuples overflows the stack of CPython."""
    body = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
    with pytest.raises(RefusedFileError, match="keys are no text"):
        read_pt(write(tmp_path / "optim.pt", body))


def test_lists_that_name_each_other_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Ten lists of ten of the next one: few bytes, ten thousand million numbers."""
    nested: object = [0.0] * 10
    for _ in range(10):
        nested = [nested] * 10
    write(tmp_path / "map.pt", pickle.dumps({"z": nested, "xx": 0, "yy": 0}, 2))
    with pytest.raises(ValueError, match="a list where a point or a bound is expected"):
        authors._map(tmp_path / "map.pt")


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authors_pickle, "_LARGEST", 100)
    with pytest.raises(RefusedFileError, match="its pickle has 1000 bytes"):
        read_pt(write(tmp_path / "map.pt", bytes(1000)))


def test_arrays_of_either_byte_order_and_layout_are_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    for k, array in enumerate((values, values.astype(">f8"), np.asfortranarray(values), values.astype("<i4"))):
        torch.save({"z": array}, tmp_path / str(k), _use_new_zipfile_serialization=bool(k % 2))
        assert authors_pickle.rows(read_pt(tmp_path / str(k))["z"]).tolist() == values.tolist()


def test_the_bodies_are_pickles() -> None:
    """The hostile files are what they are meant to be: Python's own tools read them to their end."""
    for body in (OBJECT_ARRAY, PLAIN_ARRAY):
        assert list(pickletools.genops(body))[-1][0].name == "STOP"
