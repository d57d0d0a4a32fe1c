"""The torchvision cure, both ways: each case needs an interpreter that has not imported torchvision yet."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import lightning_semrob.utilities.torchvision as cure

# The module by its path: importing the package would run the cure before the case is set up.
PRELUDE = f"""
import importlib.util, sys, warnings
warnings.simplefilter("error")
import torch
spec = importlib.util.spec_from_file_location("cure", {cure.__file__!r})
cure = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cure)

def break_torchvision():
    "No extension loads, as on a CPU-only torch, whichever build is installed."
    def load_library(path):
        raise OSError("libcudart.so: cannot open shared object file")
    torch.ops.load_library = load_library
"""


def run(code: str, *, path: Path | None = None) -> str:
    """Standard output of ``code`` in a fresh interpreter, with ``path`` first on its module path."""
    first = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    script = first + PRELUDE + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_cures_a_broken_torchvision() -> None:
    out = run(
        """
        break_torchvision()
        try:
            import torchvision
        except RuntimeError as error:
            assert "operator torchvision::nms does not exist" in str(error), error
        else:
            raise AssertionError("this case is not broken")
        import lightning_semrob
        from lightning_semrob.utilities import torchvision as _torchvision
        assert _torchvision._library is not None and _torchvision.ensure_torchvision() is False
        import torchvision
        from torchvision.transforms import v2
        logits = torchvision.models.squeezenet1_1(weights=None).eval()(v2.Resize(64)(torch.rand(2, 3, 70, 70)))
        assert logits.shape == (2, 1000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pytorch_lightning, torchmetrics
        try:
            torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        except RuntimeError as error:
            assert "C++ ops" in str(error), error
        else:
            raise AssertionError("an operator without its compiled code must not answer")
        print("cured")
        """
    )
    assert out == "cured"


def test_a_torchvision_that_imports_by_itself_is_left_alone() -> None:
    out = run(
        f"""
        if not hasattr(torch.ops.torchvision, "nms"):
            mine = torch.library.Library("torchvision", "DEF")
            for schema in {list(cure._SCHEMAS.values())!r}:
                try:
                    mine.define(schema)
                except RuntimeError:  # a torchvision whose extension is loaded defines its own
                    pass
        defined = []
        define = torch.library.Library.define
        def record(self, schema, *arguments, **options):
            if self.ns == "torchvision":
                defined.append(schema)
            return define(self, schema, *arguments, **options)
        torch.library.Library.define = record
        assert cure.ensure_torchvision() is False
        import torchvision
        assert cure._library is None and not defined, defined
        assert torchvision.models.squeezenet1_1(weights=None) is not None
        print("alone")
        """
    )
    assert out == "alone"


def test_only_the_missing_operators_are_defined() -> None:
    out = run(
        """
        break_torchvision()
        mine = torch.library.Library("torchvision", "DEF")
        mine.define(cure._SCHEMAS["nms"])
        try:
            import torchvision
            print("imports")  # a version that needs nms alone
        except RuntimeError:
            assert cure.ensure_torchvision() is True
            import torchvision
            print("imports")
        """
    )
    assert out == "imports"


def test_an_error_that_the_cure_does_not_help_is_passed_on_unchanged(tmp_path: Path) -> None:
    stub = tmp_path / "torchvision" / "__init__.py"
    stub.parent.mkdir()
    stub.touch()
    out = run(
        """
        from pathlib import Path
        stub, count = Path(sys.path[0], "torchvision", "__init__.py"), Path(sys.path[0], "count")
        for source, kind, imports in [
            ("raise RuntimeError('libpng is too old')", RuntimeError, 1),
            ("raise ImportError('no module named PIL')", ImportError, 1),
            ("raise ZeroDivisionError('unrelated')", ZeroDivisionError, 1),
            ("raise RuntimeError('operator torchvision::nms does not exist')", RuntimeError, 2),
            ("raise RuntimeError('operator torchvision::nms does not exist!')", RuntimeError, 1),
        ]:
            count.write_text("")
            stub.write_text(f"open({str(count)!r}, 'a').write('x')\\n{source}")
            try:
                cure.ensure_torchvision()
            except Exception as error:
                assert type(error) is kind and str(error) in source, repr(error)
                assert error.__cause__ is None and error.__context__ is None
            else:
                raise AssertionError(source)
            assert len(count.read_text()) == imports, source
            assert (cure._library is None) == ("operator" not in source)
        print("passed on")
        """,
        path=tmp_path,
    )
    assert out == "passed on"
