"""Environments that are made anew. ``nox -s minimum newest`` tests both ends of the supported versions.

``minimum`` takes the lowest version of every direct dependency in pyproject.toml, ``newest`` the newest that the index
has; ``docs`` builds the site, ``wheel`` runs the default job from the built wheel alone. Needs ``nox`` and ``uv``.
``UV_TORCH_BACKEND=cpu`` takes the CPU build of torch where the index of those builds is reached. Arguments after ``--``
go to pytest.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["minimum", "newest"]

TOOLS = ["pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.5", "hypothesis>=6.100"]
#: What depends on other packages most: Lightning's loops, torchmetrics, the command line, files, kernels.
SUBSET = [
    f"tests/{name}.py"
    for name in (
        "test_space", "functional/test_regions", "functional/test_statistics", "evaluation/test_metrics",
        "finders/test_finders", "functions/test_functions", "networks/test_networks", "shapes/test_shapes_files",
        "rendering/test_rendering_raster", "evaluation/test_evaluate", "commands/test_merge", "commands/test_doctor",
        "project/test_docstrings",
    )
]  # fmt: skip


@nox.session(python="3.10")
def minimum(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml allows."""
    lowest = f"{session.create_tmp()}/lowest.txt"
    words = ["uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--python-version", "3.10"]
    session.run(*words, "pyproject.toml", "--extra", "demo", "--extra", "report", "--output-file", lowest)
    session.install("-r", lowest, *TOOLS)
    session.install("--no-deps", "-e", ".")
    # Packages of that age warn under what they themselves depend on, which is newer.
    session.run("pytest", "-o", "filterwarnings=default", *(session.posargs or SUBSET))


@nox.session(python="3.12")
def newest(session: nox.Session) -> None:
    """The newest versions that the index has."""
    session.install("--upgrade", "-e", ".[demo,report]", *TOOLS)
    session.run("pytest", *(session.posargs or SUBSET))


@nox.session
def docs(session: nox.Session) -> None:
    """The site, without a warning. The reference is read from the source: torch is not needed."""
    session.install(*nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["docs"])
    session.run("mkdocs", "build", "--strict")


@nox.session
def wheel(session: nox.Session) -> None:
    """The default job from the built wheel alone, outside the repository."""
    folder = session.create_tmp()
    session.run("uv", "build", "--out-dir", folder)
    (path,) = session.posargs or [str(file) for file in Path(folder).glob("*.whl")]
    session.install(f"{path}[demo,report]")
    session.chdir(folder)
    session.run("python", "-m", "lightning_semrob", "doctor")
    session.run("semrob-evaluate")
