"""Load and draw every mesh file below a folder, each in a process of its own, and say what became of it.

python benchmarks/real_files.py FOLDER                      # ok, refused (why), wrong; time; memory; FOLDER.png
python benchmarks/real_files.py FOLDER --output sheet.png --reader trimesh

A file is wrong where two of four views show no pixel of it, where a number is not finite, where its process dies, or
where it takes more than a minute. Whether the picture is right is for eyes to say: look at the contact sheet. Readers
``trimesh`` and ``assimp`` (needs assimp-py) draw the files as these packages read them, to compare.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from lightning_semrob.rendering import Rasterizer
from lightning_semrob.shapes import load_mesh
from lightning_semrob.shapes.io import MESH_SUFFIXES
from lightning_semrob.shapes.mesh import Mesh, merge, normalize, remove_degenerate_faces

VIEWS = ((30.0, 20.0), (210.0, 35.0), (120.0, 0.0), (0.0, 85.0))
SIZE, SHOWN, SECONDS = 96, 2, 60


@dataclass
class Result:
    """What became of one file."""

    file: Path
    status: str
    reason: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    faces: int = 0
    picture: Any = None
    seen: Any = None


def plain(vertices: Any, faces: Any, color: Any = (0.8, 0.8, 0.8)) -> Mesh:
    """An untextured mesh of arrays (V, 3), (F, 3) and a colour (3,), (F, 3) or (F, 3, 3)."""
    tint = np.asarray(color, np.float32)
    tint = tint[:, None] if tint.ndim == 2 else tint
    corner_colors = torch.from_numpy(np.array(np.broadcast_to(tint, (len(faces), 3, 3))))
    return Mesh(torch.as_tensor(np.array(vertices)).double(), torch.as_tensor(np.array(faces)).long(), corner_colors)


def with_trimesh(file: Path) -> Mesh:
    """The file as trimesh reads it: form and untextured colours."""
    import trimesh

    scene = trimesh.load_scene(file, process=False)
    parts = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
            colors = geometry.visual.to_color().vertex_colors[geometry.faces][..., :3] / 255
            parts.append(plain(geometry.vertices @ matrix[:3, :3].T + matrix[:3, 3], geometry.faces, colors))
    return normalize(remove_degenerate_faces(merge(parts, str(file))))


def with_assimp(file: Path) -> Mesh:
    """The file as assimp reads it: form and untextured colours."""
    import assimp_py

    flags = assimp_py.Process_Triangulate | assimp_py.Process_SortByPType | assimp_py.Process_PreTransformVertices
    scene = assimp_py.import_file(str(file), flags)
    parts = []
    for mesh in scene.meshes:
        points = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
        index = np.asarray(mesh.indices, np.int64)
        if len(index) != 3 * mesh.num_faces or not len(index):
            continue
        faces = index.reshape(-1, 3)
        color = scene.materials[mesh.material_index].get("COLOR_DIFFUSE", (0.8, 0.8, 0.8))[:3]
        parts.append(plain(points, faces, color))
    return normalize(remove_degenerate_faces(merge(parts, str(file))))


READERS = {"own": load_mesh, "trimesh": with_trimesh, "assimp": with_assimp}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(file: Path, reader: str, connection: Any) -> None:
    """In a process of its own: read and draw one file, and send the result."""
    before, start = _peak(), time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            mesh = READERS[reader](file)
    except Exception as error:
        done = Result(file, "refused", f"{type(error).__name__}: {error}")
        done.seconds, done.megabytes = time.perf_counter() - start, _peak() - before
        connection.send(done)
        return
    done = Result(file, "ok", "; ".join(str(warning.message) for warning in said), time.perf_counter() - start)
    done.faces, done.megabytes = len(mesh.faces), _peak() - before
    u = torch.tensor([[*view, grey] for view in VIEWS for grey in (0.0, 1.0)])
    images = Rasterizer(SIZE)(Mesh.to(mesh, "cpu"), u, ("azimuth", "elevation", "background"))
    seen = 1 - (images[1::2] - images[::2]).mean(1)  # what the background does not show through
    empty = int((seen.flatten(1).amax(1) < 0.02).sum())
    if not bool(images.isfinite().all()) or not bool(mesh.vertices.isfinite().all()):
        done.status, done.reason = "wrong", f"numbers that are not finite. {done.reason}"
    elif empty > len(VIEWS) // 4:
        done.status, done.reason = "wrong", f"no pixel in {empty} of {len(VIEWS)} views. {done.reason}"
    done.seen = (seen > 0.5).numpy()
    picture = torch.cat(list(images[1::2][:SHOWN]), -1).permute(1, 2, 0).nan_to_num().clamp(0, 1)
    done.picture = (picture * 255).byte().numpy()
    connection.send(done)


def result_of(file: Path, reader: str) -> Result:
    """Draw a file in a process of its own, which may die or hang."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=draw, args=(file, reader, there))
    start = time.perf_counter()
    process.start()
    there.close()
    try:
        answered = here.poll(SECONDS)
        done: Result | None = here.recv() if answered else None
    except EOFError:
        done = None
        process.join(5)
        return Result(file, "wrong", f"its process died (exit code {process.exitcode})", time.perf_counter() - start)
    finally:
        if process.is_alive() and not here.closed:
            process.join(0.5)
            process.kill()
        process.join()
    return done or Result(file, "wrong", f"took more than {SECONDS} s", time.perf_counter() - start)


def agreement(first: Sequence[Result], second: Sequence[Result]) -> str:
    """How the pictures of two readers compare: silhouettes by their overlap in four views, colours by their mean."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a.status == b.status == "ok"]
    form = [(a.seen & b.seen).sum() >= 0.98 * (a.seen | b.seen).sum() for a, b in both]
    same = [
        alike and float(np.abs(a.picture.astype(float) - b.picture).mean()) < 1
        for (a, b), alike in zip(both, form, strict=True)
    ]
    pairs = ((first, second), (second, first))
    alone = [sum(x.status == "ok" and y.status != "ok" for x, y in zip(*pair, strict=True)) for pair in pairs]
    return (
        f"both drew {len(both)}, of which {len(both) - sum(form)} differ in form and {sum(form) - sum(same)} in colour "
        f"alone; the first alone drew {alone[0]}, the second alone {alone[1]}"
    )


def sheet(results: Sequence[Result], columns: int = 6) -> Image.Image:
    """A picture of all files, the refused and wrong ones on pink."""
    width, height = SIZE * SHOWN, SIZE + 14
    canvas = Image.new("RGB", (columns * width, -(-len(results) // columns) * height), "white")
    pen = ImageDraw.Draw(canvas)
    for k, result in enumerate(results):
        x, y = k % columns * width, k // columns * height
        if result.status != "ok":
            pen.rectangle((x, y, x + width, y + height), fill="pink")
        if result.picture is not None:
            canvas.paste(Image.fromarray(result.picture), (x, y))
        pen.text((x + 2, y + SIZE), f"{k} {result.file.name}"[: width // 6], fill="black")
    return canvas


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    """Draw all files and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, help="the contact sheet; beside the folder by default")
    parser.add_argument("--reader", choices=sorted(READERS), default="own")
    parser.add_argument("--against", choices=sorted(READERS), help="also draw by this reader, and compare the pictures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    Rasterizer(SIZE)(plain(np.eye(3), np.array([[0, 1, 2]])), torch.zeros(1, 1), ("azimuth",))  # compiles the kernels
    files = [path for path in sorted(options.folder.rglob("*")) if path.suffix.lower() in MESH_SUFFIXES]
    files = [path for path in files if path.is_file() and not path.name.startswith(".")]
    results = []
    for number, file in enumerate(files):
        done = result_of(file, options.reader)
        results.append(done)
        where = file.relative_to(options.folder)
        figures = f"{done.seconds:6.2f} s {done.megabytes:6.0f} MB {done.faces:8d} faces"
        line = f"{number:4d} {done.status:7s} {figures}  {where}"
        reason = done.reason.replace(str(options.folder), "").replace("\n", " ")
        print(f"{line}  ({reason})" if reason else line, flush=True)
    counts = Counter(result.status for result in results)
    total = sum(result.seconds for result in results)
    most = max((result.megabytes for result in results), default=0.0)
    print(
        f"{len(results)} files with '{options.reader}': {counts['ok']} ok, {counts['refused']} refused, "
        f"{counts['wrong']} wrong; {total:.0f} s, at most {most:.0f} MB"
    )
    if options.against:
        others = [result_of(result.file, options.against) for result in results]
        print(f"against '{options.against}': {agreement(results, others)}")
    if results:
        output = options.output or options.folder.resolve().with_suffix(".png")
        sheet(results).save(output)
        print(f"{output}: {len(results)} files")
    return results


if __name__ == "__main__":
    main()
