"""The check of a copy: silent on a clean miniature of H2O, and each planted fault is named."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scenes import scene
from test_reader_h2o import write_frame
from twohands.data.inspection import FACTS, Facts, check_count, check_hands, inspect, spread_over
from twohands.data.readers.h2o import CONVENTION, H2O
from twohands.hands.mano_files import read_mano
from twohands.hands.skeleton import JOINT_ORDERS

SIDES = ((True, True), (False, True), (True, False))
PATTERN = (0, 1, 1, 2, 2, 1, 2, 0)  # of SIDES: no two neighbouring images have the same hands
FOLDER = "subject1/h1/0/cam4"
SIZE = Facts(((320, 180),), {"train": (8,)})


@pytest.fixture(scope="module")
def worlds(mano_folder):
    mano = read_mano(mano_folder)
    return [scene(mano, seed, CONVENTION, SIDES[kind]) for seed, kind in enumerate(PATTERN)]


def findings(root, worlds, change=lambda folder: None, facts=SIZE):
    """Return the findings in a copy of the worlds after a change of its files."""
    folder = root / FOLDER
    for index, world in enumerate(worlds):
        write_frame(folder, index, world)
    (root / "label_split").mkdir()
    lines = [f"{FOLDER}/rgb/{index:06d}.png" for index in range(len(worlds))]
    (root / "label_split" / "pose_train.txt").write_text("\n".join(lines) + "\n")
    change(folder)
    dataset = H2O(root, "train")
    return inspect(dataset, range(len(dataset)), facts)[1]


def the_only(found, kind):
    assert [finding.kind for finding in found] == [kind]
    return found[0].text


def rewrite_depth(change):
    def of(folder):
        for path in (folder / "depth").glob("*.png"):
            Image.fromarray(change(np.array(Image.open(path)).astype(np.uint16))).save(path)

    return of


def rewrite_joints(change):
    """Return a change of files that applies `change` to the joints (2, 21, 3) of every frame."""

    def of(folder):
        for path in (folder / "hand_pose").glob("*.txt"):
            numbers = np.array(path.read_text().split(), dtype=np.float64).reshape(2, 64)
            numbers[:, 1:] = change(numbers[:, 1:].reshape(2, 21, 3)).reshape(2, 63)
            path.write_text(" ".join(map(repr, numbers.ravel().tolist())))

    return of


def test_a_clean_copy_has_no_findings(tmp_path, worlds):
    assert findings(tmp_path, worlds) == ()


@pytest.mark.parametrize(("steps", "factor"), [(10, "10"), (4, "4"), (0.1, "0.1"), (0.25, "0.25")])
def test_depth_in_another_unit(tmp_path, worlds, steps, factor):
    change = rewrite_depth(lambda depth: np.round(depth * steps).astype(np.uint16))
    text = the_only(findings(tmp_path, worlds, change), "depth unit")
    assert f"is {factor} times what the joints say" in text
    assert f"divide theirs by {factor} " in text


def test_depth_in_metres_as_if_it_were_millimetres(tmp_path, worlds):
    """16-bit files cannot store this factor: it is planted in the frames."""
    findings(tmp_path, worlds)
    dataset = H2O(tmp_path, "train")

    def of(sample):
        return replace(sample, frame=replace(sample.frame, depth=sample.frame.depth * np.float32(1000)))

    (finding,) = check_hands({index: of(dataset[index]) for index in range(4)}, dataset)
    assert "is 1000 times what the joints say" in finding.text


def test_joints_in_millimetres(tmp_path, worlds):
    text = the_only(findings(tmp_path, worlds, rewrite_joints(lambda joints: 1000 * joints)), "joint unit")
    assert "divide them by 1000" in text


def test_principal_point_exchanged(tmp_path, worlds):
    def change(folder):
        fx, fy, cx, cy, width, height = (folder / "cam_intrinsics.txt").read_text().split()
        (folder / "cam_intrinsics.txt").write_text(" ".join((fx, fy, cy, cx, width, height)))

    assert "cx and cy are exchanged" in the_only(findings(tmp_path, worlds, change), "intrinsics")


@pytest.mark.parametrize(("signs", "said"), [((1, -1, -1), "OpenGL's axes"), ((1, -1, 1), "upside down")])
def test_axes_left_unflipped(tmp_path, worlds, signs, said):
    change = rewrite_joints(lambda joints: joints * signs)
    assert said in the_only(findings(tmp_path, worlds, change), "camera axes")


def test_mirrored_images(tmp_path, worlds):
    def change(folder):
        for path in (*(folder / "rgb").iterdir(), *(folder / "depth").iterdir()):
            Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)

    assert "were mirrored" in the_only(findings(tmp_path, worlds, change), "mirror")


def test_swapped_hands(tmp_path, worlds):
    def change(folder):
        for name in ("hand_pose", "hand_pose_mano"):
            for path in (folder / name).glob("*.txt"):
                numbers = path.read_text().split()
                half = len(numbers) // 2
                path.write_text(" ".join(numbers[half:] + numbers[:half]))

    assert "left and right are swapped" in the_only(findings(tmp_path, worlds, change), "sides")


@pytest.mark.parametrize("name", JOINT_ORDERS)
def test_joints_in_another_order(tmp_path, worlds, name):
    change = rewrite_joints(lambda joints: joints[:, np.argsort(JOINT_ORDERS[name])])
    assert name in the_only(findings(tmp_path, worlds, change), "joint order")


@pytest.mark.parametrize("shift", [1, -1, 2])
def test_shifted_frame_numbers(tmp_path, worlds, shift):
    def change(folder):
        for name in ("rgb", "depth"):
            contents = [path.read_bytes() for path in sorted((folder / name).iterdir())]
            for index, content in enumerate(contents):
                (folder / name / f"{(index + shift) % len(contents):06d}.png").write_bytes(content)

    text = the_only(findings(tmp_path, worlds, change), "frame numbers")
    assert f"{abs(shift)} frames {'later' if shift > 0 else 'earlier'}" in text


def test_labels_of_something_else(tmp_path, worlds):
    found = findings(tmp_path, worlds, rewrite_joints(lambda joints: joints + [0.0, 0.0, 0.2]))
    assert "only 0% of the joints" in the_only(found, "place")


def test_meshes_of_other_hands(tmp_path, worlds):
    def change(folder):
        for path in (folder / "hand_pose_mano").glob("*.txt"):
            numbers = np.array(path.read_text().split(), dtype=np.float64).reshape(2, 62)
            numbers[:, 1] += 0.1
            path.write_text(" ".join(map(repr, numbers.ravel().tolist())))

    assert "nearest vertex of their mesh" in the_only(findings(tmp_path, worlds, change), "meshes")


@pytest.mark.parametrize("name", ["rgb/000002.png", "depth/000003.png"])
def test_a_truncated_image(tmp_path, worlds, name):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:400])

    text = the_only(findings(tmp_path, worlds, change), "damaged file")
    assert text.startswith("1 of 8 frames")
    assert name in text


def test_a_file_that_is_missing(tmp_path, worlds):
    text = the_only(findings(tmp_path, worlds, lambda folder: (folder / "depth/000003.png").unlink()), "missing file")
    assert "depth/000003.png" in text


def test_a_stale_list(tmp_path, worlds):
    def change(folder):
        for index in (3, 5):
            for path in folder.glob(f"*/{index:06d}.*"):
                path.unlink()

    text = the_only(findings(tmp_path, worlds, change), "stale list")
    assert text.startswith("2 of 8 frames")
    assert "000003" in text


def test_images_that_do_not_go_with_their_intrinsics(tmp_path, worlds):
    def change(folder):
        path = folder / "rgb" / "000001.png"
        Image.open(path).resize((160, 90)).save(path)

    assert "160x90" in the_only(findings(tmp_path, worlds, change), "contradiction")


def test_sizes_and_counts_that_are_not_the_official_ones(tmp_path, worlds):
    findings(tmp_path, worlds)
    dataset = H2O(tmp_path, "train")
    kinds = {finding.kind: finding.text for finding in inspect(dataset, [0, 4], FACTS["h2o"])[1]}
    assert set(kinds) == {"count", "image size"}
    assert "8 frames here, officially 55,742" in kinds["count"]
    assert "320x180" in kinds["image size"]
    assert inspect(dataset, [0, 4])[1] == ()
    assert check_count(11_524, FACTS["ho3d"], "test") == check_count(5, FACTS["ho3d"], "train") == []


def test_frames_are_spread():
    assert spread_over(100, 4) == [0, 25, 50, 75]
    assert spread_over(3, 24) == [0, 1, 2]


def test_colour_alone(tmp_path, worlds):
    """Without depth the check is silent on a clean copy, and still finds hands behind the camera."""
    nothing = rewrite_depth(np.zeros_like)
    assert "8 of 8 frames have no depth reading" in the_only(findings(tmp_path / "empty", worlds, nothing), "no depth")
    colour = replace(SIZE, depth=False)
    assert findings(tmp_path / "clean", worlds, nothing, colour) == ()

    def change(folder):
        nothing(folder)
        rewrite_joints(lambda joints: joints * [1, -1, -1])(folder)

    assert "OpenGL's axes" in the_only(findings(tmp_path / "turned", worlds, change, colour), "camera axes")
