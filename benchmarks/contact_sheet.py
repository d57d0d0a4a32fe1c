"""A contact sheet: every embedded class, or any shapes, rendered on a grid into one PNG.

python benchmarks/contact_sheet.py                                  # docs/images/embedded_shapes.png
python benchmarks/contact_sheet.py teapot:0-9 path/to/folder#cup --output sheet.png --views 30,15 210,40
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_semrob.rendering.raster import Rasterizer
from lightning_semrob.shapes import ShapeSpec, resolve_shapes

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "embedded_shapes.png"
VIEWS = ((30.0, 15.0), (200.0, 35.0))
CAPTION_HEIGHT = 16


def tile(spec: ShapeSpec, renderer: Rasterizer, views: Sequence[tuple[float, float]]) -> Image.Image:
    """The views of one shape side by side over its name; pink where it cannot be read."""
    u = torch.tensor(views, dtype=torch.float64)
    try:
        images: Tensor = renderer(spec.load(), u, ("azimuth", "elevation"))
        pixels = (torch.cat(list(images), -1).permute(1, 2, 0).clamp(0, 1) * 255).round().byte()
        picture = Image.fromarray(pixels.numpy())
    except ValueError as error:  # one bad file does not end the sheet
        print(error)
        picture = Image.new("RGB", (len(views) * renderer.image_size, renderer.image_size), "pink")
    canvas = Image.new("RGB", (picture.width, picture.height + CAPTION_HEIGHT), "white")
    canvas.paste(picture, (0, 0))
    name = spec.shape_id.removesuffix(":0") if isinstance(spec.source, int) else f"{spec.class_name} {spec.shape_id}"
    text = name.replace("_", " ")[: picture.width // 6]
    draw = ImageDraw.Draw(canvas)
    draw.text((picture.width / 2, picture.height + CAPTION_HEIGHT / 2), text, fill="black", anchor="mm")
    return canvas


def sheet(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    """The tiles on a grid, row by row."""
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGB", (columns * width, rows * height), "white")
    for k, picture in enumerate(tiles):
        canvas.paste(picture, (k % columns * width, k // columns * height))
    return canvas


def _view(text: str) -> tuple[float, float]:
    azimuth, elevation = text.split(",")
    return float(azimuth), float(elevation)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Render and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["embedded"], help="as --data.shapes of evaluate.py")
    parser.add_argument("--views", nargs="+", type=_view, default=VIEWS, help="azimuth,elevation in degrees")
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--size", type=int, default=112, help="pixels of each picture")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    renderer = Rasterizer(image_size=options.size, supersampling=4)
    tiles = [tile(spec, renderer, options.views) for spec in resolve_shapes(options.shapes)]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(tiles, options.columns).save(options.output, optimize=True)
    print(f"{options.output}: {len(tiles)} shapes, {options.output.stat().st_size / 1024:.0f} KB")
    path: Path = options.output
    return path


if __name__ == "__main__":
    main()
