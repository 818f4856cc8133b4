"""Imports point down, file by file without circles, and the product needs neither data sets, renderer nor torch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "twohands"
FLOORS = [
    {"geometry", "ops", "files", "config", "choices", "findings"},
    {"values", "spellings", "light_config"},
    {"intrinsics", "claims"},
    {"arrays"},
    {"types"},
    {"hands", "views", "shards", "runtime", "region"},
    {"sources", "networks", "data", "locate", "fitting", "results", "export", "pictures", "checks"},
    {"predictor", "overlay", "synth", "motion"},
    {"tracking"},
    {"evaluation", "batch", "doctor"},
    {"training"},
    {"experiments"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}
UNAWARE = {"data": {"synth", "networks"}, "synth": {"data", "networks"}, "networks": {"data", "synth"}}
"""Modules of one floor that must not know each other, said aloud."""
FILES = sorted(SOURCE.rglob("*.py"))
PRODUCT = (
    "twohands",
    "twohands.types",
    "twohands.predictor",
    "twohands.sources.folder",
    "twohands.shards",
    "twohands.export",
    "twohands.overlay",
    "twohands.results",
    "twohands.batch",
    "twohands.doctor.page",
    "twohands.cli",
)


def module_of(path: Path) -> str:
    """The dotted name of a source file below the package; '' for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(path: Path, nodes: list[ast.AST] | None = None) -> set[str]:
    """Modules of the package that a source file imports, anywhere in it or in some of its nodes."""
    names = set()
    for node in nodes or list(ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "twohands":
            module = node.module.partition(".")[2]
            inner = {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
            names |= {name if name in MODULES else module for name in inner}
        elif isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("twohands.")}
    return names - {"", module_of(path)}


def test_the_list_names_what_there_is():
    there = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert there - {"__init__"} == set(FLOOR_OF)


@pytest.mark.parametrize("path", [path for path in FILES if path != SOURCE / "__init__.py"], ids=str)
def test_imports_point_down(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for other in {name.split(".")[0] for name in imported(path)} - {own}:
        assert FLOOR_OF[other] < FLOOR_OF[own], f"{own} must not import {other}"
        assert other not in UNAWARE.get(own, ()), f"{own} must not import {other}"


def test_no_files_import_each_other():
    """Raises CycleError, which names the circle."""
    graph = {module_of(path): imported(path) for path in FILES if path != SOURCE / "__init__.py"}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_product_needs_no_data_sets_no_renderer_and_no_torch():
    code = "import sys\nsys.modules['torch'] = None\nsys.modules['numba'] = None\n"
    code += "\n".join(f"import {name}" for name in PRODUCT)
    code += "\nimport twohands\ntwohands.load()\n"
    code += "names = {name.split('.')[1] for name in sys.modules if name.startswith('twohands.')}\n"
    code += "assert not names & {'data', 'synth', 'evaluation', 'networks', 'training', 'experiments'}, names\n"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
