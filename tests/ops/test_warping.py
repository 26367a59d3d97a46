"""Reading images between their pixels, against one place at a time and finite differences."""

import itertools

import numpy as np
import pytest
from support.checks import check_gradient, check_op, tensor_here

from gpukeras import autograd, ops
from gpukeras.backends.warping import FILL_MODES, WarpingMixin

RNG = np.random.default_rng(7)


def naive_index(i, n, mode):
    """Return the element that stands at ``i`` in an axis continued by ``mode``; ``None``: the fill value."""
    line = list(range(n))
    if mode == "constant":
        return i if 0 <= i < n else None
    if mode == "nearest":
        return min(max(i, 0), n - 1)
    around = {"wrap": line, "reflect": line + line[::-1], "mirror": line + line[-2:0:-1]}[mode]
    return around[i % len(around)]


def naive_read(x, at, order, mode, fill):
    """Return the value of ``x`` at one place."""
    if order == 0:
        at = [np.sign(c) * np.floor(abs(c) + 0.5) for c in at]
    low = [int(np.floor(c)) for c in at]
    total = 0.0
    for corner in itertools.product((0, 1), repeat=x.ndim):
        weight = np.prod([c - i if up else 1 - (c - i) for c, i, up in zip(at, low, corner)])
        index = tuple(naive_index(i + up, n, mode) for i, up, n in zip(low, corner, x.shape))
        total += weight * (fill if None in index else x[index])
    return total


def naive_map(x, coordinates, order, fill_mode="constant", fill_value=0):
    coordinates = np.asarray(coordinates)
    y = np.zeros(coordinates.shape[1:])
    for where in np.ndindex(y.shape):
        y[where] = naive_read(x, [c[where] for c in coordinates], order, fill_mode, fill_value)
    return y


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_map_coordinates(backend, mode, order):
    for shape in [(5,), (3, 4), (1, 2, 3)]:
        places = RNG.uniform(-9, 9, (len(shape), 3, 4))
        check_op(ops.image.map_coordinates, [RNG.standard_normal(shape), places], naive_map,
                 settings=(order, mode, 0.7), batch=(), rtol=1e-4, atol={"float32": 1e-5})


def test_nearest_goes_away_from_zero_at_halves(backend):
    x = tensor_here(np.arange(1.0, 5))
    found = ops.image.map_coordinates(x, [[-0.5, 0.5, 1.5, 2.5, 3.5]], 0, fill_value=9)
    assert found.tolist() == [9, 2, 3, 4, 9]


@pytest.mark.parametrize("kind", ["uint8", "int32", "bool", "float16"])
def test_types_of_elements(backend, kind):
    x = tensor_here(np.array([0, 1, 3, 4]).astype(kind))
    found = ops.image.map_coordinates(x, [tensor_here(np.array([0.4, 0.5, 1.5, 1.2], "float32"))], 1)
    assert found.dtype == kind
    expected = {"bool": [1, 1, 1, 1], "float16": [0.4, 0.5, 2, 1.4]}.get(kind, [0, 1, 2, 1])
    np.testing.assert_allclose(found.numpy().astype(float), expected, atol=1e-3)
    unsigned = ops.image.map_coordinates(tensor_here(np.array([250], "uint8")), [[5.0]], 0, fill_value=999)
    assert unsigned.tolist() == [255]


def test_fill_that_is_no_number_stays_outside(backend):
    x = tensor_here(np.ones(4, "float32"))
    found = ops.image.map_coordinates(x, [[0.3, 2.9, 3.0, 3.5, -7.0]], 1, fill_value=np.nan).numpy()
    np.testing.assert_array_equal(np.isnan(found), [False, False, False, True, True])


def test_places_beyond_all_bounds(backend):
    x = tensor_here(np.arange(4.0, dtype="float32"))
    for mode in FILL_MODES:
        found = ops.image.map_coordinates(x, [[np.nan, np.inf, -np.inf, 1e30]], 1, mode).numpy()
        assert np.isfinite(found).all()


# ---- affine ----------------------------------------------------------------------------------------------
def naive_affine(x, transform, interpolation="bilinear", fill_mode="constant", fill_value=0,
                 data_format="channels_last"):
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    y = np.zeros(x.shape)
    transform = np.broadcast_to(transform, (len(x), 8))
    for b, row, column, c in np.ndindex(x.shape):
        a0, a1, a2, b0, b1, b2, c0, c1 = transform[b]
        k = c0 * column + c1 * row + 1
        at = [(b0 * column + b1 * row + b2) / k, (a0 * column + a1 * row + a2) / k]
        order = int(interpolation == "bilinear")
        y[b, row, column, c] = naive_read(x[b, :, :, c], at, order, fill_mode, fill_value)
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


# Odd numbers, so that no place lies on a pixel or half way between two.
TRANSFORMS = np.array([[0.9314, 0.2171, 0.3137, -0.1233, 1.1371, 0.4412, 0.0113, -0.0219],
                       [1.2151, -0.3253, -0.4339, 0.5157, 0.7219, -0.8371, 0.0017, 0.0311]])


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_affine_transform(backend, mode, interpolation):
    for channels, data_format in [(2, "channels_last"), (9, "channels_last"), (2, "channels_first")]:
        shape = (2, 4, 5, channels) if data_format == "channels_last" else (2, channels, 4, 5)
        check_op(ops.image.affine_transform, [RNG.standard_normal(shape), TRANSFORMS], naive_affine,
                 settings=(interpolation, mode, 0.7, data_format), batch=(0,), rtol=1e-4,
                 atol={"float32": 2e-5}, directions=1)


def test_one_transform_for_all_images(backend):
    x = RNG.standard_normal((3, 4, 5, 2))
    expected = naive_affine(x, TRANSFORMS[:1])
    for transform in (TRANSFORMS[0], TRANSFORMS[:1]):
        found = ops.image.affine_transform(tensor_here(x), tensor_here(transform))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    single = ops.image.affine_transform(tensor_here(x[0]), tensor_here(TRANSFORMS[0]))
    np.testing.assert_allclose(single.numpy(), expected[0], rtol=1e-9, atol=1e-12)
    check_gradient(lambda t: ops.image.affine_transform(tensor_here(x), t), [TRANSFORMS[:1]])


def test_horizon(backend):
    x = tensor_here(np.ones((1, 3, 4, 1), "float32"))
    found = ops.image.affine_transform(x, np.array([1.0, 0, 0, 0, 1, 0, -0.5, 0], "float32"), fill_value=-1)
    assert found.numpy()[0, 1, 2, 0] == -1  # k is 0 there


def test_second_order_in_images(backend):
    check_gradient(lambda x: ops.image.affine_transform(x, TRANSFORMS, fill_mode="reflect") ** 3,
                   [RNG.standard_normal((2, 3, 4, 1))], second_order=True)


def test_second_order_in_the_transform_says_so():
    x, transform = tensor_here(RNG.standard_normal((1, 3, 4, 1))), tensor_here(TRANSFORMS[:1])
    with autograd.GradientTape() as outer:
        outer.watch(transform)
        with autograd.GradientTape() as inner:
            inner.watch([x, transform])
            y = ops.image.affine_transform(x, transform)
        first = inner.gradient(y, transform)
    with pytest.raises(NotImplementedError, match="stop_gradient"):
        outer.gradient(first, transform)


def test_numpy_and_generic_code_agree():
    from gpukeras import backends

    cpu = backends.resolve("cpu")
    x = RNG.standard_normal((2, 20, 3))
    places = RNG.uniform(-3, 7, (2, 2, 11))
    dy = RNG.standard_normal((2, 11, 3))
    for order, mode in itertools.product((0, 1), FILL_MODES):
        settings = ((4, 5), places, order, mode, 0.5)
        np.testing.assert_allclose(cpu.sample(x, *settings), WarpingMixin.sample(cpu, x, *settings),
                                   rtol=1e-12, atol=1e-12)
        ours = cpu.sample_backward(dy, x, *settings, (True, True))
        generic = WarpingMixin.sample_backward(cpu, dy, x, *settings, (True, True))
        for a, b in zip(ours, generic):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ---- projective and elastic ------------------------------------------------------------------------------
CORNERS = np.array([[0.0, 0.0], [4, 0], [0, 3], [4, 3]])
MOVED = np.array([[[0.3, 0.2], [4.4, -0.6], [-0.7, 2.9], [3.8, 3.4]],
                  [[-0.4, 0.1], [3.1, 0.3], [0.6, 3.2], [4.7, 2.6]]])


def naive_perspective(x, start, end, interpolation="bilinear", fill_value=0, data_format="channels_last"):
    """Solve eight equations for each transform."""
    transforms = []
    for s, e in zip(np.broadcast_to(start, (len(x), 4, 2)), np.broadcast_to(end, (len(x), 4, 2))):
        rows, sides = [], []
        for (u, v), (p, q) in zip(s, e):
            rows += [[p, q, 1, 0, 0, 0, -u * p, -u * q], [0, 0, 0, p, q, 1, -v * p, -v * q]]
            sides += [u, v]
        transforms.append(np.linalg.solve(np.array(rows), np.array(sides)))
    return naive_affine(x, np.array(transforms), interpolation, "constant", fill_value, data_format)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_perspective_transform(backend, interpolation):
    check_op(ops.image.perspective_transform, [RNG.standard_normal((2, 4, 5, 2)), CORNERS, MOVED],
             naive_perspective, settings=(interpolation, 0.3), rtol=1e-4, atol={"float32": 1e-4,
             "float64": 1e-4}, grad=False, dtypes=("float32",))
    x = tensor_here(RNG.standard_normal((2, 4, 5, 2)).astype("float32"))
    single = ops.image.perspective_transform(x[0], CORNERS, MOVED[1], interpolation)
    expected = naive_perspective(x.numpy()[:1], CORNERS, MOVED[1:], interpolation)[0]
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-4)


def test_elastic_transform(backend):
    x = np.broadcast_to(np.arange(40.0, dtype="float32")[:, None, None], (24, 40, 40, 1))
    moved = ops.image.elastic_transform(tensor_here(x), 3.0, 2.0, fill_mode="nearest", seed=1).numpy()
    shifts = (moved - x)[:, 10:30, 10:30, 0]
    assert abs(shifts.mean()) < 0.1
    assert abs(shifts.std() - 3.0 / (2 * np.sqrt(np.pi))) < 0.06
    near = np.corrcoef(shifts[:, :, :-2].ravel(), shifts[:, :, 2:].ravel())[0, 1]
    assert abs(near - np.exp(-4 / 16)) < 0.06  # smoothed by a Gaussian twice: that of the correlation
    again = ops.image.elastic_transform(tensor_here(x), 3.0, 2.0, fill_mode="nearest", seed=1).numpy()
    np.testing.assert_array_equal(moved, again)
    still = ops.image.elastic_transform(tensor_here(x[0]), 0.0, seed=1).numpy()
    np.testing.assert_array_equal(still, x[0])


def test_elastic_transform_gradient(backend):
    check_gradient(lambda x: ops.image.elastic_transform(x, 9.0, 1.0, seed=3),
                   [RNG.standard_normal((1, 4, 5, 2))])
    image = tensor_here(RNG.standard_normal((2, 4, 5)).astype("float16"))
    moved = ops.image.elastic_transform(image, interpolation="nearest", seed=3, data_format="channels_first")
    assert moved.shape == (2, 4, 5) and moved.dtype == "float16"


@pytest.mark.parametrize("call, words", [
    (lambda f: f.map_coordinates(np.ones(3), [[1.0]], 2), "order must be 0 or 1"),
    (lambda f: f.map_coordinates(np.ones((3, 3)), [[1.0]], 1), "need coordinates of shape"),
    (lambda f: f.map_coordinates(np.ones(3), [[1.0]], 1, "edge"), "fill_mode must be one of"),
    (lambda f: f.affine_transform(np.ones((3, 3)), np.ones(8)), "rank 3 or 4"),
    (lambda f: f.affine_transform(np.ones((3, 3, 1)), np.ones(6)), "transform of shape"),
    (lambda f: f.affine_transform(np.ones((3, 3, 3, 1)), np.ones((2, 8))), "transform of shape"),
    (lambda f: f.affine_transform(np.ones((3, 3, 1)), np.ones(8), "bicubic"), "interpolation must be one of"),
    (lambda f: f.perspective_transform(np.ones((3, 3, 1)), np.ones((3, 2)), CORNERS), "start_points"),
    (lambda f: f.elastic_transform(np.ones((3, 3, 1)), sigma=0.0), "sigma must be above 0"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call(ops.image)
