"""glTF 2.0: the document, its buffers and accessors. What is drawn of it is in gltf_scene and gltf_material."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import MAX_BYTES, MeshFileError
from lightning_semrob.shapes.parts import Source

JsonObject = Mapping[str, Any]
"""An object of the file as it stands there."""

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}

#: Extensions that are read, or that say nothing about what an object looks like.
_READ = {
    "KHR_draco_mesh_compression",
    "KHR_mesh_quantization",
    "KHR_meshopt_compression",
    "EXT_meshopt_compression",
    "EXT_mesh_gpu_instancing",
    "KHR_texture_transform",
    "EXT_texture_webp",
    "EXT_texture_avif",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_emissive_strength",
    "KHR_node_visibility",
    "KHR_lights_punctual",
    "EXT_lights_image_based",
    "KHR_animation_pointer",
    "KHR_xmp_json_ld",
    "KHR_xmp",
    "EXT_mesh_features",
    "EXT_instance_features",
    "EXT_structural_metadata",
    "MSFT_lod",
}

#: Extensions that change the light on a surface and leave its form and colours as they are. The value is what the
#: renderer does instead where that is another picture, and None where it changes highlights alone.
_LIGHT = {
    "KHR_materials_unlit": "unlit surfaces are lit like all others",
    "KHR_materials_transmission": "transmission is left out: the surface is drawn opaque",
    "KHR_materials_diffuse_transmission": "transmission is left out: the surface is drawn opaque",
    "KHR_materials_volume": None,
    "KHR_materials_ior": None,
    "KHR_materials_specular": None,
    "KHR_materials_clearcoat": None,
    "KHR_materials_sheen": None,
    "KHR_materials_iridescence": None,
    "KHR_materials_anisotropy": None,
    "KHR_materials_dispersion": None,
    "KHR_materials_variants": None,
}


class Document:
    """A glTF or GLB file with its buffers.

    Args:
        source: the file.

    Raises:
        MeshFileError: it needs an extension that is not supported, or another version of glTF.
        ValueError: it is broken.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.chunk = b""
        text = source.data
        if text[:4] == b"glTF":
            text = self._chunks(text)
        try:
            self.json: JsonObject = json.loads(text.decode("utf-8-sig"))
        except RecursionError as error:
            raise ValueError("its JSON is nested too deeply") from error
        if not isinstance(self.json, dict):
            raise ValueError("its JSON is no object")
        self._check()
        self._buffers: dict[int, Any] = {}
        self._views: dict[int, Any] = {}

    def _chunks(self, data: bytes) -> bytes:
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2:
            raise self._refusal(f"it is of version {version} of glTF")
        if length > len(data):
            raise ValueError(f"it ends after {len(data)} of {length} bytes")
        at, text = 12, b""
        while at + 8 <= length:
            size, kind = struct.unpack_from("<I4s", data, at)
            if kind == b"JSON":
                text = data[at + 8 : at + 8 + size]
            elif kind == b"BIN\0" and not self.chunk:
                self.chunk = data[at + 8 : at + 8 + size]
            at += 8 + size
        return text

    def _refusal(self, reason: str) -> MeshFileError:
        return MeshFileError(
            f"mesh file '{self.source.name}' is not read: {reason}; export it again as glTF 2.0 without that"
        )

    def _check(self) -> None:
        """Refuse what would be drawn wrong, and note what is drawn otherwise."""
        required = self.json.get("extensionsRequired", [])
        lacking = sorted(set(required) - _READ - set(_LIGHT))
        if lacking:
            textures = " (KTX2 textures)" if "KHR_texture_basisu" in lacking else ""
            raise self._refusal(f"it needs the glTF extension {', '.join(lacking)}{textures}, which is not supported")
        asset = self.json.get("asset")
        version = str(asset.get("minVersion") or asset.get("version") or "2.0") if isinstance(asset, dict) else "2.0"
        if version.partition(".")[0] != "2":
            raise self._refusal(f"it is of version {version} of glTF")
        for name in sorted({*required, *self.json.get("extensionsUsed", [])} & set(_LIGHT)):
            instead = _LIGHT[name] or ("it is left out" if name in required else None)
            if instead:
                self.source.note(f"uses the glTF extension {name}: {instead}")

    def get(self, kind: str, index: int) -> JsonObject:
        """Object ``index`` of the list ``kind`` of the document."""
        objects = self.json.get(kind, [])
        if not isinstance(index, int) or not 0 <= index < len(objects):
            raise ValueError(f"it names number {index} of its {len(objects)} {kind}")
        found: JsonObject = objects[index]
        return found

    def buffer(self, index: int) -> bytes:
        """The bytes of a buffer."""
        if index not in self._buffers:
            name = self.get("buffers", index).get("uri")
            data = self.chunk if name is None else self.source.assets.read(name)
            if data is None:
                raise ValueError(f"the file '{name}' that it names is not beside it")
            self._buffers[index] = data
        found: bytes = self._buffers[index]
        return found

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view, unpacked."""
        if index not in self._views:
            view = self.get("bufferViews", index)
            extensions = view.get("extensions", {})
            packed = extensions.get("KHR_meshopt_compression", extensions.get("EXT_meshopt_compression"))
            self._views[index] = self._slice(view) if packed is None else self._unpacked(packed)
        found: bytes = self._views[index]
        return found

    def _slice(self, view: JsonObject) -> bytes:
        start, size = view.get("byteOffset", 0), view["byteLength"]
        data = self.buffer(view["buffer"])
        if start < 0 or size < 0 or start + size > len(data):
            raise ValueError(f"a buffer of {len(data)} bytes ends before byte {start + size}, which it names")
        return data[start : start + size]

    def _unpacked(self, packed: JsonObject) -> bytes:
        try:
            import meshopt
        except ImportError as error:
            raise _missing("meshopt", "meshopt compression", self.source) from error
        data, count, stride = self._slice(packed), packed["count"], packed["byteStride"]
        if count < 0 or not 0 < stride <= 256 or count * stride > MAX_BYTES:
            raise ValueError(f"a compressed buffer says that it holds {count} rows of {stride} bytes")
        rows = np.asarray(meshopt.decode_gltf_buffer(data, count, stride, packed["mode"], packed.get("filter", "NONE")))
        if packed["mode"] != "ATTRIBUTES":
            rows = rows.astype("<u2" if stride == 2 else "<u4")
        return rows.tobytes()

    def accessor(self, index: int) -> NDArray[Any]:
        """(count, n) the values of an accessor; normalised integers as floats."""
        accessor = self.get("accessors", index)
        count, width = accessor["count"], _WIDTHS[accessor["type"]]
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        if count < 0 or count * width * kind.itemsize > MAX_BYTES:
            raise ValueError(f"an accessor says that it holds {count} values")
        if "bufferView" in accessor:
            view = self.get("bufferViews", accessor["bufferView"])
            packed = view.get("extensions", {})
            packed = packed.get("KHR_meshopt_compression", packed.get("EXT_meshopt_compression", view))
            stride = packed.get("byteStride", 0)
            values = self._rows(accessor["bufferView"], accessor.get("byteOffset", 0), count, width, kind, stride)
        else:
            values = np.zeros((count, width), kind)
        sparse = accessor.get("sparse")
        if sparse:
            where, what = sparse["indices"], sparse["values"]
            rows = self._rows(
                where["bufferView"], where.get("byteOffset", 0), sparse["count"], 1,
                np.dtype(_COMPONENTS[where["componentType"]]), 0,
            )[:, 0]  # fmt: skip
            values = values.copy()
            values[rows] = self._rows(what["bufferView"], what.get("byteOffset", 0), sparse["count"], width, kind, 0)
        return scaled(values) if accessor.get("normalized") else values

    def _rows(self, view: int, start: int, count: int, width: int, kind: np.dtype[Any], stride: int) -> NDArray[Any]:
        data = self.view(view)
        size = width * kind.itemsize
        if stride in (0, size):
            if start + count * size > len(data):
                raise ValueError(f"an accessor needs {start + count * size} bytes of a view of {len(data)}")
            return np.frombuffer(data, kind, count * width, start).reshape(count, width)
        if count and start + (count - 1) * stride + size > len(data):
            raise ValueError(f"an accessor needs {start + (count - 1) * stride + size} bytes of a view of {len(data)}")
        return np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)) if count else np.empty((0, width))

    def draco(self, packed: JsonObject) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Faces (F, 3) and the attributes by name of a primitive packed with Draco."""
        try:
            import DracoPy
        except ImportError as error:
            raise _missing("DracoPy", "Draco compression", self.source) from error
        mesh = DracoPy.decode(self.view(packed["bufferView"]))
        attributes = {}
        for name, number in packed["attributes"].items():
            found = mesh.get_attribute_by_unique_id(number)
            if found is None:
                raise ValueError(f"its Draco data have no attribute {number} for {name}")
            values = np.asarray(found["data"] if isinstance(found, dict) else found.data)
            attributes[name] = values.reshape(len(values), -1)
        return np.asarray(mesh.faces, np.int64).reshape(-1, 3), attributes


def scaled(values: NDArray[Any]) -> NDArray[np.float64]:
    """Integers that stand for numbers in [0, 1], or in [-1, 1] where they are signed; floats as they are."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    found: NDArray[np.float64] = np.maximum(values / float(np.iinfo(values.dtype).max), -1.0)
    return found


def _missing(package: str, what: str, source: Source) -> MeshFileError:
    return MeshFileError(f"mesh file '{source.name}' uses {what}: run 'pip install {package}' to read it")
