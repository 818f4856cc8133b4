"""The text of the project speaks the field's language: docstrings have a subject or a verb, and old words stay away."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [path for name in ("src", "tools", "examples") for path in sorted((ROOT / name).rglob("*.py"))]
PAGES = [ROOT / "README.md", *(path for name in ("docs", "reports") for path in sorted((ROOT / name).rglob("*.md")))]
HEADLESS = re.compile(r"(Of|And|What|As|How|Where|When|Whether|Which|That|Those|The same)\b")
PRIVATE = re.compile(
    r"(?<!-)\b(rivals?|trunks?|roads?|phantoms?|predictions? on no hand|hands? that counts?)\b", re.IGNORECASE
)
"""Old words for baseline, frozen backbone, method, false positive, evaluated hand; options of the past are exempt."""


def docstrings(path: Path) -> list[str]:
    """Docstrings of a file, of its classes and functions, and the strings below its constants."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            strings = [s.value for s in node.body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)]
            found += [string.value for string in strings if isinstance(string.value, str)]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_have_a_head(path):
    assert not [text.splitlines()[0] for text in docstrings(path) if HEADLESS.match(text.lstrip())]


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_words_are_the_fields(path):
    assert not [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if PRIVATE.search(line)]
