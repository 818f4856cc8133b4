"""The rasteriser matches a brute-force reference, also behind the camera and on slivers; shading behaves as stated."""

from dataclasses import replace

import numpy as np
import pytest

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import NEAR, Lamp, Light, Materials, draw, rasterize, shade
from twohands.synth.rendering.shapes import ball, box, joined, lathe, rectangle, sharp

INTRINSICS = np.array([60.0, 55.0, 23.3, 17.8])
WIDTH, HEIGHT = 48, 36


def brute_force(vertices, faces):
    """Return depth and triangle (H, W) of the nearest hit of every pixel's ray by Moeller and Trumbore."""
    fx, fy, cx, cy = INTRINSICS
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], axis=-1)
    nearest, triangle = np.full(u.shape, np.inf), np.full(u.shape, -1)
    for i, (a, b, c) in enumerate(vertices[faces]):
        normal = np.cross(b - a, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (normal @ a) / (rays @ normal)
        hit = rays * z[..., None]
        weights = np.stack(
            [np.cross(q - p, hit - p) @ normal / (normal @ normal) for p, q in ((a, b), (b, c), (c, a))], axis=-1
        )
        inside = (weights >= 0).all(axis=-1) & (z > NEAR) & (z < nearest)
        nearest[inside], triangle[inside] = z[inside], i
    return nearest, triangle


@pytest.mark.parametrize("kind", ["in front", "around the camera", "slivers"])
def test_rasterizer_equals_brute_force(kind):
    rng = np.random.default_rng([7, len(kind)])
    vertices = rng.uniform([-1.5, -1.2, 0.4], [1.5, 1.2, 3.0], (90, 3))
    if kind == "around the camera":
        vertices = rng.uniform(-1.5, 1.5, (90, 3))
    if kind == "slivers":  # the third corner almost on the first edge
        vertices[2::3] = vertices[0::3] + 0.6 * (vertices[1::3] - vertices[0::3]) + rng.normal(0, 2e-3, (30, 3))
    faces = np.arange(90).reshape(30, 3)
    inverse, triangle, _ = rasterize(vertices, faces, INTRINSICS, WIDTH, HEIGHT, NEAR)
    depth, expected = brute_force(vertices, faces)
    assert (triangle >= 0).any()
    assert (triangle != expected).sum() <= 2  # rays through an edge within rounding
    same = (triangle == expected) & (triangle >= 0)
    np.testing.assert_allclose(1 / inverse[same], depth[same], rtol=1e-5)


def test_nothing_and_degenerate_triangles_draw_nothing():
    vertices = np.array([[0, 0, 1.0], [1, 1, 2.0], [2, 2, 3.0], [0, 0, -1.0], [1, 0, -1.0], [0, 1, -1.0]])
    for faces in (np.zeros((0, 3), np.int64), np.array([[0, 1, 2], [0, 0, 0], [3, 4, 5]])):
        assert (rasterize(vertices, faces, INTRINSICS, WIDTH, HEIGHT, NEAR)[1] == -1).all()


def test_integer_coordinates_are_pixel_centres():
    camera = Camera(np.array([[50.0, 0, 10], [0, 50.0, 8], [0, 0, 1]]), 21, 17)
    # covers columns 9.5 .. 12.5 and rows 6.5 .. 9.5 at one metre
    square = rectangle(np.array([-0.01, -0.03, 1.0]), np.array([0.06, 0, 0]), np.array([0, 0.06, 0]))
    depth, _ = draw(joined([square]), camera)
    rows, columns = np.nonzero(depth)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 12, 7, 9)
    np.testing.assert_allclose(depth[depth > 0], 1.0, rtol=1e-6)


def _photograph(position, shapes, camera):
    texels = np.full(3 * 4, 186, dtype=np.uint8)
    one = np.ones(1, dtype=np.float32)
    materials = Materials(texels, np.array([[0, 2, 2]]), 0 * one, 8 * one, one)
    light = Light(
        *(np.array(position), np.array([0.0, 0.0, 1.0]), 0.5, 0.02, np.ones(3)),
        *(np.zeros(3), np.zeros(3), np.array([0.0, -1.0, 0.0])),
    )
    return shade(joined(shapes), materials, light, camera)


def test_lamp_lights_and_casts_a_shadow():
    camera = Camera(np.array([[80.0, 0, 31.5], [0, 80.0, 23.5], [0, 0, 1]]), 64, 48)
    wall = rectangle(np.array([-1.0, -1.0, 1.0]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]))
    blocker = rectangle(np.array([0.05, -0.05, 0.8]), np.array([0.1, 0, 0]), np.array([0, 0.1, 0]))
    lit = _photograph([0.0, 0.0, 0.1], [wall], camera)
    # lambertian: albedo (186 / 255) ** 2.2, the lamp straight in front of the middle
    assert lit[23, 31, 0] == pytest.approx((186 / 255) ** 2.2, rel=0.02)
    shadowed = _photograph([0.4, 0.0, 0.3], [wall, blocker], camera)
    u = round(31.5 + 80 * -0.1)  # the line from the lamp through the blocker's middle meets the wall at x = -0.02
    open_wall = _photograph([0.4, 0.0, 0.3], [wall], camera)
    assert shadowed[23, 30, 0] < 0.2 * open_wall[23, 30, 0]
    assert shadowed[23, u - 12, 0] == pytest.approx(open_wall[23, u - 12, 0], rel=1e-3)


@pytest.mark.parametrize("shape", [box((1, 2, 3)), ball(0.5), lathe(sharp([(0, 0), (1, 0), (1, 2), (0, 2)]))])
def test_shapes_point_outwards_and_stand(shape):
    assert shape.vertices[:, 2].min() == pytest.approx(0, abs=1e-9)
    a, b, c = (shape.vertices[shape.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    big = np.linalg.norm(normal, axis=1) > 1e-9
    middle = shape.vertices.mean(axis=0)
    assert (((a + b + c) / 3 - middle)[big] * normal[big]).sum(axis=1).min() > 0
    assert (shape.normals[shape.faces].mean(axis=1)[big] * normal[big]).sum(axis=1).min() > 0


CAMERA = Camera(np.array([[80.0, 0, 31.5], [0, 80.0, 23.5], [0, 0, 1]]), 64, 48)
WALL = rectangle(np.array([-1.0, -1.0, 1.0]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]))
BLOCKER = rectangle(np.array([0.05, -0.05, 0.8]), np.array([0.1, 0, 0]), np.array([0, 0.1, 0]))
DARK = Light(
    *(np.array([0.4, 0.0, 0.3]), np.array([0.0, 0.0, 1.0]), 0.5, 0.02, np.zeros(3)),
    *(np.zeros(3), np.zeros(3), np.array([0.0, -1.0, 0.0])),
)
WHITE = Materials(np.full(12, 255, np.uint8), np.array([[0, 2, 2]]), *np.array([[0.0], [8], [1]], dtype=np.float32))


def test_light_of_two_lamps_adds_up():
    one, two = np.array([0.8, 0.6, 0.4]), np.array([0.1, 0.2, 0.3])
    other = Lamp(np.array([-0.5, 0.2, 0.2]), 0.1, two)
    surfaces = joined([WALL, BLOCKER])
    first = shade(surfaces, WHITE, DARK._replace(color=one), CAMERA)
    second = shade(surfaces, WHITE, DARK._replace(position=other.position, size=0.1, color=two), CAMERA)
    both = shade(surfaces, WHITE, DARK._replace(color=one, second=other), CAMERA)
    np.testing.assert_allclose(both, first + second, atol=1e-6)
    assert np.ptp(second[..., 0]) > 0.05  # it casts a shadow of its own


def test_measured_light_equals_the_sky_it_describes():
    sky, ground = np.array([0.9, 0.8, 0.7]), np.array([0.2, 0.3, 0.1])
    environment = np.zeros((9, 3))  # the mean, and the band that varies along -y, which is up
    environment[0], environment[1] = 0.5 * (sky + ground) / 0.28209479, -0.5 * (sky - ground) / 0.48860251
    surfaces = joined([replace(ball(0.3), vertices=ball(0.3).vertices + [0, 0, 1.0])])
    simple = shade(surfaces, WHITE, DARK._replace(sky=sky, ground=ground), CAMERA)
    measured = shade(surfaces, WHITE, DARK._replace(environment=environment), CAMERA)
    assert np.ptp(simple[..., 0][simple[..., 0] > 0]) > 0.1
    np.testing.assert_allclose(measured, simple, atol=1e-6)


def test_crevices_are_darker_and_far_walls_are_not():
    camera = Camera(np.array([[400.0, 0, 99.5], [0, 400.0, 23.5], [0, 0, 1]]), 200, 48)
    sides = [rectangle(np.array([0, -1.0, 1.0]), np.array([x, 0, -0.5]), np.array([0, 2.0, 0])) for x in (-0.5, 0.5)]
    blocker = rectangle(np.array([0.12, -0.1, 0.7]), np.array([0.02, 0, 0]), np.array([0, 0.2, 0]))
    gray = WHITE._replace(texels=np.full(12, 60, np.uint8))
    open_light = DARK._replace(sky=np.ones(3), ground=np.ones(3))
    surfaces = joined([*sides, blocker])
    images = [shade(surfaces, gray, open_light._replace(occlusion=dark), camera)[..., 0] for dark in (False, True)]
    share = (images[1] / images[0])[24]
    assert 0.4 < share[98:102].min() < 0.65  # one half in a right-angled corner
    assert (np.diff(share[84:98]) < 0.01).all()  # 2.8 cm are 11 columns
    assert share[:84].min() > 0.99
    assert share[115:].min() > 0.99  # the blocker, and the wall 14 cm behind it


def test_red_reaches_farther_into_the_shadows_of_skin():
    light = DARK._replace(color=np.ones(3), position=np.array([1.5, 0.0, 0.9]))
    surfaces = joined([replace(ball(0.3), vertices=ball(0.3).vertices + [0, 0, 1.0])])
    plain = shade(surfaces, WHITE, light, CAMERA)
    skin = shade(surfaces, WHITE._replace(scatter=np.ones(1, np.float32)), light, CAMERA)
    dim = (plain[..., 0] > 0.02) & (plain[..., 0] < 0.2)
    assert (skin[..., 0] > 1.1 * skin[..., 1])[dim].mean() > 0.9  # less where a pixel is half in full light
    assert (plain[..., 0] == plain[..., 1]).all()
