"""Small mesh files made by code: boxes in every format, and a writer of GLB files."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIDES = np.array(
    [
        [[-1, -1, 1], [-1, 1, 1], [-1, 1, -1], [-1, -1, -1]],
        [[1, -1, -1], [1, 1, -1], [1, 1, 1], [1, -1, 1]],
        [[1, -1, -1], [1, -1, 1], [-1, -1, 1], [-1, -1, -1]],
        [[-1, 1, -1], [-1, 1, 1], [1, 1, 1], [1, 1, -1]],
        [[-1, 1, -1], [1, 1, -1], [1, -1, -1], [-1, -1, -1]],
        [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
    ]
)
POINTS = _SIDES.reshape(24, 3) / 2.0
QUADS = np.arange(24).reshape(6, 4)
TRIANGLES = QUADS[:, [0, 1, 2, 0, 2, 3]].reshape(12, 3)
UV = np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], (6, 1))  # v up, as in OBJ
COLORS = np.repeat([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]], 4, 0)


def checks(size: int = 64, alpha: int | None = None) -> np.ndarray[Any, Any]:
    """(size, size, 3 or 4) uint8: red and green above, blue and yellow below; with an alpha, green has it."""
    pixels = np.full((size, size, 3 if alpha is None else 4), 255, np.uint8)
    half = size // 2
    for rows, columns, color in (
        (slice(0, half), slice(0, half), (200, 30, 30)),
        (slice(0, half), slice(half, None), (30, 160, 30)),
        (slice(half, None), slice(0, half), (30, 60, 200)),
        (slice(half, None), slice(half, None), (200, 180, 40)),
    ):
        pixels[rows, columns, :3] = color
    if alpha is not None:
        pixels[:half, half:, 3] = alpha
    return pixels


def png(pixels: np.ndarray[Any, Any], palette: bool = False) -> bytes:
    """The pixels as a PNG file."""
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.quantize(16) if palette else image).save(out, "PNG")
    return out.getvalue()


def obj(
    faces: np.ndarray[Any, Any] = TRIANGLES, uv: bool = False, colors: bool = False, head: str = "", use: str = ""
) -> str:
    """A box as OBJ."""
    tint = [" ".join(f"{c / 255:g}" for c in row) for row in COLORS]
    lines = [head] if head else []
    lines += [f"v {x:g} {y:g} {z:g}" + (f" {tint[k]}" if colors else "") for k, (x, y, z) in enumerate(POINTS)]
    lines += [f"vt {u:g} {v:g}" for u, v in UV] if uv else []
    lines += [f"usemtl {use}"] if use else []
    lines += ["f " + " ".join(f"{k + 1}/{k + 1}" if uv else f"{k + 1}" for k in face) for face in faces]
    return "\n".join(lines) + "\n"


class Glb:
    """Collects buffer views and writes a GLB or glTF file."""

    def __init__(self, **parts: Any) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": [], **parts}
        self.data = b""

    def view(self, data: bytes, **more: Any) -> int:
        """The number of a new buffer view."""
        self.data += b"\0" * (-len(self.data) % 4)
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more})
        self.data += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: Any, kind: str = "f4", stride: int = 0, **more: Any) -> int:
        """The number of a new accessor of (count, n) values."""
        array = np.ascontiguousarray(np.asarray(values), dtype="<" + kind)
        array = array.reshape(len(array), -1)
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[array.shape[1]]
        component = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}[kind]
        data, extra = array.tobytes(), {}
        if stride:
            rows = np.zeros((len(array), stride), np.uint8)
            rows[:, : array.itemsize * array.shape[1]] = array.view(np.uint8).reshape(len(array), -1)
            data, extra = rows.tobytes(), {"byteStride": stride}
        self.json["accessors"].append(
            {
                "bufferView": self.view(data, **extra),
                "componentType": component,
                "count": len(array),
                "type": shape,
                **more,
            }
        )
        return len(self.json["accessors"]) - 1

    def texture(self, data: bytes, kind: str = "image/png", **sampler: Any) -> int:
        """The number of a new texture."""
        images, textures = self.json.setdefault("images", []), self.json.setdefault("textures", [])
        images.append({"bufferView": self.view(data), "mimeType": kind})
        textures.append({"source": len(images) - 1})
        if sampler:
            samplers = self.json.setdefault("samplers", [])
            samplers.append(sampler)
            textures[-1]["sampler"] = len(samplers) - 1
        return len(textures) - 1

    def material(self, **material: Any) -> int:
        """The number of a new material."""
        self.json.setdefault("materials", []).append(material)
        return len(self.json["materials"]) - 1

    def box(
        self, material: int | None = None, offset: Any = (0, 0, 0), uv: Any = True, node: Any = None, **attributes: int
    ) -> None:
        """A node with a box; ``uv`` may be (24, 2) coordinates with v up."""
        if uv is not False:
            places = UV if uv is True else np.asarray(uv)
            attributes["TEXCOORD_0"] = self.accessor(np.stack((places[:, 0], 1 - places[:, 1]), -1))
        attributes.setdefault("POSITION", self.accessor(POINTS + np.asarray(offset)))
        primitive: dict[str, Any] = {
            "attributes": attributes, "indices": self.accessor(TRIANGLES.reshape(-1), "u2"),
        }  # fmt: skip
        if material is not None:
            primitive["material"] = material
        self.mesh([primitive], node)

    def mesh(self, primitives: list[dict[str, Any]], node: Any = None, **more: Any) -> None:
        """A mesh of primitives, and a node with it."""
        meshes, nodes = self.json.setdefault("meshes", []), self.json.setdefault("nodes", [])
        meshes.append({"primitives": primitives, **more})
        nodes.append({"mesh": len(meshes) - 1, **(node or {})})

    def save(self, path: Path) -> Path:
        """Write a GLB file, every node in the scene."""
        self.json.setdefault("scenes", [{"nodes": list(range(len(self.json.get("nodes", []))))}])
        if self.data:
            self.json["buffers"] = [{"byteLength": len(self.data)}, *self.json.get("buffers", [])]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        body = self.data + b"\0" * (-len(self.data) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(body), b"BIN\0") + body if body else b""
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
        return path
