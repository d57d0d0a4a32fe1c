"""Formats that other packages read: COLLADA by pycollada, STL and 3MF by trimesh, USD by usd-core."""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.files import MAX_BYTES, MeshFileError, ZipAssets
from lightning_semrob.shapes.images import Paint, srgb
from lightning_semrob.shapes.parts import DEFAULT_COLOR, Part, Source, part
from lightning_semrob.shapes.polygons import triangulate

#: (3, 3) from an up axis to +y, by the name that COLLADA has for it.
_UP = {
    "X_UP": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "Y_UP": np.eye(3),
    "Z_UP": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


def read_stl(source: Source) -> list[Part]:
    """The parts of an STL file, with its face colours; which way is up it does not say: +y is taken."""
    return _trimesh(source, "stl", np.eye(3))


def read_3mf(source: Source) -> list[Part]:
    """The parts of a 3MF file: up is +z by its standard. Its colours are not read."""
    _needs(source, "3MF", {"lxml": "lxml", "networkx": "networkx"})
    with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise MeshFileError(f"mesh file '{source.name}' unpacks to more than {MAX_BYTES // 2**20} MiB: reduce it")
        models = [archive.read(name) for name in archive.namelist() if name.lower().endswith(".model")]
    if any(word in model for model in models for word in (b"displaycolor", b"colorgroup", b"texture2d")):
        source.note("has colours or textures: of 3MF the form alone is read")
    return _trimesh(source, "3mf", _UP["Z_UP"])


def _needs(source: Source, what: str, packages: Mapping[str, str]) -> None:
    """Refuse where a module, whose package is the value, is not installed."""
    from importlib.util import find_spec

    lacking = [package for module, package in packages.items() if find_spec(module) is None]
    if lacking:
        raise MeshFileError(f"mesh file '{source.name}' is {what}: run 'pip install {' '.join(lacking)}' to read it")


def _trimesh(source: Source, kind: str, up: NDArray[np.float64]) -> list[Part]:
    import trimesh

    with warnings.catch_warnings():
        # numpy's text parser only warns about numbers that it cannot read
        warnings.filterwarnings("error", message="string or file could not be read")
        scene = trimesh.load_scene(io.BytesIO(source.data), file_type=kind, process=False)
    found = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh) or not len(geometry.faces):
            continue
        faces = np.asarray(geometry.faces, np.int64)
        points = (np.asarray(geometry.vertices, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]) @ up.T
        if np.linalg.det(matrix[:3, :3]) < 0:
            faces = faces[:, ::-1]
        colors: Any = DEFAULT_COLOR
        visual: Any = geometry.visual
        if visual.kind == "face":
            colors = np.asarray(visual.face_colors)[:, :3] / 255.0
        elif visual.kind == "vertex":
            colors = np.asarray(visual.vertex_colors)[faces, :3] / 255.0
        found.append(part(source, points, faces, colors))
    return found


def read_collada(source: Source) -> list[Part]:
    """The parts of a COLLADA file, turned so that its up axis is +y; skins stay in their bind pose."""
    _needs(source, "COLLADA", {"collada": "pycollada"})
    import collada

    def read(name: str) -> bytes:
        data = source.assets.read(name)
        if data is None:
            raise collada.common.DaeBrokenRefError(name)
        return data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # pycollada uses numpy.matrix
        return _collada(source, collada.Collada(io.BytesIO(source.data), [collada.common.DaeError], read))


def _collada(source: Source, document: Any) -> list[Part]:
    up = _UP.get(str(document.assetInfo.upaxis), np.eye(3))
    found: list[Part] = []
    if document.scene is None:
        return found
    for kind in ("geometry", "controller"):
        for bound in document.scene.objects(kind):
            if not hasattr(bound, "geometry" if kind == "controller" else "primitives"):
                source.note("has morph targets, which are not read from COLLADA")
                continue
            if kind == "controller":
                source.note("has skins, which are drawn in their bind pose")
                bound = bound.geometry
            found += [
                each
                for primitive in bound.primitives()
                if (each := _polygons(source, primitive, bound.matrix, up)) is not None
            ]
    return found


def _polygons(source: Source, primitive: Any, matrix: Any, up: NDArray[np.float64]) -> Part | None:
    """One list of polygons with one material; None for lines."""
    index = primitive.vertex_index if hasattr(primitive, "vertex_index") else None
    if index is None or index.ndim > 2 or primitive.vertex is None or not len(index):
        return None
    original = primitive.original
    if index.ndim == 2 and index.shape[1] != 3:
        return None
    counts = np.asarray(original.vcounts, np.int64) if hasattr(original, "vcounts") else np.full(len(index), 3)
    points = np.asarray(primitive.vertex, np.float64) @ up.T
    flat = np.asarray(index, np.int64).reshape(-1)
    corner, _ = triangulate(points[flat], counts)
    if not len(corner):
        return None
    if np.linalg.det(matrix[:3, :3]) < 0:
        corner = corner[:, ::-1]
    effect = primitive.material.effect if primitive.material is not None else None
    color, paint, uv = _look(source, effect, primitive)
    tint = original.sources.get("COLOR")
    if tint:
        where = np.asarray(original.index, np.int64).reshape(len(flat), -1)[:, tint[0][0]]
        colors = np.asarray(tint[0][4].data, np.float64)[where[corner]][..., :3] * (1.0 if color is None else color)
    elif color is None:
        colors = np.array(DEFAULT_COLOR)
    else:
        colors = np.asarray(color)
    return part(source, points, flat[corner], colors, None if uv is None else uv[corner], paint)


def _look(source: Source, effect: Any, primitive: Any) -> tuple[Any, Paint | None, Any]:
    """The colour, the texture and the coordinates (C, 2) of an effect; what it gives off is added to its colour."""
    import collada

    if effect is None:
        return None, None, None
    diffuse, glow = effect.diffuse, effect.emission
    if isinstance(diffuse, collada.material.Map):
        image = source.image(diffuse.sampler.surface.image.path)
        sets = primitive.texcoordset
        if image is None or not sets:
            return (1.0, 1.0, 1.0) if image is not None else None, None, None
        number = 0
        wanted = (getattr(primitive, "inputmap", None) or {}).get(diffuse.texcoord)
        if wanted is not None and wanted[1] is not None and str(wanted[1]).isdigit():
            number = min(int(wanted[1]), len(sets) - 1)
        index = np.asarray(primitive.texcoord_indexset[number], np.int64).reshape(-1)
        uv = np.asarray(sets[number], np.float64)[index][:, :2]
        holes = None if source.textures.opaque(image, 0.5) else 0.5
        return (1.0, 1.0, 1.0), Paint(image, holes=holes), np.stack((uv[:, 0], 1 - uv[:, 1]), -1)
    color = np.zeros(3) if diffuse is None and glow is not None else None
    if diffuse is not None:
        color = np.asarray(diffuse, np.float64)[:3]
    if glow is not None and not isinstance(glow, collada.material.Map):
        color = np.asarray(glow, np.float64)[:3] + (0.0 if color is None else color)
    return (None if color is None else np.clip(color, 0, 1)), None, None


# ---- USD

_USD_SUFFIXES = (".usd", ".usda", ".usdc")
#: Kinds of surfaces that are no polygons.
_USD_OTHERS = ("Capsule", "Cone", "Cube", "Cylinder", "NurbsPatch", "Plane", "PointInstancer", "Sphere", "TetMesh")
_USD_WRAPS = {"repeat": "repeat", "mirror": "mirror", "clamp": "clamp", "black": "clamp"}


def read_usd(source: Source) -> list[Part]:
    """The parts of a USD file or a USDZ archive at its first moment, turned so that its up axis is +y.

    Raises:
        MeshFileError: it refers to layers outside of it, which could be any files of this machine, or has surfaces
            that are no polygons.
    """
    _needs(source, "USD", {"pxr": "usd-core"})
    from pxr import Usd, UsdGeom, UsdUtils

    _quiet = UsdUtils.CoalescingDiagnosticDelegate()  # takes the warnings that USD would write to the error stream
    found: list[Part] = []
    with tempfile.TemporaryDirectory() as folder:
        stage = Usd.Stage.Open(str(_usd_layers(source, Path(folder).resolve())))
        up = _UP[f"{UsdGeom.GetStageUpAxis(stage)}_UP"]
        places = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
        for prim in Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies()):
            shown = UsdGeom.Imageable(prim)
            if not shown or shown.ComputePurpose() in ("guide", "proxy") or shown.ComputeVisibility() == "invisible":
                continue
            if prim.GetTypeName() in _USD_OTHERS:
                raise MeshFileError(
                    f"mesh file '{source.name}' has a {prim.GetTypeName()} ({prim.GetPath()}), which is no mesh of "
                    "polygons: convert it to one"
                )
            if prim.IsA(UsdGeom.Mesh):
                found += _usd_mesh(source, UsdGeom.Mesh(prim), np.array(places.GetLocalToWorldTransform(prim)), up)
    return found


def _usd_layers(source: Source, folder: Path) -> Path:
    """Write the layers of a file into an empty folder, where USD may look for them; returns the first one."""
    from pxr import Sdf

    layers = {f"layer{PurePosixPath(source.name).suffix.lower()}": source.data}
    if source.data[:4] == b"PK\x03\x04":
        archive = ZipAssets(Path(source.name), source.data)
        names = [name for name in archive.names() if PurePosixPath(name).suffix.lower() in _USD_SUFFIXES]
        if not names:
            raise MeshFileError(f"mesh file '{source.name}' is an archive without a USD layer: export it again")
        layers = {name: archive.main(name) for name in reversed(names)}  # the first one last: names count from there
        source.assets = archive
    path = folder
    for name, data in layers.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            raise MeshFileError(f"mesh file '{source.name}' names '{name}', which leads outside of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in layers:
        own = folder / name
        for other in Sdf.Layer.OpenAsAnonymous(str(own)).GetCompositionAssetDependencies():
            target = (own.parent / other).resolve()
            if not target.is_relative_to(folder) or not target.is_file():
                raise MeshFileError(
                    f"mesh file '{source.name}' refers to another layer ({other}): flatten it into one (usdcat "
                    "--flatten)"
                )
    return path


def _usd_mesh(source: Source, mesh: Any, matrix: NDArray[np.float64], up: NDArray[np.float64]) -> Iterator[Part]:
    """The parts of a mesh, one for each material."""
    from pxr import Usd, UsdGeom, UsdShade

    start, prim = Usd.TimeCode.EarliestTime(), mesh.GetPrim()
    if prim.GetRelationship("skel:skeleton").HasAuthoredTargets() or prim.HasAttribute("skel:blendShapes"):
        source.note("has skins or morph targets, which are drawn in their bind pose")
    if mesh.GetSubdivisionSchemeAttr().HasAuthoredValue() and mesh.GetSubdivisionSchemeAttr().Get() != "none":
        source.note("has subdivision surfaces, of which the cage is drawn")
    points = np.asarray(mesh.GetPointsAttr().Get(start), np.float64).reshape(-1, 3)
    counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get(start), np.int64).reshape(-1)
    flat = np.asarray(mesh.GetFaceVertexIndicesAttr().Get(start), np.int64).reshape(-1)
    if not len(counts) or not len(flat):
        return
    if flat.min() < 0 or flat.max() >= len(points) or counts.sum() != len(flat):
        raise ValueError("a face names a vertex that does not exist")
    points = (points @ matrix[:3, :3] + matrix[3, :3]) @ up.T
    corner, owner = triangulate(points[flat], counts)
    if (mesh.GetOrientationAttr().Get() == "leftHanded") != bool(np.linalg.det(matrix[:3, :3]) < 0):
        corner = corner[:, ::-1]

    def spread(name: str, width: int) -> NDArray[np.float64] | None:
        """The values (F, 3, width) of a primvar at the corners of the triangles."""
        primvar = UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(name)
        values = None if not primvar.HasValue() else primvar.ComputeFlattened(start)
        if values is None or not len(values):
            return None
        values = np.asarray(values, np.float64).reshape(len(values), -1)[:, :width]
        kind = primvar.GetInterpolation()
        places = {"faceVarying": corner, "vertex": flat[corner], "varying": flat[corner], "uniform": owner[:, None]}
        where = np.broadcast_to(places.get(kind, np.zeros((1, 1), np.int64)), corner.shape)
        if where.max() >= len(values):
            raise ValueError(f"its primvar {name} has too few values")
        return values[where]

    tint = spread("displayColor", 3)
    binding = UsdShade.MaterialBindingAPI(prim)
    left = np.ones(len(counts), bool)
    groups = []
    for subset in binding.GetMaterialBindSubsets():
        chosen = np.zeros(len(counts), bool)
        chosen[np.asarray(subset.GetIndicesAttr().Get(start), np.int64)] = True
        groups.append((chosen & left, UsdShade.MaterialBindingAPI(subset.GetPrim()).ComputeBoundMaterial()[0]))
        left &= ~chosen
    for chosen, material in [*groups, (left, binding.ComputeBoundMaterial()[0])]:
        own = chosen[owner]
        if not own.any():
            continue
        color, paint, primvar, matrix_uv, modes = _usd_look(source, material)
        colors: Any = DEFAULT_COLOR if color is None else color
        if color is None and tint is not None:
            colors = srgb(tint[own])
        uv = None if paint is None else spread(primvar, 2)
        if uv is not None:
            uv = uv[own] @ matrix_uv[:2, :2].T + matrix_uv[:2, 2]
            uv[..., 1] = 1 - uv[..., 1]
        elif paint is not None:
            source.note(f"has a texture without its coordinates ({primvar})")
        yield part(source, points, flat[corner[own]], colors, uv, paint, modes)


def _usd_look(source: Source, material: Any) -> tuple[Any, Paint | None, str, NDArray[np.float64], tuple[str, str]]:
    """Display colour, texture, name of its coordinates, what moves these, and how it goes on, of a preview surface."""
    nothing = (None, None, "st", np.eye(3), ("repeat", "repeat"))
    if not material:
        return nothing
    shader = material.ComputeSurfaceSource()[0]
    if not shader or shader.GetIdAttr().Get() != "UsdPreviewSurface":
        source.note(f"has the material {material.GetPath()}, which is no UsdPreviewSurface: it is drawn light grey")
        return nothing
    factor = np.array(_usd_value(shader, "diffuseColor", (0.18, 0.18, 0.18)), np.float64)
    light = np.array(_usd_value(shader, "emissiveColor", (0.0, 0.0, 0.0)), np.float64)
    if _usd_source(shader, "emissiveColor") is not None:
        source.note("has emissive textures, which are left out")
        light = np.zeros(3)
    holes = None
    if _usd_source(shader, "opacity") is not None:
        holes = float(_usd_value(shader, "opacityThreshold", 0.0)) or 0.5
    if float(_usd_value(shader, "opacityThreshold", 0.0)) == 0 and (
        holes is not None or float(_usd_value(shader, "opacity", 1.0)) < 1
    ):
        source.note(
            "has see-through materials, which are drawn opaque, with holes where a texture's opacity is below 1/2"
        )
    texture = _usd_source(shader, "diffuseColor")
    if texture is None or texture.GetIdAttr().Get() != "UsdUVTexture":
        if texture is not None:
            source.note("has colours that are computed by other nodes than textures")
        return srgb(factor + light), None, *nothing[2:]
    path = _usd_value(texture, "file", None)
    image = None if path is None else source.image(str(path.path))
    if image is None:
        return None, None, *nothing[2:]
    scale = np.array(_usd_value(texture, "scale", (1.0, 1.0, 1.0, 1.0)), np.float64)[:3]
    if np.abs(np.array(_usd_value(texture, "bias", (0.0, 0.0, 0.0, 0.0)))[:3]).max() > 0:
        source.note("has textures with a bias, which is left out")
    reader, matrix = _usd_source(texture, "st"), np.eye(3)
    if reader is not None and reader.GetIdAttr().Get() == "UsdTransform2d":
        turn = np.deg2rad(float(_usd_value(reader, "rotation", 0.0)))
        cos, sin = np.cos(turn), np.sin(turn)
        stretch = np.diag([*np.array(_usd_value(reader, "scale", (1.0, 1.0)), np.float64), 1.0])
        matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ stretch
        matrix[:2, 2] = _usd_value(reader, "translation", (0.0, 0.0))
        reader = _usd_source(reader, "in")
    primvar = "st" if reader is None else str(_usd_value(reader, "varname", "st"))
    modes = tuple(_USD_WRAPS.get(str(_usd_value(texture, f"wrap{k}", "repeat")), "repeat") for k in "ST")
    holes = None if holes is None or source.textures.opaque(image, holes) else holes
    paint = Paint(image, factor=tuple(scale), holes=holes, light_factor=tuple(light))
    return (1.0, 1.0, 1.0), paint, primvar, matrix, (modes[0], modes[1])


def _usd_source(shader: Any, name: str) -> Any:
    """The shader that an input comes from, None for none."""
    from pxr import UsdShade

    socket = shader.GetInput(name)
    sources = socket.GetConnectedSources()[0] if socket else []
    if not sources:
        return None
    found = UsdShade.Shader(sources[0].source.GetPrim())
    return found if found else None


def _usd_value(shader: Any, name: str, default: Any) -> Any:
    """The value of an input, also where it comes from an input of the material."""
    from pxr import Usd

    socket = shader.GetInput(name)
    attributes = socket.GetValueProducingAttributes() if socket else []
    value = attributes[0].Get(Usd.TimeCode.EarliestTime()) if attributes else None
    return default if value is None else value
