"""Plant faults that any copy of a data set may have, into the frames of its reader or into its files."""

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from twohands.data.dataset import open_dataset
from twohands.data.inspection import Facts, inspect
from twohands.hands.skeleton import JOINT_ORDERS


def of_frames(change):
    return lambda sample: replace(sample, frame=change(sample.frame))


def of_joints(change):
    def changed(sample):
        moved = change(sample.hands.joints.astype(np.float64)).astype(np.float32)
        return replace(sample, hands=replace(sample.hands, joints=moved))

    return changed


def transposed(frame):
    matrix = frame.camera.K.copy()
    matrix[:2, 2] = matrix[1::-1, 2]
    return replace(frame, camera=replace(frame.camera, K=matrix))


ALWAYS = {
    "joint unit": of_joints(lambda joints: 1000 * joints),
    "camera axes": of_joints(lambda joints: joints * [1, -1, -1]),
    "joint order": of_joints(lambda joints: joints[:, np.argsort(JOINT_ORDERS["mano"])]),
    "sides": lambda sample: replace(sample, hands=sample.hands.map(lambda array: array[::-1].copy())),
}
WITH_DEPTH = {
    "depth unit": of_frames(lambda frame: replace(frame, depth=frame.depth * np.float32(10))),
    "mirror": of_frames(lambda frame: replace(frame, rgb=frame.rgb[..., ::-1], depth=frame.depth[:, ::-1])),
    "intrinsics": of_frames(transposed),
}


def check_faults(source, indices, unseen=()):
    """Assert that the check of a copy is silent on frames of a source, and names exactly each fault planted in them.

    `unseen`: faults that cannot be detected in these frames.
    """
    dataset = open_dataset(source)
    samples = [dataset[index] for index in indices]
    if "sides" not in unseen:
        samples *= 3  # enough hands to judge by
    facts = Facts(depth=bool(samples[0].frame.depth.any()))
    assert kinds_of(samples, facts) == []
    for kind, change in {**ALWAYS, **(WITH_DEPTH if facts.depth else {})}.items():
        assert kinds_of(list(map(change, samples)), facts) == ([] if kind in unseen else [kind])
    check_broken_files(source, indices[0], facts)


def kinds_of(dataset, facts):
    return [finding.kind for finding in inspect(dataset, range(len(dataset)), facts)[1]]


def check_broken_files(source, index, facts):
    """Assert that each image of a frame is named when it is truncated or missing."""
    name, _, folder = source.partition("=")
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        dataset = open_dataset(f"{name}={copy}")
        for path in images_of(dataset, index):
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            assert_named(dataset, index, facts, path, {"damaged file"})
            path.unlink()
            assert_named(dataset, index, facts, path, {"missing file", "stale list"})
            path.write_bytes(content)


def images_of(dataset, index):
    """Return the image files from which a frame is read; none for frames in archives."""
    with mock.patch.object(Image, "open", wraps=Image.open) as opened:
        dataset[index]
    return [Path(call.args[0]) for call in opened.call_args_list if isinstance(call.args[0], str | Path)]


def assert_named(dataset, index, facts, path, kinds):
    (finding,) = inspect(dataset, [index], facts)[1]
    assert finding.kind in kinds
    assert path.name in finding.text


@contextmanager
def damaged(path, fault, other):
    """Make a file missing, truncated, or filled with the bytes `other` ("other content"), and restore it afterwards."""
    content = path.read_bytes()
    path.unlink()
    if fault == "truncated":
        path.write_bytes(content[: len(content) // 3])
    elif fault == "other content":
        path.write_bytes(other)
    yield
    path.write_bytes(content)
