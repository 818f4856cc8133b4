"""HOI4D: a miniature copy in its layout is read back as it was written."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from contract import check_contract
from scenes import CAMERA, assert_hands_of, scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import ContradictionError, DamagedFileError
from twohands.data.readers.hoi4d import HOI4D, read_values
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", tips="mano")
MUG, BUCKET, CHAIR = (
    "ZY20210800001/H1/C2/N01/S52/s04/T1",
    "ZY20210800002/H2/C8/N08/S71/s04/T2",
    "ZY20210800002/H2/C20/N18/S273/s05/T2",
)
VALIDATION, TEST = "ZY20210800003/H3/C2/N09/S215/s03/T5", "ZY20210800003/H3/C2/N40/S215/s03/T5"
COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 6: (0, 128, 128)}
"""The palette that the data set's own program computes."""


def write_frame(root, sequence, number, world, split_archives=True):
    """Write one frame in HOI4D's layout with extracted videos, and the images of frame 0; no segmentation."""
    folder = root / ("HOI4D_release" if split_archives else "") / sequence
    for name in ("align_rgb", "align_depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    depth = np.round(world.depth * 1000).astype(np.uint16)
    for one in (0, number):
        Image.fromarray(world.rgb).save(folder / "align_rgb" / f"{one:05d}.jpg", quality=95, subsampling=0)
        Image.fromarray(depth).save(folder / "align_depth" / f"{one:05d}.png")
    for side, name in ((LEFT, "left"), (RIGHT, "right")):
        if world.present[side]:
            values = world.values[side]
            content = {
                "poseCoeff": np.concatenate([values.orientation, values.pose]),
                "beta": values.shape,
                "trans": values.translation,
                "kps2D": np.zeros((21, 2)),
            }
            poses = root / "handpose" / f"refinehandpose_{name}" / sequence
            poses.mkdir(parents=True, exist_ok=True)
            (poses / f"{number}.pickle").write_bytes(pickle.dumps(content, protocol=2))
    camera = root / "camera_params" / sequence.split("/")[0]
    camera.mkdir(parents=True, exist_ok=True)
    np.save(camera / "intrin.npy", world.camera.K.astype(np.float64))


def write_segmentation(root, sequence, number, classes, folder="mask"):
    path = root / "HOI4D_annotations" / sequence / "2Dseg" / folder / f"{number:05d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((*classes.shape, 3), dtype=np.uint8)
    for number_of_class, colour in COLOURS.items():
        rgb[classes == number_of_class] = colour
    Image.fromarray(rgb).save(path)


@pytest.fixture(scope="module")
def worlds(mano):
    there = ((False, True), (True, True), (True, False))
    return [scene(mano, seed, CONVENTION, present) for seed, present in enumerate(there)]


@pytest.fixture(scope="module")
def copy(worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("hoi4d")
    for sequence, seed, number in ((MUG, 0, 3), (MUG, 1, 12), (CHAIR, 2, 0), (VALIDATION, 0, 7), (TEST, 0, 299)):
        write_frame(root, sequence, number, worlds[seed])
    return root


def test_what_was_written_is_read(copy, worlds):
    dataset = HOI4D(copy)
    assert [dataset[i].id for i in range(len(dataset))] == [f"{MUG}/00003", f"{MUG}/00012", f"{CHAIR}/00000"]
    for index, world in enumerate(worlds):
        sample = dataset[index]
        assert sample.hands.present.tolist() == list(map(float, world.present))
        assert sample.presence_known.tolist() == list(world.present)
        assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 4  # JPEG
        np.testing.assert_allclose(sample.frame.depth, world.depth, atol=5.1e-4)
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        assert_hands_of(sample, world)
        assert not sample.masks[~np.array(world.present)].any()
        assert sample.joint_definition == "mano"
    assert Sample.stack([dataset[0], dataset[2]]).hands.vertices.shape == (2, 2, 778, 3)
    assert TrainingSet(dataset, 96, PRESETS["tiny"].augment, seed=0)[0, 1].sample.masks.any()


def test_values_are_about_the_flat_hand_on_the_raw_left_basis(copy, worlds, mano):
    hands, values = HOI4D(copy)[1].hands, worlds[1].values
    for basis, low, high in (("raw", 0, 1e-5), ("flip_x", 1e-3, 1)):
        placed = place(mano, LEFT, values[LEFT], Convention(flat_hand_mean=True, left_shape=basis)).vertices
        assert low <= np.abs(hands.vertices[LEFT] - placed).max() < high
    placed = place(mano, RIGHT, values[RIGHT], Convention(flat_hand_mean=True))
    np.testing.assert_allclose(hands.joints[RIGHT], placed.joints, atol=1e-6)


def test_objects_are_held_out_whole(copy):
    assert [HOI4D(copy, split).frames for split in ("validation", "test")] == [[(VALIDATION, 7)], [(TEST, 299)]]
    assert not {sequence for sequence, _ in HOI4D(copy).frames} & {VALIDATION, TEST}
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        HOI4D(copy, "val")


@pytest.mark.parametrize(("sequence", "left"), [(BUCKET, 6), (CHAIR, 3), (MUG, None)])
@pytest.mark.parametrize("folder", ["mask", "shift_mask"])
def test_a_segmentation_hides_what_it_does_not_call_a_hand(worlds, tmp_path, sequence, left, folder):
    world = worlds[1]
    write_frame(tmp_path, sequence, 0, world)
    whole = HOI4D(tmp_path)[0]
    classes = np.zeros(world.depth.shape, dtype=int)
    rows = np.nonzero(world.masks[RIGHT])[0]
    classes[world.masks[RIGHT]] = 2
    classes[-20:, 160:] = 2  # the forearm
    hidden = np.zeros_like(world.masks[RIGHT])
    hidden[: int(np.median(rows))] = True
    classes[hidden & world.masks[RIGHT]] = 1  # an object in front of the upper half
    classes[world.masks[LEFT]] = left or 3
    write_segmentation(tmp_path, sequence, 0, classes, folder)
    sample = HOI4D(tmp_path)[0]
    np.testing.assert_array_equal(sample.masks[RIGHT], whole.masks[RIGHT] & (classes == 2))
    assert 0.3 < sample.visible_fraction[RIGHT] < 0.7 < 0.95 < whole.visible_fraction[RIGHT]
    assert (sample.masks[LEFT] == world.masks[LEFT]).mean() > 0.999
    assert sample.visible_fraction[LEFT] > 0.95
    assert not (sample.masks & ~whole.masks).any()


def test_names_and_places_that_copies_have(worlds, tmp_path):
    write_frame(tmp_path / "HOI4D", MUG, 4, worlds[1], split_archives=False)
    poses = tmp_path / "HOI4D" / "handpose" / "refinehandpose_left" / MUG
    (poses / "4.pickle").rename(poses / "00004.pickle")
    sample = HOI4D(tmp_path)[0]
    assert sample.id == f"{MUG}/00004"
    np.testing.assert_allclose(sample.hands.joints, worlds[1].joints, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no sequence of split 'test'"):
        HOI4D(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="unpack the hand poses of HOI4D"):
        HOI4D(poses)


def test_videos_must_be_extracted(worlds, tmp_path):
    write_frame(tmp_path, MUG, 0, worlds[0])
    write_frame(tmp_path, BUCKET, 0, worlds[0])
    for sequence in (MUG, BUCKET):
        folder = tmp_path / "HOI4D_release" / sequence / "align_rgb"
        (folder / "image.mp4").write_bytes(b"video")
        (folder / "00000.jpg").rename(folder / "00000.jpg.kept")
    with pytest.raises(FileNotFoundError, match=r"still videos; .*ffmpeg -i .*image.mp4.*fps=15.*depth_video.avi"):
        HOI4D(tmp_path)
    folder = tmp_path / "HOI4D_release" / BUCKET / "align_rgb"
    (folder / "00000.jpg.kept").rename(folder / "00000.jpg")
    assert HOI4D(tmp_path).frames == [(BUCKET, 0)]


@pytest.mark.parametrize("kind", ["align_rgb", "align_depth"])
def test_images_that_are_counted_from_1_are_refused(worlds, tmp_path, kind):
    write_frame(tmp_path, MUG, 1, worlds[0])
    next((tmp_path / "HOI4D_release" / MUG / kind).glob("00000.*")).unlink()
    with pytest.raises(ContradictionError, match=r"numbered from 1, .*ffmpeg -i .*image.mp4.*depth_video.avi"):
        HOI4D(tmp_path)[0]


def test_without_the_hand_model_there_is_nothing_to_read(copy, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"HOI4D has no 3D joints.*TWOHANDS_MANO"):
        HOI4D(copy)


@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_damaged_file_is_named(worlds, tmp_path, fault):
    write_frame(tmp_path, MUG, 3, worlds[0])
    write_segmentation(tmp_path, MUG, 3, np.zeros(worlds[0].depth.shape, dtype=int))
    dataset = HOI4D(tmp_path)
    folder = tmp_path / "HOI4D_release" / MUG
    paths = [
        folder / "align_rgb" / "00003.jpg",
        folder / "align_depth" / "00003.png",
        tmp_path / "camera_params" / "ZY20210800001" / "intrin.npy",
    ]
    labels = tmp_path / "handpose" / "refinehandpose_right" / MUG / "3.pickle"
    segmentation = tmp_path / "HOI4D_annotations" / MUG / "2Dseg" / "mask" / "00003.png"
    for path in paths if fault == "missing" else [*paths, labels, segmentation]:
        content = path.read_bytes()
        path.unlink()
        if fault == "truncated":
            path.write_bytes(content[: len(content) // 2])
        with pytest.raises(DamagedFileError, match=path.name):
            dataset[0]
        path.write_bytes(content)
    assert dataset[0].hands.present[RIGHT] == 1


def test_images_of_another_size_are_refused(worlds, tmp_path):
    write_frame(tmp_path, MUG, 0, worlds[0])
    write_segmentation(tmp_path, MUG, 0, np.zeros((90, 160), dtype=int))
    with pytest.raises(ContradictionError, match="its segmentation 160x90"):
        HOI4D(tmp_path)[0]
    shutil.rmtree(tmp_path / "HOI4D_annotations")
    assert len(HOI4D(tmp_path)) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1, 2], "no numbers poseCoeff"),
        ({"poseCoeff": np.zeros(48), "beta": np.zeros(10)}, "no numbers trans"),
        ({"poseCoeff": np.zeros(45), "beta": np.zeros(10), "trans": np.zeros(3)}, "45 numbers, expected 48"),
        ({"poseCoeff": np.zeros(48), "beta": np.zeros(10), "trans": np.full(3, np.nan)}, "all finite"),
        (print, "it was not executed"),
    ],
)
def test_labels_that_are_something_else_are_damaged_files(tmp_path, content, fault):
    path = tmp_path / "0.pickle"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DamagedFileError, match=rf"0\.pickle.*{fault}"):
        read_values(path)


def test_it_keeps_the_contract(copy):
    check_contract(f"hoi4d={copy}", range(3))
