"""The README, the pages and the examples: what they show runs, and the files, options and names they mention exist."""

import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from importlib.resources import files
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import twohands
from twohands import cli
from twohands.runtime import SHIPPED
from twohands.shards import write_shards
from twohands.synth.engine import SyntheticHands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *(ROOT / f"{name}.md" for name in ("CONVENTIONS", "CONTRIBUTING", "CHANGELOG"))]
TEXTS += sorted((ROOT / "reports").glob("*.md"))
DEMO = files("twohands") / "demo"
PROGRAM = Path(sys.executable).parent / "twohands"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of every command line of the package in the bash blocks of a page."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    starts = [[*line, "twohands"].index("twohands") for line in words]
    return [line[start + 1 :] for line, start in zip(words, starts, strict=True) if line[start + 1 :]]


@cache
def help_of(*command: str) -> str:
    """What the command line prints as help."""
    with redirect_stdout(io.StringIO()) as said:
        assert cli.main([*command, "--help"]) == 0
    return said.getvalue()


def name_of(page: Path) -> str:
    """The path of a page in the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path, capsys, monkeypatch):
    """In this process; what they register is gone afterwards."""
    monkeypatch.setattr(sys, "argv", [str(path)])
    with mock.patch.dict("twohands.networks.RGB_ENCODERS"), mock.patch.dict("twohands.networks.FUSIONS"):
        runpy.run_path(str(path), run_name="__main__")
    output = capsys.readouterr().out
    assert output.strip()
    assert "not found" not in output


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files that the pages name: a network, results of `predict`, and test frames."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "runs" / "mine").mkdir(parents=True)
    (folder / "runs" / "mine" / "final").symlink_to(SHIPPED)
    inputs = {f"--{kind}": DEMO / name for kind, name in (("rgb", "color.jpg"), ("depth", "depth.png"))}
    inputs |= {"--intrinsics": DEMO / "cam_K.txt", "--out": folder / "out" / "mine"}
    subprocess.run([PROGRAM, "predict", *(str(word) for pair in inputs.items() for word in pair)], check=True)
    rendered = SyntheticHands(seed=1)
    write_shards(rendered, 2, folder / "data" / "test", rendered.content)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_of_the_pages_runs(made, page, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {
        "rgb": np.asarray(Image.open(str(DEMO / "color.jpg"))),
        "depth": np.asarray(Image.open(str(DEMO / "depth.png"))),
        "K": np.loadtxt(str(DEMO / "cam_K.txt")),
    }
    for block in blocks(page, "python"):
        exec(block, names)
    if "hands" in names:
        assert (names["hands"].present >= 0.5).all()
        assert (names["hands"].quality.depth_residual < 0.005).all()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_commands_of_the_pages_exist(page):
    """Commands are those of the help, and so are their options; `train` has some for each preset."""
    known = set(re.findall(r"^\W*• ([\w-]+) ", help_of(), re.MULTILINE))
    assert set(re.findall(r"`twohands ([a-z]\S*?)[`\s]", page.read_text())) <= known
    for command, *words in commands(page):
        assert command in known
        shown = help_of(command, words[0]) if command == "train" else help_of(command)
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), f"{command} {option}"


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_links_of_the_pages_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], target


def test_the_overview_of_the_method_names_what_there_is():
    text = (ROOT / "docs" / "method.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", text, re.MULTILINE)
    assert len(rows) > 20
    for path, name in rows:
        source = (ROOT / "src" / "twohands" / path).read_text()
        assert re.search(rf"^(class|def) {name}\b|^{name}\b.* = ", source, re.MULTILINE), f"{path}: {name}"


def test_version_is_in_the_changelog():
    assert twohands.__version__.split(".dev")[0] in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_the_version():
    version = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version is not None
    assert version[1] == twohands.__version__.split(".dev")[0]
