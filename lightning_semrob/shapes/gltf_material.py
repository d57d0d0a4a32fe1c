"""Materials of glTF 2.0, worked into the corner colours and textures that the renderer knows.

The renderer lights a colour; it has no highlights, no light that a surface gives off and nothing see-through. So

- colour factors are linear: they are turned into display values, or worked into a copy of the texture;
- what a surface gives off is added to its colour, and lit with it;
- MASK cuts holes at the file's cutoff; BLEND is drawn opaque, with holes where a texture's opacity is below 1/2, and
  noted; OPAQUE ignores opacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_semrob.shapes.gltf import Document, JsonObject
from lightning_semrob.shapes.images import Paint, srgb

_WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}


@dataclass(frozen=True)
class Surface:
    """What a material is drawn with: a linear colour and its opacity, and the light that it gives off untextured.

    ``coordinates`` is the set of texture coordinates, which ``matrix`` (2, 3) moves, ``modes`` how the texture goes on
    beyond its edges. Below the opacity ``cutoff`` nothing is drawn; None ignores opacity.
    """

    factor: tuple[float, ...] = (1.0, 1.0, 1.0)
    opacity: float = 1.0
    light: tuple[float, ...] = (0.0, 0.0, 0.0)
    paint: Paint | None = None
    coordinates: int = 0
    matrix: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    modes: tuple[str, str] = ("repeat", "repeat")
    cutoff: float | None = None

    def place(self, uv: NDArray[Any]) -> NDArray[np.float64]:
        """Texture coordinates (..., 2) of the file as the texture has them."""
        matrix = np.array(self.matrix)
        found: NDArray[np.float64] = uv.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
        return found

    def colors(self, tint: NDArray[np.float64] | None, textured: bool) -> Any:
        """Display colours at the corners, (3,) or the shape of the linear vertex colours ``tint`` (..., 3)."""
        if textured:
            return srgb(1.0 if tint is None else tint) * np.ones(3)
        return srgb(np.asarray(self.factor) * (1.0 if tint is None else tint) + np.asarray(self.light))


@dataclass(frozen=True)
class _Texture:
    image: int
    coordinates: int
    matrix: tuple[tuple[float, ...], ...]
    modes: tuple[str, str]


def surface(document: Document, index: int) -> Surface:
    """Material ``index`` of the document."""
    material = document.get("materials", index)
    extensions = material.get("extensions", {})
    gloss = extensions.get("KHR_materials_pbrSpecularGlossiness")
    base = material.get("pbrMetallicRoughness", {}) if gloss is None else gloss
    if gloss is not None and "specularGlossinessTexture" in gloss:
        document.source.note(
            f"has the material {material.get('name', index)} of KHR_materials_pbrSpecularGlossiness: its "
            "diffuse colours alone are drawn, and those of metals are black"
        )
    names = ("baseColorFactor", "baseColorTexture") if gloss is None else ("diffuseFactor", "diffuseTexture")
    factor = [float(x) for x in base.get(names[0], (1.0, 1.0, 1.0, 1.0))]
    factor += [1.0] * (4 - len(factor))
    texture = _texture(document, base.get(names[1]))
    strength = extensions.get("KHR_materials_emissive_strength", {}).get("emissiveStrength", 1.0)
    light = tuple(float(x) * strength for x in material.get("emissiveFactor", (0.0, 0.0, 0.0)))
    glow = _texture(document, material.get("emissiveTexture")) if max(light) > 0 else None

    mode = material.get("alphaMode", "OPAQUE")
    cutoff: float | None = None
    if mode == "MASK":
        cutoff = float(material.get("alphaCutoff", 0.5))
    elif mode == "BLEND":
        opaque = texture is None or document.source.textures.opaque(texture.image, 0.5)
        if factor[3] < 1 or not opaque:
            document.source.note(
                f"has the see-through material {material.get('name', index)} (alphaMode BLEND): it is drawn opaque"
                + ("" if opaque else ", with holes where the opacity of its texture is below 1/2")
            )
        cutoff = None if opaque else 0.5
        factor[3] = 1.0 if factor[3] > 0 else 0.0
        if factor[3] == 0:
            cutoff = 0.5

    if texture is not None and glow is not None and _where(texture) != _where(glow):
        document.source.note(
            f"has the material {material.get('name', index)}, whose emissive texture lies otherwise than its colours: "
            "it is left out"
        )
        glow, light = None, (0.0, 0.0, 0.0)
    shown = texture or glow
    rgb = tuple(factor[:3])
    if shown is None:
        return Surface(rgb, factor[3], light, cutoff=cutoff)
    paint = Paint(
        image=None if texture is None else texture.image,
        factor=rgb,
        light=None if glow is None else glow.image,
        light_factor=light,
        holes=None if texture is None else cutoff,
        opacity=factor[3],
    )
    return Surface(rgb, factor[3], light, paint, shown.coordinates, shown.matrix, shown.modes, cutoff)


def _where(texture: _Texture) -> Any:
    return texture.coordinates, texture.matrix, texture.modes


def _texture(document: Document, info: JsonObject | None) -> _Texture | None:
    if info is None:
        return None
    texture = document.get("textures", info["index"])
    extensions = texture.get("extensions", {})
    choices = [extensions[name]["source"] for name in ("EXT_texture_avif", "EXT_texture_webp") if name in extensions]
    choices += [texture["source"]] if "source" in texture else []
    image = next((number for number in (_image(document, choice) for choice in choices) if number is not None), None)
    if image is None:
        if "KHR_texture_basisu" in extensions and not choices:
            document.source.note("has a KTX2 texture (KHR_texture_basisu), which is not read")
        return None
    sampler = document.get("samplers", texture["sampler"]) if "sampler" in texture else {}
    modes = tuple(_WRAPS.get(sampler.get(name, 10497), "repeat") for name in ("wrapS", "wrapT"))
    moved = info.get("extensions", {}).get("KHR_texture_transform", {})
    (x, y), (wide, high) = moved.get("offset", (0.0, 0.0)), moved.get("scale", (1.0, 1.0))
    cos, sin = float(np.cos(moved.get("rotation", 0.0))), float(np.sin(moved.get("rotation", 0.0)))
    matrix = ((cos * wide, sin * high, float(x)), (-sin * wide, cos * high, float(y)))
    return _Texture(image, moved.get("texCoord", info.get("texCoord", 0)), matrix, (modes[0], modes[1]))


def _image(document: Document, index: int) -> int | None:
    """The number of an image in the file's textures; None, with a note, where it cannot be read."""
    image = document.get("images", index)
    if "uri" in image and not image["uri"].startswith("data:"):
        return document.source.image(image["uri"])
    kind = image.get("mimeType", "")
    number = document.source.textures.add(
        ("image", index),
        lambda: (
            document.source.assets.read(image["uri"]) or b"" if "uri" in image else document.view(image["bufferView"])
        ),
    )
    if number is None:
        what = f"an image of type {kind}" if kind else "an image"
        document.source.note(f"has {what} (number {index}) that cannot be read: surfaces with it have no texture")
    return number
