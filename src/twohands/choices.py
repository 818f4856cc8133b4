"""The names that users choose from, each list in one place. Nothing is imported, so that `--help` is fast."""

from typing import Literal

Method = Literal["light", "landmarks", "pdfnet"]
"""Starts of the fit: the region network on colour, depth and landmarks; image landmarks alone; or a network of the
PDFNet family on colour and depth.
"""
DEFAULT_METHOD: Method = "light"
"""The best one on real frames, see `tools/measure_real_frames.py`."""
Person = Literal["nearest", "largest", "left", "right"]
"""Person whose hands are given where several are seen: nearest to the camera, with the largest hands in the image, or
furthest left or right in it.
"""
HandModelName = Literal["free", "mano"]
"""Hand models: the shipped CC0 hand, or MANO for users who have its files."""
Executor = Literal["local", "ray"]
"""Executors of the work on many recordings: processes of this machine, or the actors of a Ray cluster."""
PresetName = Literal["paper", "paper-small", "tiny"]
"""Keys of `config.PRESETS`."""
MaskMode = Literal["ground_truth", "own", "ground_truth_centers"]
"""Inputs of a network in an evaluation: true masks; nothing; true masks and centres."""
FrozenSplit = Literal["test", "validation", "test_shifted", "basic_test"]
"""Sets of synthetic frames kept for evaluation; keys of `synth.splits.FROZEN`."""
Split = Literal["train", "validation", "test"]
DatasetName = Literal[
    "h2o", "h2o3d", "ho3d", "rhd", "dexycb", "dexycb_s1", "dexycb_s2", "dexycb_s3", "interhand", "freihand", "hocap",
    "contactpose", "arctic", "hot3d", "hoi4d", "taco", "synthetic",
]  # fmt: skip
"""Keys of `data.dataset.DATASETS`."""
SubmissionName = Literal["ho3d", "h2o3d", "dexycb", "dexycb_s1", "dexycb_s2", "dexycb_s3"]
"""Data sets with a submission file that `submit` can write."""
