"""Find the files of a recording in a folder, as recorders name them: colour and depth, which belong together, and the
intrinsics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from twohands import files
from twohands.spellings import words_in

COLOUR_FOLDERS = ("rgb", "color", "colour", "image", "images")
DEPTH_FOLDERS = ("aligned_depth", "depth_aligned", "aligned_depth_to_color", "depth")
"""Names of the folder with depth; depth that is said to be registered to colour comes first."""
KINDS_OF_FOLDERS = {"rgb": "colour", "color": "colour", "colour": "colour", "depth": "depth", "image": "", "img": ""}
"""Words in other names of folders; the first that has a kind tells it, and images of no kind are of colour."""
REGISTERED = {"aligned", "align", "registered"}
OTHER_FOLDERS = {
    *("vis", "viz", "visualization", "colormap", "colored", "colorized", "preview", "mask", "ir", "infrared", "normal"),
    *("confidence", "conf", "seg", "segmentation", "overlay", "thumbnail", "raw", "pred", "camera", "info"),
}
"""Words in names of folders that hold something else."""
INTRINSICS_FILES = (
    "cam_K.txt",
    "K.txt",
    "intrinsics.txt",
    "camera_intrinsic.json",
    "camera_intrinsics.json",
    "intrinsic.json",
    "intrinsics.json",
    "intrinsics.npy",
    "intrinsics.npz",
    "camera_info.yaml",
    "camera_info.yml",
    "camera_info.json",
    "calibration.yaml",
    "calibration.yml",
    "calibration.json",
    "ost.yaml",
    "camera_matrix.csv",
    "cameras.txt",
)
INTRINSICS_SUFFIXES = {".txt", ".json", ".yaml", ".yml", ".npy", ".npz", ".csv", ".xml", ".ini", ".conf", ".toml"}
INTRINSICS_WORDS = re.compile(
    r"\b(intrinsics?|intr|calib(ration)?|(cam(era)?|rgb|colou?r) (k|matrix|info|param(s|eters)?|mat|mtx))\b"
    r"|^(camera|k)$"
)
"""Words in other names of the file with the intrinsics, or of the folder in which it is."""
OF_OTHER_CAMERAS = re.compile(r"\b(depth|ir|infra(red)?\d*|extrinsics?)\b")
KINDS = ("rgb", "depth")
"""Stems of the lists of the TUM RGB-D benchmark."""
KIND = re.compile(
    r"(?:^|(?<=[-_. ]))(aligned_depth_to_color|aligned_depth|depth_aligned|depth|colou?r|rgb|image|img)"
    r"(?:ima?ge?)?(?=[-_. \d]|$)",
    re.IGNORECASE,
)
"""Words in a file name that give the kind of image: `depth` in `depth_0001` or `frame-0001.depth`."""
JPEG = (".jpg", ".jpeg")
STAMP = re.compile(r"\d+\.\d+|\d{13}|\d{16}|\d{19}")
"""Time stamps as names: seconds or milliseconds with a fraction, or milli-, micro- or nanoseconds since 1970."""
PREFIXED = re.compile(r".*[-_ ](\d{10,}\.\d+|\d{13}|\d{16}|\d{19})")
"""Names that end with a time stamp since 1970."""
LARGEST_DELAY = 20_000_000
"""Largest difference of the time stamps of a pair, ns; as in the tools of the TUM RGB-D benchmark."""


@dataclass(frozen=True)
class Layout:
    """Colour and depth images of a recording by frame id, the stem of the colour image."""

    colour: dict[str, Path]
    depth: dict[str, Path]  # lacks the frames without depth
    rule: str  # how pairs were found, as in "no depth image {rule} 0001"
    seconds: dict[str, float] = field(default_factory=dict)  # time stamps of colour images, as far as names tell them


def find_layout(folder: Path) -> Layout:
    """Return the images of a recording; raise ValueError with the fix if there are no pairs of colour and depth."""
    if _is_list(folder / "rgb.txt") and _is_list(folder / "depth.txt"):
        return _listed(folder)
    colour_at = _subfolder(folder, "colour", COLOUR_FOLDERS, files.COLOUR_SUFFIXES) or folder
    depth_at = _subfolder(folder, "depth", DEPTH_FOLDERS, files.DEPTH_SUFFIXES) or colour_at
    images = _images(colour_at, files.COLOUR_SUFFIXES)
    if colour_at in (folder, depth_at):  # among other images
        marked = [path for path in images if _kind(path) == "colour"]
        images = marked or [path for path in images if _kind(path) is None]
    depths = _depth_images(depth_at, files.DEPTH_SUFFIXES, depth_at == colour_at)
    if not depths and depth_at == colour_at:  # 1.jpg beside 1.png
        stems = {path.stem for path in images if path.suffix.lower() in JPEG}
        depths = [path for path in _images(depth_at, files.DEPTH_SUFFIXES) if path.stem in stems]
        images = [path for path in images if path.suffix.lower() in JPEG] if depths else images
    colour = _by_stem(images, colour_at)
    if not colour:
        _refuse_without_colour(folder, colour_at)
    depth = _by_stem(depths, depth_at)
    if not depth:
        _refuse_without_depth(folder, depth_at, depth_at == colour_at)
    seconds = {stem: time / 1e9 for stem, time in _times(colour).items()}
    layout = replace(_pair(folder, colour, depth), seconds=seconds)
    if not layout.depth:
        raise ValueError(f"{folder} has no depth image {layout.rule} a colour image; name the pairs alike")
    return layout


def find_intrinsics(folder: Path) -> Path:
    """Return the file with the intrinsics of a recording; raise FileNotFoundError with the fix if there is none."""
    there = {path.name.lower(): path for path in sorted(folder.iterdir())}
    for name in INTRINSICS_FILES:
        if name.lower() in there and there[name.lower()].is_file():
            return there[name.lower()]
    inside = [
        path for name, path in there.items() if path.is_dir() and INTRINSICS_WORDS.search(" ".join(words_in(name)))
    ]
    for files_of in (there.values(), [file for path in inside for file in sorted(path.iterdir())]):
        found = [path for path in files_of if is_intrinsics(path)]
        named = [path for path in found if KINDS_OF_FOLDERS.keys() & set(words_in(path.stem))] or found
        if len(named) > 1:
            names = ", ".join(path.relative_to(folder).as_posix() for path in named[:4])
            raise ValueError(
                f"{folder} has several files that may hold the intrinsics: {names}; pass one as --intrinsics"
            )
        if named:
            return named[0]
    raise FileNotFoundError(
        f"{folder} has no cam_K.txt; write the colour camera's 3x3 intrinsics there, or pass --intrinsics"
    )


def is_intrinsics(path: Path) -> bool:
    """Return whether a file is named like one with the intrinsics of the colour camera."""
    words = " ".join(words_in(path.stem))
    if path.suffix.lower() not in INTRINSICS_SUFFIXES or OF_OTHER_CAMERAS.search(words):
        return False
    return path.name in INTRINSICS_FILES or bool(INTRINSICS_WORDS.search(words))


def is_tum(folder: Path) -> bool:
    """Return whether the folder has a `depth.txt` of the TUM RGB-D benchmark: lines of a time stamp and a file."""
    return _is_list(folder / "depth.txt")


def _is_list(path: Path) -> bool:
    lines = _words(path) if path.is_file() else []
    return bool(lines) and len(lines[0]) == 2 and _time(lines[0][0]) is not None and "." in lines[0][1]


def _listed(folder: Path) -> Layout:
    """Return the images that the lists `rgb.txt` and `depth.txt` name, paired by the time stamps in them."""
    colour, depth = ({Path(name).stem: folder / name for _, name in _entries(folder / f"{kind}.txt")} for kind in KINDS)
    times = [{Path(name).stem: time for time, name in _entries(folder / f"{kind}.txt")} for kind in KINDS]
    seconds = {stem: time / 1e9 for stem, time in times[0].items()}
    associations = folder / "associations.txt"
    if associations.is_file():
        return Layout(colour, _associated(associations, colour, depth), "in associations.txt for", seconds)
    pairs = {stem: depth[other] for stem, other in _nearest(*times).items()}
    if not pairs:
        raise ValueError(f"rgb.txt and depth.txt of {folder} have no two times within 20 ms; correct or remove them")
    return Layout(colour, pairs, "in depth.txt within 20 ms of", seconds)


def _entries(path: Path) -> list[tuple[int, str]]:
    """Return times in ns and names of files from a list of the TUM RGB-D benchmark."""
    found = [(_time(line[0]), line[1]) for line in _words(path) if len(line) >= 2]
    return [(time, name) for time, name in found if time is not None]


def _pair(folder: Path, colour: dict[str, Path], depth: dict[str, Path]) -> Layout:
    """Pair images by the associations of the folder, else by equal stems, by equal names without kind, or by time."""
    associations = folder / "associations.txt"
    if associations.is_file():
        return Layout(colour, _associated(associations, colour, depth), "in associations.txt for")
    same = {stem: depth[stem] for stem in colour if stem in depth}
    most = min(len(colour), len(depth)) / 2
    if len(same) >= most:
        return Layout(colour, same, "named like")
    candidates = [Layout(colour, same, "named like"), Layout(colour, _same_name(colour, depth), "named like")]
    if numbered := _same_number(colour, depth):
        candidates.append(Layout(colour, numbered, "numbered like"))
    times = [_times(images) for images in (colour, depth)]
    if all(times):
        nearest = {stem: depth[other] for stem, other in _nearest(*times).items()}
        candidates.append(Layout(colour, nearest, "within 20 ms of"))
    best = max(reversed(candidates), key=lambda layout: len(layout.depth))
    return next((layout for layout in candidates if len(layout.depth) >= most), best)


def _associated(path: Path, colour: dict[str, Path], depth: dict[str, Path]) -> dict[str, Path]:
    """Return depth by colour stem from lines of time stamps and paths, colour or depth first."""
    stems = {file: stem for stem, file in colour.items()}
    known = set(depth.values())
    pairs: dict[str, Path] = {}
    for words in _words(path):
        named = [path.parent / word for word in words]
        for first in named:
            for second in named:
                if first in stems and second in known:
                    pairs[stems[first]] = second
    if not pairs:
        raise ValueError(f"{path} names no pair of images of {path.parent}; correct or remove it")
    return pairs


def _same_name(colour: dict[str, Path], depth: dict[str, Path]) -> dict[str, Path]:
    """Return depth by colour stem where the names without the words for the kind are equal."""
    stems, others = ({_name(stem): stem for stem in images} for images in (colour, depth))
    return {stem: depth[others[name]] for name, stem in stems.items() if name in others}


def _same_number(colour: dict[str, Path], depth: dict[str, Path]) -> dict[str, Path]:
    """Return depth by colour stem where the names have equal numbers, with any zeros before them, and only once."""
    stems, others = ({} for _ in range(2))
    for images, numbered in ((colour, stems), (depth, others)):
        for stem in images:
            numbered.setdefault(tuple(int(part) for part in re.findall(r"\d+", stem)), []).append(stem)
    once = [number for number in stems if number and len(stems[number]) == len(others.get(number, ())) == 1]
    return {stems[number][0]: depth[others[number][0]] for number in once}


def _nearest(colour: dict[str, int], depth: dict[str, int]) -> dict[str, str]:
    """Return depth stem by colour stem, one to one, the smallest differences of time first; times in ns."""
    ordered = sorted(depth, key=depth.__getitem__)
    candidates: list[tuple[int, str, str]] = []
    start = 0
    for stem in sorted(colour, key=colour.__getitem__):
        while start < len(ordered) and depth[ordered[start]] < colour[stem] - LARGEST_DELAY:
            start += 1
        for other in ordered[start:]:
            if depth[other] > colour[stem] + LARGEST_DELAY:
                break
            candidates.append((abs(depth[other] - colour[stem]), stem, other))
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, stem, other in sorted(candidates):
        if stem not in pairs and other not in taken:
            pairs[stem] = other
            taken.add(other)
    return pairs


def _times(images: Iterable[str]) -> dict[str, int]:
    """Return the time stamps in ns of those stems that have one."""
    found = {stem: _time(_name(stem)) for stem in images}
    return {stem: time for stem, time in found.items() if time is not None}


def _time(name: str) -> int | None:
    """Return the time stamp in ns that a name is, None if it is none."""
    name = found[1] if (found := PREFIXED.fullmatch(name)) else name
    if not STAMP.fullmatch(name):
        return None
    if "." in name:
        is_milli = len(name.partition(".")[0]) == 13
        return int(Decimal(name) * (10**6 if is_milli else 10**9))
    return int(name) * 10 ** (19 - len(name))


def _name(stem: str) -> str:
    """Return the stem without the words for the kind of image: `color_0001` and `0001-color` are `0001`."""
    return re.sub(r"([-_. ])[-_. ]+", r"\1", KIND.sub("", stem)).strip("-_. ")


def _kind(path: Path) -> str | None:
    words = KIND.findall(path.stem)
    return ("depth" if any("depth" in word.lower() for word in words) else "colour") if words else None


def _subfolder(folder: Path, kind: str, names: tuple[str, ...], suffixes: Iterable[str]) -> Path | None:
    """Return the folder with images of a kind: the first of the usual names, else one with the word for the kind in its
    name, registered depth first. An empty one is a choice only without others. Raise ValueError for two alike.
    """
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    usual = [there[name] for name in names if name in there]
    others = [path for path in there.values() if path not in usual and _kind_of_folder(path) == kind]
    registered = [path for path in others if REGISTERED & set(words_in(path.name)) or "to" in words_in(path.name)]
    plain = [path for path in others if path not in registered]
    for choice in (registered, usual, plain) if kind == "depth" else (usual, plain):
        filled = [path for path in choice if _images(path, suffixes)]
        if len(filled) > 1 and choice is not usual:
            names_of = ", ".join(f"{path.name}/" for path in filled[:4])
            raise ValueError(
                f"{folder} has several folders of {kind} images: {names_of}; give a folder for each camera"
            )
        if filled:
            return filled[0]
    return usual[0] if usual else None


def _kind_of_folder(path: Path) -> str | None:
    words = words_in(path.name)
    singular = [word.removesuffix("s") for word in words]
    known = [KINDS_OF_FOLDERS[word] for word in singular if word in KINDS_OF_FOLDERS]
    if not known or OTHER_FOLDERS & {*words, *singular}:
        return None
    return next((kind for kind in known if kind), "colour")


def _images(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]


def _depth_images(folder: Path, suffixes: Iterable[str], shared: bool) -> list[Path]:
    """Return the depth images of a folder, of one that is shared with colour only those named so."""
    return [path for path in _images(folder, suffixes) if not shared or _kind(path) == "depth"]


def _by_stem(images: list[Path], folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in images}
    if len(found) < len(images):
        twice = next(path for path in images if found[path.stem] != path)
        raise ValueError(f"{folder} has two images with the stem {twice.stem}; remove one")
    return found


def _refuse_without_colour(folder: Path, colour_at: Path) -> None:
    if colour_at == folder:
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _holds_pairs(path)]
        if inside:
            which = f"{inside[0]} in it has" if len(inside) == 1 else f"{len(inside)} folders in it have ({inside[0]})"
            raise ValueError(f"{folder} has no folder rgb/, color/ or image/, but {which}: give that as the recording")
        raise ValueError(f"{folder} has no folder rgb/, color/ or image/; put the images there")
    raise ValueError(f"{folder} has no colour image in {colour_at.name}/; put PNG or JPEG files there")


def _holds_pairs(folder: Path) -> bool:
    try:
        return bool(find_layout(folder).depth)
    except (ValueError, OSError):
        return False


def _refuse_without_depth(folder: Path, depth_at: Path, shared: bool) -> None:
    unread = sorted(_depth_images(depth_at, files.UNREAD_DEPTH, shared))
    if unread:
        raise ValueError(files.unread_depth(unread[0]))
    if shared:
        raise ValueError(f"{folder} has no folder depth/ or aligned_depth/; put the images there")
    raise ValueError(f"{folder} has no depth image in {depth_at.name}/; put 16-bit PNG, TIFF, .npy or .npz files there")


def _words(path: Path) -> list[list[str]]:
    """Return the words of every line of a text file that is not a comment."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
