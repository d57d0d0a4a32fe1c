"""The notebook runs from top to bottom in its small setting, and is kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is absent: pip install nbformat nbclient ipykernel")
pytest.importorskip("nbclient", reason="nbclient is absent: pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="ipykernel is absent: pip install ipykernel")


def test_the_notebook_is_kept_without_outputs(repository: Path) -> None:
    notebook = nbformat.read(repository / "examples" / "region.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) in range(9, 13)
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


# The kernel's messages come through zmq and asyncio, which warn about their own loops.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
def test_the_notebook_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    paths = [str(repository), str(repository / "tests"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("REGION_SETTING", "small")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(repository / "examples" / "region.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6
    text = "".join(output.get("text", "") for output in outputs)
    assert "% of the space" in text
    assert any(verdict in text for verdict in ("valid", "invalid", "undecided"))
