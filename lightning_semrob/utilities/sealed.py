"""Files that carry a checksum of all their bytes, so that any change is found when they are read."""

from __future__ import annotations

import hashlib
import re

_SEAL = re.compile(rb"semrob-sha256:([0-9a-f]{64})")

#: Stands once in a file that is to be sealed, as a value of its metadata (Parquet) or of a field (JSON).
UNSEALED = "semrob-sha256:" + 64 * "0"


def seal(content: bytes) -> bytes:
    """The content, which holds :data:`UNSEALED` once (else ValueError), with its SHA-256 in place of the zeros."""
    if content.count(UNSEALED.encode()) != 1:
        raise ValueError(f"a file that is to be sealed holds '{UNSEALED[:13]}' once")
    return content.replace(UNSEALED.encode(), b"semrob-sha256:" + hashlib.sha256(content).hexdigest().encode())


def check_seal(content: bytes) -> None:
    """Raise ValueError if a sealed content has changed or has no seal."""
    found = _SEAL.findall(content)
    if len(found) != 1:
        raise ValueError("it holds no checksum")
    blank = _SEAL.sub(UNSEALED.encode(), content)
    if hashlib.sha256(blank).hexdigest().encode() != found[0]:
        raise ValueError("its content does not match its checksum")
