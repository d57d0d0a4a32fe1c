"""A change of any byte of a sealed file is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_semrob.utilities.sealed import UNSEALED, check_seal, read_sealed, seal


def test_every_flipped_bit_is_found() -> None:
    sealed = seal(f'{{"score": 0.25, "seal": "{UNSEALED}"}}'.encode())
    check_seal(sealed)
    for place in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"holds no checksum|does not match its checksum"):
            check_seal(bytes(changed))


def test_a_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    with pytest.raises(ValueError, match=r"part\.json' cannot be read .*: make it again"):
        read_sealed(path, "make it again")
    path.write_bytes(seal(UNSEALED.encode()))
    assert read_sealed(path, "make it again") == path.read_bytes()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"part\.json' cannot be read .*does not match its checksum.*: make it again"):
        read_sealed(path, "make it again")


@pytest.mark.parametrize("content", ["", UNSEALED * 2])
def test_there_is_one_place_for_the_seal(content: str) -> None:
    with pytest.raises(ValueError, match="once"):
        seal(content.encode())
