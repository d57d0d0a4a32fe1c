"""What a glTF 2.0 document shows: its nodes, posed, and their triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.gltf import Document, JsonObject, scaled
from lightning_semrob.shapes.gltf_material import Surface, surface
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import strip

Floats = NDArray[np.float64]


def read_gltf(source: Source) -> list[Part]:
    """The parts of a glTF file: its scene at rest, skins and morph targets posed as the nodes say, animations not."""
    return _Scene(Document(source)).parts()


class _Scene:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes: list[JsonObject] = document.json.get("nodes", [])
        self.parents = {child: k for k, node in enumerate(self.nodes) for child in node.get("children", [])}
        self._world: dict[int, Floats] = {}
        self._surfaces: dict[int, Surface] = {}
        self._read: dict[int, Any] = {}

    def parts(self) -> list[Part]:
        scenes = self.document.json.get("scenes", [])
        if scenes:
            roots = self.document.get("scenes", self.document.json.get("scene", 0)).get("nodes", [])
        else:
            roots = [k for k in range(len(self.nodes)) if k not in self.parents]
        found: list[Part] = []
        waiting, seen = list(reversed(roots)), set()
        while waiting:
            index = waiting.pop()
            if index in seen:
                raise ValueError(f"its node {index} hangs from two others")
            seen.add(index)
            node = self.document.get("nodes", index)
            if not node.get("extensions", {}).get("KHR_node_visibility", {}).get("visible", True):
                continue
            if "mesh" in node:
                found += self._node(node, self.world(index))
            waiting += reversed(node.get("children", []))
        return found

    def world(self, index: int) -> Floats:
        """(4, 4) from a node's coordinates to those of the scene."""
        chain = []
        at: int | None = index
        while at is not None and at not in self._world:
            chain.append(at)
            if len(chain) > len(self.nodes):
                raise ValueError(f"its node {index} hangs from itself")
            at = self.parents.get(at)
        for k in reversed(chain):
            parent = self.parents.get(k)
            local = _matrix(self.document.get("nodes", k))
            self._world[k] = local if parent is None else self._world[parent] @ local
        return self._world[index]

    def _node(self, node: JsonObject, world: Floats) -> list[Part]:
        mesh = self.document.get("meshes", node["mesh"])
        weights = node.get("weights", mesh.get("weights", []))
        places = [world]
        instances = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
        if instances:
            places = [world @ local for local in self._instances(instances["attributes"])]
        skin = self.document.get("skins", node["skin"]) if "skin" in node else None
        found = []
        for primitive in mesh.get("primitives", []):
            if id(primitive) not in self._read:
                self._read[id(primitive)] = self._primitive(primitive)
            read = self._read[id(primitive)]
            if read is None:
                continue
            faces, attributes = read[0], self._morphed(primitive, read[1], weights)
            points, own = attributes["POSITION"], places
            if skin is not None and "JOINTS_0" in attributes:
                points, own = self._skinned(points, attributes, skin), [np.eye(4)]
            found += [self._part(primitive, faces, attributes, points, place) for place in own]
        return [each for each in found if each is not None]

    def _instances(self, attributes: dict[str, int]) -> list[Floats]:
        columns = {name: self.document.accessor(attributes[name]).astype(np.float64) for name in attributes}
        count = max((len(values) for values in columns.values()), default=0)
        fills = {"TRANSLATION": np.zeros(3), "ROTATION": np.array([0.0, 0, 0, 1]), "SCALE": np.ones(3)}
        rows = {name: columns.get(name, np.broadcast_to(fill, (count, len(fill)))) for name, fill in fills.items()}
        return [_composed(*(rows[name][k] for name in fills)) for k in range(count)]

    def _primitive(self, primitive: JsonObject) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]] | None:
        """Faces (F, 3) and attributes by name; None for points and lines."""
        mode = primitive.get("mode", 4)
        names = primitive.get("attributes", {})
        if mode not in (4, 5, 6) or "POSITION" not in names:
            return None
        packed = primitive.get("extensions", {}).get("KHR_draco_mesh_compression")
        if packed is not None:
            faces, attributes = self.document.draco(packed)
            for name, values in attributes.items():
                if name in names and self.document.get("accessors", names[name]).get("normalized"):
                    attributes[name] = scaled(values)
            return faces, attributes
        wanted = ("POSITION", "COLOR_0", "TEXCOORD_", "JOINTS_", "WEIGHTS_")
        attributes = {name: self.document.accessor(k) for name, k in names.items() if name.startswith(wanted)}
        if "indices" in primitive:
            index = self.document.accessor(primitive["indices"])[:, 0].astype(np.int64)
        else:
            index = np.arange(len(attributes["POSITION"]))
        if mode == 4:
            return index[: len(index) // 3 * 3].reshape(-1, 3), attributes
        if len(index) < 3:
            return None
        if mode == 5:
            return strip(index), attributes
        return np.stack((np.full(len(index) - 2, index[0]), index[1:-1], index[2:]), -1), attributes

    def _morphed(
        self, primitive: JsonObject, attributes: dict[str, NDArray[Any]], weights: Any
    ) -> dict[str, NDArray[Any]]:
        attributes = dict(attributes)
        attributes["POSITION"] = attributes["POSITION"].astype(np.float64)
        for weight, target in zip(weights, primitive.get("targets", []), strict=False):
            for name, index in target.items():
                if weight and name in attributes and not name.startswith(("JOINTS", "WEIGHTS")):
                    attributes[name] = attributes[name] + weight * self.document.accessor(index)
        return attributes

    def _skinned(self, points: Floats, attributes: dict[str, NDArray[Any]], skin: JsonObject) -> Floats:
        """(V, 3) in the scene: each vertex follows its joints, and not its own node (glTF 2.0, section 3.7.3.3)."""
        joints = np.stack([self.world(joint) for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            inverse = self.document.accessor(skin["inverseBindMatrices"]).astype(np.float64)
            joints = joints @ inverse.reshape(-1, 4, 4).swapaxes(1, 2)[: len(joints)]
        homogeneous = np.concatenate((points, np.ones((len(points), 1))), 1)
        total, weight_sum = np.zeros((len(points), 3)), np.zeros((len(points), 1))
        for number in range(8):
            if f"JOINTS_{number}" not in attributes or f"WEIGHTS_{number}" not in attributes:
                break
            index, weight = attributes[f"JOINTS_{number}"].astype(np.int64), attributes[f"WEIGHTS_{number}"]
            for k in range(index.shape[1]):
                moved = np.einsum("vij,vj->vi", joints[index[:, k], :3], homogeneous)
                total += weight[:, k : k + 1] * moved
                weight_sum += weight[:, k : k + 1]
        return np.where(weight_sum > 0, total / np.where(weight_sum > 0, weight_sum, 1), points)

    def _part(
        self,
        primitive: JsonObject,
        faces: NDArray[np.int64],
        attributes: dict[str, NDArray[Any]],
        points: Floats,
        place: Floats,
    ) -> Part | None:
        points = points @ place[:3, :3].T + place[:3, 3]
        if len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= len(points)):
            raise ValueError("a face names a vertex that does not exist")
        if np.linalg.det(place[:3, :3]) < 0:
            faces = faces[:, ::-1]
        tint = attributes.get("COLOR_0")
        tint = None if tint is None else scaled(tint)
        number = primitive.get("material")
        if number is None:
            plain = DEFAULT_COLOR if tint is None else Surface().colors(tint[faces][..., :3], False)
            return part(self.document.source, points, faces, plain) if len(faces) else None
        if number not in self._surfaces:
            self._surfaces[number] = surface(self.document, number)
        look = self._surfaces[number]
        uv = attributes.get(f"TEXCOORD_{look.coordinates}")
        textured = look.paint is not None and uv is not None
        if look.cutoff is not None and not textured:
            opacity = np.full(len(faces), look.opacity)
            if tint is not None and tint.shape[1] == 4:
                opacity = opacity * tint[faces][..., 3].mean(1)
            faces = faces[opacity >= look.cutoff]
        if not len(faces):
            return None
        colors = look.colors(None if tint is None else tint[faces][..., :3], textured)
        if not textured or uv is None:
            return part(self.document.source, points, faces, colors)
        corner_uv = look.place(uv[faces][..., :2])
        return part(self.document.source, points, faces, colors, corner_uv, look.paint, look.modes)


def _matrix(node: JsonObject) -> Floats:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    keys = (("translation", (0.0, 0.0, 0.0)), ("rotation", (0.0, 0.0, 0.0, 1.0)), ("scale", (1.0, 1.0, 1.0)))
    return _composed(*(np.array(node.get(key, fill), np.float64) for key, fill in keys))


def _composed(translation: Floats, rotation: Floats, scale: Floats) -> Floats:
    """(4, 4) scale, then the unit quaternion (x, y, z, w), then translation."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(rotation).as_matrix() * scale
    matrix[:3, 3] = translation
    return matrix
