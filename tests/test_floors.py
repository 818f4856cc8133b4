"""Imports point down, and the product needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "twohands"
FLOORS = [
    {"geometry", "files"},
    {"claims"},
    {"intrinsics"},
    {"types", "config"},
    {"hands", "views", "frame_checks", "shards"},
    {"ops", "pictures", "runtime"},
    {"networks", "synth", "sources"},
    {"data"},
    {"metrics", "locate"},
    {"fitting"},
    {"predictor", "tracking", "doctor", "export", "overlay", "rows", "report"},
    {"evaluation", "protocols", "submissions", "batch", "figures"},
    {"training"},
    {"experiments"},
    {"viewer", "cli"},
    {"__main__"},
]
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}
PRODUCT = (
    "twohands",
    "twohands.types",
    "twohands.predictor",
    "twohands.sources.folder",
    "twohands.export",
    "twohands.cli",
)


def imported(path: Path) -> set[str]:
    """Top-level modules of the package that a source file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "twohands" else [node.module]
            )
            names.update(full)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("twohands.")} - {"__version__", "LEFT", "RIGHT"}


@pytest.mark.parametrize(
    "path", [p for p in sorted(SOURCE.rglob("*.py")) if p.name != "__init__.py" or p.parent != SOURCE], ids=str
)
def test_imports_point_down(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for other in imported(path):
        assert other == own or FLOOR_OF[other] < FLOOR_OF[own], f"{own} must not import {other}"


def test_product_runs_without_torch():
    code = "import sys\nsys.modules['torch'] = None\nsys.modules['numba'] = None\n"
    code += "\n".join(f"import {name}" for name in PRODUCT)
    code += "\nimport twohands\ntwohands.load()\n"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
