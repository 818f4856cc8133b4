"""Cameras that are connected: by stand-ins of their SDKs, and by the RealSense SDK's playback."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import cameras
import recordings
from cameras import FOCAL, HEIGHT, WIDTH, Script
from fakes import fake_predictor
from recordings import colour_image, depth_image
from twohands import cli, open_source
from twohands.results import read_results
from twohands.sources import live
from twohands.sources.folder import FolderRecording
from twohands.sources.live import LiveFrames
from twohands.sources.live_realsense import RealSenseCamera
from twohands.sources.options import SourceOptions

KINDS = {"realsense": ("pyrealsense2", cameras.realsense), "orbbec": ("pyorbbecsdk", cameras.orbbec)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(live, "WAIT", 1)
    monkeypatch.setattr(live, "PATIENCE", 0.05)


@pytest.fixture
def plug(monkeypatch, tmp_path):
    """Return a function that connects a camera of a kind with a script."""
    monkeypatch.chdir(tmp_path)

    def plugged(kind, script, **more):
        module, make = KINDS[kind]
        sdk = make(script, **more)
        monkeypatch.setitem(sys.modules, module, sdk)
        return sdk

    return plugged


def check(entries, numbers, unit=0.0001):
    assert len(entries) == len(numbers)
    for place, (number, (name, seconds, frame)) in enumerate(zip(numbers, entries, strict=True)):
        assert np.array_equal(frame.rgb_uint8(), colour_image(number))
        np.testing.assert_allclose(frame.depth, depth_image(number) * np.float32(unit), rtol=1e-6)
        assert np.array_equal(frame.camera.K, np.array([[FOCAL, 0, 33.25], [0, 62.25, 22.75], [0, 0, 1]], np.float32))
        assert seconds == pytest.approx(1 + 0.0335 * number, abs=1e-9)
        assert name == f"{place:06d}_{round(seconds * 1e9):019d}"
        assert frame.depth_unit == pytest.approx(unit)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [0.0001, 0.001])
def test_frames_have_memory_of_their_own(plug, kind, unit, caplog):
    """The frames are opened after the SDK has used its memory again."""
    script = Script([0, "wait", 1, "no depth", "error", "old depth", 2, 3, "unplug"], unit=unit)
    plug(kind, script)
    source = open_source(kind)
    assert ("D405 0042" if kind == "realsense" else "Gemini 336 CP0042") in source.about
    assert "live, colour 64x48, depth aligned to colour; Ctrl-C ends it" in source.about
    shots = list(source)
    entries = [(entry.name, entry.seconds, entry.open()) for entry in shots]
    check(entries, range(4), unit)
    assert "was unplugged; the 4 frames until then are kept" in caplog.text
    assert script.stopped
    assert list(source) == []  # it is not begun again


@pytest.mark.parametrize("kind", KINDS)
def test_they_end_after_some_seconds(plug, kind):
    script = Script(range(20))
    plug(kind, script)
    source = open_source(kind, SourceOptions(seconds=0.1))
    assert next(iter(source)).name.startswith("000000_")  # a look at the first frame
    assert len(list(source)) == 3
    assert script.stopped
    with pytest.raises(ValueError, match="--seconds must be more than 0; got 0"):
        open_source(kind, SourceOptions(seconds=0))
    with pytest.raises(ValueError, match="takes no --depth-unit"):
        open_source(kind, SourceOptions(depth_unit=0.001))


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_camera_is_given_up(plug, kind, caplog):
    plug(kind, Script([0, 1]))
    assert len(list(open_source(kind))) == 2
    assert "has sent no images for 0 s; the 2 frames until then are kept" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_the_recording(plug, kind, monkeypatch):
    """The first one lets the frame that is worked on be finished; the second one is as ever."""
    plug(kind, Script(range(9)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background of a shell ignore it
    before = signal.getsignal(signal.SIGINT)
    frames = 0
    for _ in open_source(kind):
        frames += 1
        if frames == 3:
            os.kill(os.getpid(), signal.SIGINT)
    assert frames == 3
    assert signal.getsignal(signal.SIGINT) is before
    plug(kind, Script(range(9)))
    frames = iter(open_source(kind))
    next(frames)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("kind", KINDS)
def test_no_camera(plug, kind, monkeypatch):
    plug(kind, script := Script([]))
    script.connected = False
    with pytest.raises(ValueError, match=r"no .* camera can be started \(No device .*\); connect one"):
        open_source(kind)
    monkeypatch.setitem(sys.modules, KINDS[kind][0], None)
    with pytest.raises(ValueError, match=rf"pip install 'twohands\[{kind}\]'"):
        open_source(kind)


def test_sizes_that_a_realsense_lacks(plug):
    """The SDK chooses the sizes, where the usual ones are not possible."""
    plug("realsense", Script([0, "unplug"], focal=70.0))
    ((_, _, frame),) = [(entry.name, entry.seconds, entry.open()) for entry in open_source("realsense")]
    assert frame.camera.K[0, 0] == 70


@pytest.mark.parametrize("kind", KINDS)
def test_the_lens_of_the_colour_stream_is_undone(plug, kind):
    plug(kind, Script([0, "unplug"], lens=(-0.1, 0.05, 0, 0, 0.01, 0, 0, 0)))
    (entry,) = list(open_source(kind))
    assert [finding.code for finding in entry.open().findings] == ["undistorted"]


@pytest.mark.parametrize("form", ["BGR", "MJPG"])
def test_colour_formats_of_orbbec(plug, form, monkeypatch):
    sdk = plug("orbbec", Script([0, "unplug"]), form=form)
    smooth = np.broadcast_to(np.arange(0, 192, 3, dtype=np.uint8)[None, :, None], (HEIGHT, WIDTH, 3))
    if form == "MJPG":
        content = np.frombuffer(recordings.coded(np.ascontiguousarray(smooth), "JPEG"), np.uint8)
        monkeypatch.setattr(sdk.ColorFrame, "get_data", lambda self: content)
        monkeypatch.setattr(sdk.DepthFrame, "get_data", lambda self: self.content, raising=False)
    (entry,) = list(open_source("orbbec"))
    expected = smooth if form == "MJPG" else colour_image(0)
    assert np.abs(entry.open().rgb_uint8().astype(int) - expected).max() <= (3 if form == "MJPG" else 0)


def test_unusable_colour_and_calibration_of_orbbec(plug):
    sdk = plug("orbbec", Script([0, "unplug"]))
    list(open_source("orbbec"))
    assert set(sdk.Device.switched.values()) == {False}  # filters
    assert len(sdk.Device.switched) == 3  # of those that the camera has
    plug("orbbec", Script([0, "unplug"]), form="YUYV")
    with pytest.raises(ValueError, match="sends colour as YUYV, which is not read"):
        list(open_source("orbbec"))
    plug("orbbec", Script([0, "unplug"]), mode_has_intrinsics=False)
    assert next(iter(open_source("orbbec"))).open().camera.K[0, 0] == FOCAL  # of the camera's parameters
    plug("orbbec", Script([0, "unplug"], focal=0.0))
    with pytest.raises(ValueError, match="the camera is not calibrated"):
        open_source("orbbec")


def test_a_recording_may_have_a_cameras_name(plug, tmp_path):
    plug("realsense", Script([0, "unplug"]))
    assert cli.main(["convert", "realsense", "realsense"]) == 0
    assert len(FolderRecording("realsense")) == 1
    assert "folder of 1 images" in open_source("realsense").about
    plug("realsense", Script([0, 1, "unplug"]))
    assert "D405" in open_source("realsense", SourceOptions(source="realsense")).about


@pytest.mark.parametrize("kind", KINDS)
def test_run_and_convert(plug, kind, monkeypatch, capsys, caplog):
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: fake_predictor())
    plug(kind, Script([0, 1, 2, "unplug"], unit=0.001))
    assert cli.main(["convert", kind, "recording", "--seconds", "5"]) == 0
    printed = capsys.readouterr()
    assert "for 5 s, or until Ctrl-C" in printed.out
    assert "3 frames; wrote recording" in printed.out
    assert "was unplugged; the 3 frames" in caplog.text
    folder = FolderRecording("recording")
    for number, frame_id in enumerate(folder.ids):
        frame = folder.open(frame_id)
        assert np.array_equal(frame.rgb_uint8(), colour_image(number))
        np.testing.assert_allclose(frame.depth, depth_image(number) * np.float32(0.001), rtol=1e-6)
        assert folder.seconds[frame_id] == pytest.approx(1 + 0.0335 * number)
    plug(kind, Script([0, 1, 2, "unplug"], unit=0.001))
    assert cli.main(["convert", kind, "recording"]) == 2
    assert "recording is not empty, and a camera recording cannot be resumed" in capsys.readouterr().err
    assert cli.main(["convert", kind, "a.mcap"]) == 0
    assert len(list(open_source("a.mcap"))) == 3
    for option in ("--overlays", "--glb"):
        assert cli.main(["run", kind, "--out", "hands", option]) == 2
        assert f"{option} is not possible with a camera" in capsys.readouterr().err
    assert cli.main(["doctor", kind]) == 2
    assert "record them first with: twohands convert" in capsys.readouterr().err


def test_run_follows_a_camera(plug, monkeypatch, capsys):
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: fake_predictor())
    plug("realsense", Script([0, 1, 2, 3, "unplug"], unit=0.001))
    assert cli.main(["run", "realsense", "--out", "hands", "--no-tracking"]) == 0
    assert "live, colour 64x48" in capsys.readouterr().out
    arrays = read_results("hands")
    np.testing.assert_allclose(arrays["seconds"], 1 + 0.0335 * np.arange(4), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stand_ins_have_what_the_sdks_have(kind):
    module, make = KINDS[kind]
    try:
        sdk = importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"the SDK cannot be used: {error}")
    seen = 0
    for name, stand_in in vars(make(Script([]))).items():
        members = vars(stand_in)
        for member in (member for member in members if not member.startswith("_") and member != "switched"):
            found = getattr(sdk, name)
            if (kind, name, member) in (("realsense", "config", "wanted"), ("realsense", "video_frame", "get_units")):
                found = sdk.depth_frame  # the stand-in has one class for colour and depth
            assert hasattr(found, member), f"{name}.{member}"
            seen += 1
    assert seen > 20


def test_playback_of_the_realsense_sdk(tmp_path):
    """Frames of the SDK's own objects, from a recording that its software device made."""
    path = tmp_path / "a.db3"
    try:
        recordings.realsense(path, np.eye(4), count=8)
        import pyrealsense2 as rs
    except ImportError as error:
        pytest.skip(f"the RealSense SDK cannot be used: {error}")
    config = rs.config()
    config.enable_device_from_file(str(path), repeat_playback=False)
    camera = RealSenseCamera(config)
    assert camera.intrinsics.size == (96, 64)
    np.testing.assert_array_equal(camera.intrinsics.matrix, np.array([[80, 0, 45], [0, 80, 34], [0, 0, 1]]))
    entries = [(entry.seconds, entry.open()) for entry in LiveFrames(camera)]
    assert len({seconds for seconds, _ in entries}) == len(entries) > 2
    for seconds, frame in entries:
        number = round((seconds - 1.002) / 0.0333)
        assert np.array_equal(frame.rgb_uint8(), colour_image(number, 96, 64))
        assert frame.depth.shape == (64, 96)
        expected = depth_image(number) * 0.0001
        assert (frame.depth > 0).mean() > 0.3
        assert np.isin(np.rint(frame.depth / 0.0001), np.rint(expected / 0.0001)).all()
        assert frame.depth_unit == pytest.approx(0.0001)


def test_a_missing_library_of_the_system_is_named(monkeypatch):
    def cannot(name):
        raise ImportError("libusb-1.0.so.0: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("twohands.sources.common.importlib", SimpleNamespace(import_module=cannot))
    with pytest.raises(ValueError, match="install it with: sudo apt install libusb"):
        open_source("realsense")
