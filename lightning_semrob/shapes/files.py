"""The files of a mesh: the one that is named and those that it names, found beside it and nowhere else."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, unquote_to_bytes

MAX_BYTES = 2**30
"""All files of one mesh together: a mesh that needs more is a scene, and no small picture shows it."""


class MeshFileError(ValueError):
    """A mesh file is missing, empty, broken, forbidden or of a kind that is not read."""


def text_of(data: bytes) -> str:
    """Text in UTF-8 or UTF-16, with or without a byte order mark, or else in Latin-1 (Windows' code page 1252)."""
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(codec, "replace")
    head = data[:1000]
    if head.count(0) > len(head) // 4:  # Latin letters in UTF-16: every other byte is zero
        return data.decode("utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def lines_of(data: bytes) -> list[str]:
    """Lines that end in LF, CR LF or CR, without those of comments; a backslash at the end joins the next line."""
    text = re.sub(r"\\[ \t]*(?:\r\n|\r|\n)", " ", text_of(data))
    return [line for line in map(str.strip, re.split(r"\r\n|\r|\n", text)) if line and not line.startswith("#")]


class Assets(ABC):
    """Reads the files that a mesh file names, by the names that it gives them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = MAX_BYTES

    def read(self, name: str, beside: str = "") -> bytes | None:
        """The content of the file ``name``; None where there is none.

        Names may be percent-encoded, quoted, written with backslashes or in another case. Of an absolute path, its
        last part is looked for, since it was right on the author's computer alone.

        Args:
            name: as the mesh file writes it, or a ``data:`` address.
            beside: the file that names it, where that is not the mesh file.

        Raises:
            MeshFileError: the file is a device or a pipe, lies elsewhere, or is too large.
        """
        if name.startswith("data:"):
            return self._charged(_data_of(name), "a data address")
        name = name.strip().strip('"').replace("\\", "/")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
            return None
        absolute = name.startswith("/") or re.match(r"[A-Za-z]:", name) is not None
        names = [] if absolute else [name, unquote(name)]
        names.append(PurePosixPath(unquote(name)).name)
        folders = dict.fromkeys((str(PurePosixPath(beside.replace("\\", "/")).parent) if beside else ".", "."))
        for each in dict.fromkeys(names):
            for folder in folders:
                found = self._find(os.path.normpath(f"{folder}/{each}"))
                if found is not None:
                    return found
        return None

    @abstractmethod
    def _find(self, path: str) -> bytes | None:
        """The file at ``path``, relative to the folder of the mesh file, whatever the case of its letters."""

    def _charged(self, data: bytes, name: str) -> bytes:
        self._charge(len(data), name)
        return data

    def _charge(self, size: int, name: str) -> None:
        self.left -= size
        if self.left < 0:
            raise MeshFileError(
                f"mesh file '{self.name}' and the files that it names take more than {MAX_BYTES // 2**20} MiB (the "
                f"limit was reached with '{name}'): reduce it, or scale its textures down"
            )


class FolderAssets(Assets):
    """Files beside a mesh file.

    What a mesh names must lie in its folder, or in the folder above as ShapeNet's ``../images``, and no link may lead
    out of these; where the mesh file is a link itself, the files beside what it stands for count too.

    Args:
        file: the mesh file.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._folders = list(dict.fromkeys((file.parent.absolute(), file.resolve().parent)))

    def main(self, file: Path) -> bytes:
        """The content of the mesh file itself."""
        return self._read(file)

    def _find(self, path: str) -> bytes | None:
        for folder in self._folders:
            found = _any_case(folder, path)
            if found is None:
                continue
            inside = folder if not path.startswith("..") else folder.parent
            if path.startswith("../..") or not found.resolve().is_relative_to(inside.resolve()):
                raise MeshFileError(
                    f"mesh file '{self.name}' names '{path}', which leads outside its folder (to "
                    f"'{found.resolve()}'): files are read beside the mesh only; copy the file there"
                )
            return self._read(found)
        return None

    def _read(self, path: Path) -> bytes:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MeshFileError(
                f"mesh file '{self.name}' names '{path.name}', which is a device or a pipe: only plain files are read"
            )
        self._charge(path.stat().st_size, path.name)
        return path.read_bytes()


class ZipAssets(Assets):
    """Files in a ZIP archive, read in place.

    Args:
        file: the archive, for messages.
        data: its content.
    """

    def __init__(self, file: Path, data: bytes) -> None:
        super().__init__(str(file))
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        self._names = {name.replace("\\", "/").lower(): name for name in self._archive.namelist()}
        self.folder = "."

    def names(self) -> list[str]:
        """The files of the archive, hidden ones and those that macOS adds left out."""
        return [
            name
            for name in self._archive.namelist()
            if not name.endswith("/") and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
        ]

    def main(self, name: str) -> bytes:
        """The content of a mesh file in the archive, from which names count from now on."""
        self.folder = str(PurePosixPath(name.replace("\\", "/")).parent)
        return self._member(name)

    def _find(self, path: str) -> bytes | None:
        name = self._names.get(os.path.normpath(f"{self.folder}/{path}").lower())
        return None if name is None else self._member(name)

    def _member(self, name: str) -> bytes:
        info = self._archive.getinfo(name)
        self._charge(info.file_size, name)
        with self._archive.open(info) as member:
            return member.read(info.file_size)


def _data_of(address: str) -> bytes:
    head, _, body = address.partition(",")
    if not head.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote(body))
    except binascii.Error as error:
        raise ValueError(f"a data address holds no base64 ({error})") from error


def _any_case(folder: Path, path: str) -> Path | None:
    """The file ``path`` below ``folder``, if need be with other capitals than on disk."""
    exact = folder / path
    if exact.exists():
        return exact if not exact.is_dir() else None
    found = folder
    for part in PurePosixPath(path).parts:
        if part == "..":
            found = found.parent
            continue
        if not found.is_dir():
            return None
        same = sorted(entry for entry in os.listdir(found) if entry.casefold() == part.casefold())
        if not same:
            return None
        found = found / same[0]
    return found if found.exists() and not found.is_dir() else None
