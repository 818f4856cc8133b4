"""What the README and the examples show, runs."""

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twohands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path):
    output = subprocess.run([sys.executable, path], check=True, capture_output=True, text=True).stdout
    assert output.strip()
    assert "not found" not in output


def test_python_of_the_readme_runs():
    demo = files("twohands") / "cli" / "demo_frame"
    names = {
        "rgb": np.asarray(Image.open(str(demo / "color.jpg"))),
        "depth": np.asarray(Image.open(str(demo / "depth.png"))),
        "K": np.loadtxt(str(demo / "cam_K.txt")),
    }
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, names)
    hands = names["hands"]
    assert (hands.present >= 0.5).all()
    assert (hands.quality.depth_residual < 0.005).all()


def test_commands_of_the_readme_exist():
    shown = set(re.findall(r"^twohands (\w+)", README, re.MULTILINE)) | set(re.findall(r"`twohands (\w+)", README))
    text = subprocess.run([Path(sys.executable).parent / "twohands", "--help"], capture_output=True, text=True).stdout
    assert shown
    assert shown <= set(re.findall(r"^\W*• (\w+) ", text, re.MULTILINE))


def test_files_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_version_is_in_the_changelog():
    assert twohands.__version__.split(".dev")[0] in (ROOT / "CHANGELOG.md").read_text()
