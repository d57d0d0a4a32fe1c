"""A change of any byte of a sealed file is found."""

from __future__ import annotations

import pytest

from lightning_semrob.utilities.sealed import UNSEALED, check_seal, seal


def test_every_flipped_bit_is_found() -> None:
    sealed = seal(f'{{"score": 0.25, "seal": "{UNSEALED}"}}'.encode())
    check_seal(sealed)
    for place in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"holds no checksum|does not match its checksum"):
            check_seal(bytes(changed))


@pytest.mark.parametrize("content", ["", UNSEALED * 2])
def test_there_is_one_place_for_the_seal(content: str) -> None:
    with pytest.raises(ValueError, match="once"):
        seal(content.encode())
