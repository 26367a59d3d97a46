"""Images read at other places than their pixels: maps of coordinates, affine, projective and elastic."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, backends, config, dtypes, random
from gpukeras.backends.warping import FILL_MODES
from gpukeras.op import op
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array

INTERPOLATIONS = ("nearest", "bilinear")


# ---- arguments -------------------------------------------------------------------------------------------
def _choices(name: str, interpolation, fill_mode="constant") -> None:
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"{name}: interpolation must be one of {INTERPOLATIONS}, came {interpolation!r}")
    if fill_mode not in FILL_MODES:
        raise ValueError(f"{name}: fill_mode must be one of {FILL_MODES}, came {fill_mode!r}")


def as_tensor(x):
    """Return ``x``, an array or nested lists as a tensor of their own type."""
    return x if isinstance(x, (Tensor, KerasTensor)) else Tensor(to_array(x))


def image_rank(name: str, images):
    """Return images as a tensor, real or symbolic; their rank must be 3 or 4."""
    images = as_tensor(images)
    if len(images.shape) not in (3, 4):
        raise ValueError(
            f"{name}: expected an image or a batch of images (rank 3 or 4), came shape {tuple(images.shape)}"
        )
    return images


# ---- the ops: reading, its transpose, and the slopes of what is read ------------------------------------
def _columns(x, data_format: str):
    """Return an array (N, *sizes, C) as (N, S, C), and its sizes."""
    if data_format == "channels_last":
        return x.reshape(x.shape[0], -1, x.shape[-1]), x.shape[1:-1]
    n, c, *sizes = x.shape
    return x.reshape(n, c, -1).transpose(0, 2, 1), tuple(sizes)


def _images(columns, sizes, data_format: str):
    """Return (N, S, C) as an array (N, *sizes, C) in one piece of memory."""
    n, _, c = columns.shape
    if data_format == "channels_last":
        return columns.reshape(n, *sizes, c)
    return columns.transpose(0, 2, 1).reshape(n, c, *sizes)


def _flat(places):
    """Return places (axes, N or 1, *out) as an array (axes, N or 1, P) of float32 or float64."""
    kind = "float64" if places.dtype == np.float64 else "float32"
    return places.array.reshape(*places.shape[:2], -1).astype(kind, copy=False)


def _read_shape(images, places, order, fill_mode, fill_value, data_format):
    if data_format == "channels_last":
        return (images[0], *places[2:], images[-1])
    return (*images[:2], *places[2:])


def _first_type(first, *others, **settings):
    return first


@op(shape=_read_shape, tensors=2, dtype=_first_type)
def read_pixels(images, places, order, fill_mode, fill_value, data_format):
    """Return what images (N, *sizes, C) hold at ``places`` (axes, N or 1, *out): (N, *out, C)."""
    x, sizes = _columns(images.array, data_format)
    at = _flat(places)
    y = images.backend.sample(x, sizes, at, order, fill_mode, fill_value)
    wants = tuple(dtypes.is_float(t.dtype) and autograd.is_tracked(t) for t in (images, places))
    settings = (order, fill_mode, fill_value, data_format)

    def vjp(dy):
        if autograd.recording():
            return (give_back(dy, places, images.shape, *settings) if wants[0] else None,
                    slopes(dy, images, places, *settings) if wants[1] else None)
        d = _columns(dy.array, data_format)[0]
        dx, dplaces = images.backend.sample_backward(d, x, sizes, at, order, fill_mode, fill_value, wants)
        return (_images(dx, sizes, data_format) if wants[0] else None,
                dplaces.reshape(places.shape).astype(places.dtype, copy=False) if wants[1] else None)

    return _images(y, places.shape[2:], data_format), vjp if dtypes.is_float(images.dtype) else None


def _once(name: str):
    """Return the ``vjp`` of a first derivative that has no further ones."""

    def vjp(v):
        raise NotImplementedError(
            f"{name}: the gradient of the coordinates at which images are read cannot be differentiated "
            "again; stop it there (ops.stop_gradient on the coordinates or the transform)"
        )

    return vjp


@op(shape=lambda dy, places, shape, *settings: shape, tensors=2, dtype=_first_type)
def give_back(dy, places, shape, order, fill_mode, fill_value, data_format):
    """Return the gradient of images of ``shape`` that were read."""
    backend = dy.backend
    x, sizes = _columns(backend.empty(shape, dy.dtype), data_format)
    d = _columns(dy.array, data_format)[0]
    dx, _ = backend.sample_backward(d, x, sizes, _flat(places), order, fill_mode, 0, (True, False))
    tracked = dtypes.is_float(places.dtype) and autograd.is_tracked(places) and order
    again = _once("give_back")

    def vjp(v):
        return read_pixels(v, places, order, fill_mode, 0, data_format), again(v) if tracked else None

    return _images(dx, sizes, data_format), vjp


def _of_places(dy, images, places, *settings):
    return places


@op(shape=_of_places, tensors=3, dtype=_of_places)
def slopes(dy, images, places, order, fill_mode, fill_value, data_format):
    """Return the gradient of the places at which images were read."""
    x, sizes = _columns(images.array, data_format)
    d = _columns(dy.array, data_format)[0]
    _, found = images.backend.sample_backward(
        d, x, sizes, _flat(places), order, fill_mode, fill_value, (False, True))
    return found.reshape(places.shape).astype(places.dtype, copy=False), _once("slopes")


# ---- any array -------------------------------------------------------------------------------------------
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Read an array at real-valued coordinates.

    Parameters
    ----------
    inputs : tensor
        Any rank R.
    coordinates : tensor, shape (R, ...), or list of R tensors
        Along each axis of ``inputs``; 0 is the middle of the first element.
    order : {0, 1}
        The nearest element (halves go away from 0), or linear interpolation.
    fill_mode : {"constant", "nearest", "wrap", "mirror", "reflect"}
        What lies outside of ``a b c d``: ``fill_value``; ``a a | a b c d``; ``c d | a b c d``;
        ``c b | a b c d``; ``b a | a b c d``.
    fill_value : float

    Returns
    -------
    tensor, shape ``coordinates.shape[1:]``, of the inputs' dtype
        Integers are rounded.

    Notes
    -----
    Gradients reach ``inputs`` and, with ``order=1``, ``coordinates``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.convert_to_tensor([10.0, 20.0, 40.0])
    >>> ops.image.map_coordinates(x, [[0.5, 1.25, 2.5]], order=1, fill_mode="reflect").tolist()
    [15.0, 25.0, 40.0]
    """
    from gpukeras import ops

    inputs = as_tensor(inputs)
    if isinstance(coordinates, (list, tuple)):
        coordinates = ops.stack([ops.convert_to_tensor(c) for c in coordinates])
    coordinates = as_tensor(coordinates)
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: order must be 0 or 1, came {order!r}")
    _choices("map_coordinates", "bilinear", fill_mode)
    rank = len(inputs.shape)
    if not len(coordinates.shape) or coordinates.shape[0] != rank or not rank:
        raise ValueError(
            f"map_coordinates: inputs of shape {tuple(inputs.shape)} need coordinates of shape "
            f"({rank}, ...), came {tuple(coordinates.shape)}"
        )
    inner, places = ops.expand_dims(ops.expand_dims(inputs, 0), -1), ops.expand_dims(coordinates, 1)
    y = read_pixels(inner, places, int(order), fill_mode, fill_value, "channels_last")
    return ops.squeeze(y, (0, -1))


# ---- affine and projective -------------------------------------------------------------------------------
def affine_transform(
    images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None,
):
    """Turn, shift, scale, shear or project images.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    transform : tensor, shape (N, 8), (1, 8) or (8,)
        ``a0 a1 a2 b0 b1 b2 c0 c1``: the pixel (x, y) of the result shows the point
        ``((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)``, ``k = c0 x + c1 y + 1``, of the image.
    interpolation : {"bilinear", "nearest"}
    fill_mode : {"constant", "nearest", "wrap", "mirror", "reflect"}
        What lies outside of the image; see ``map_coordinates``.
    fill_value : float
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype

    Notes
    -----
    Gradients reach the images and, with bilinear interpolation, the transform. Keras itself uses ``c0`` and
    ``c1`` with TensorFlow only and takes them for 0 otherwise.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.convert_to_tensor([1.0, 2.0, 3.0]), (1, 3, 1))
    >>> ops.image.affine_transform(x, [1.0, 0, 1, 0, 1, 0, 0, 0])[0, :, 0].tolist()  # one to the left
    [2.0, 3.0, 0.0]
    """
    from gpukeras import ops

    images, transform = image_rank("affine_transform", images), as_tensor(transform)
    _choices("affine_transform", interpolation, fill_mode)
    single = len(images.shape) == 3
    batch = 1 if single else images.shape[0]
    rows = transform.shape[0] if len(transform.shape) == 2 else 1
    fits = len(transform.shape) in (1, 2) and transform.shape[-1] == 8
    if not fits or not (rows in (1, None) or batch in (rows, None)):
        raise ValueError(
            f"affine_transform: images of shape {tuple(images.shape)} need a transform of shape (8,), (1, 8)"
            f"{'' if single else f' or ({batch}, 8)'}, came {tuple(transform.shape)}"
        )
    if len(transform.shape) == 1:
        transform = ops.expand_dims(transform, 0)
    data_format = config.standardize_data_format(data_format)
    size = known_size("affine_transform", images, data_format)
    return read_batch(images, projected(transform, size), interpolation, fill_mode, fill_value, data_format)


def known_size(name: str, images, data_format: str) -> tuple[int, int]:
    """Return height and width of images; both must be known."""
    first = len(images.shape) - (3 if data_format == "channels_last" else 2)
    h, w = images.shape[first : first + 2]
    if h is None or w is None:
        raise ValueError(
            f"{name} needs images of known height and width, came shape {tuple(images.shape)} "
            f"(data_format={data_format!r})"
        )
    return h, w


def read_batch(images, places, interpolation, fill_mode, fill_value, data_format):
    """Read an image or a batch at ``places`` (2: y and x, N or 1, H, W)."""
    from gpukeras import ops

    single = len(images.shape) == 3
    y = read_pixels(ops.expand_dims(images, 0) if single else images, places,
                    INTERPOLATIONS.index(interpolation), fill_mode, fill_value, data_format)
    return ops.squeeze(y, 0) if single else y


def projected(transform, size, affine: bool = False):
    """Return where transforms (N, 8) send the pixels of a grid: (2: y and x, N, H, W).

    With ``affine`` there may be the six numbers of the affine part alone.
    """
    from gpukeras import ops

    h, w = size
    kind = np.float64 if str(transform.dtype) == "float64" else np.float32
    transform = ops.cast(transform, str(np.dtype(kind)))
    x, y = np.arange(w, dtype=kind), np.arange(h, dtype=kind)[:, None]
    a0, a1, a2, b0, b1, b2 = (transform[:, i, None, None] for i in range(6))
    # Products and sums element by element: exact for whole numbers, which a matrix product need not be.
    to_x, to_y = a0 * x + (a1 * y + a2), b0 * x + (b1 * y + b2)
    if not affine:
        c0, c1 = (transform[:, i, None, None] for i in (6, 7))
        k = c0 * x + (c1 * y + 1.0)
        k = ops.where(k == 0, kind(1e-12), k)  # points at the horizon lie far outside
        to_x, to_y = to_x / k, to_y / k
    return ops.stack([to_y, to_x])


def perspective_transform(
    images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None,
):
    """Project images so that four points of theirs come to lie on four given ones.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    start_points : tensor, shape (N, 4, 2) or (4, 2)
        Points (x, y) in the images, no three of them on a line.
    end_points : tensor, shape (N, 4, 2) or (4, 2)
        Where they lie in the results.
    interpolation : {"bilinear", "nearest"}
    fill_value : float
        Of what lies outside of the images.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype

    Notes
    -----
    With the points as columns in homogeneous coordinates, the matrix that takes the four corners of the
    projective frame to points ``p1 .. p4`` is ``[u1 p1, u2 p2, u3 p3]`` with
    ``u = [p1 p2 p3]^-1 p4``; the projection is one such matrix times the inverse of the other.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.arange(9, dtype="float32"), (3, 3, 1))
    >>> corners = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]
    >>> mirrored = [[2.0, 0.0], [0.0, 0.0], [2.0, 2.0], [0.0, 2.0]]
    >>> ops.round(ops.image.perspective_transform(x, corners, mirrored), 3)[0, :, 0].tolist()
    [2.0, 1.0, 0.0]
    """
    from gpukeras import ops

    images = image_rank("perspective_transform", images)
    _choices("perspective_transform", interpolation)
    points = []
    for name, value in (("start_points", start_points), ("end_points", end_points)):
        value = as_tensor(value)
        if len(value.shape) not in (2, 3) or tuple(value.shape[-2:]) != (4, 2):
            raise ValueError(
                f"perspective_transform: {name} must have shape (4, 2) or (batch, 4, 2), came "
                f"{tuple(value.shape)}"
            )
        points.append(value if len(value.shape) == 3 else ops.expand_dims(value, 0))
    transform = projection(points[1], points[0])
    return affine_transform(images, transform, interpolation, "constant", fill_value, data_format)


def projection(from_points, to_points):
    """Return transforms (N, 8), for ``affine_transform``, that take four points (N, 4, 2) to others."""
    from gpukeras import ops

    first, second = (_frame(ops.cast(p, "float64")) for p in (from_points, to_points))
    matrix = ops.matmul(second, _adjugate(first))
    flat = ops.reshape(matrix, (-1, 9))
    return ops.cast(flat[:, :8] / flat[:, 8:], "float32")


def _frame(points):
    """Return the matrix (N, 3, 3) that takes the projective frame to four points."""
    from gpukeras import ops

    h = ops.concatenate([points, ops.ones_like(points[..., :1])], axis=-1)
    p = ops.transpose(h, (0, 2, 1))  # one point in each column
    scale = ops.matmul(_adjugate(p[:, :, :3]), p[:, :, 3:])
    return p[:, :, :3] * ops.transpose(scale, (0, 2, 1))


def _adjugate(m):
    """Return determinant times inverse of matrices (N, 3, 3): cross products of their columns, as rows."""
    from gpukeras import ops

    a, b, c = m[:, :, 0], m[:, :, 1], m[:, :, 2]
    return ops.stack([ops.cross(b, c), ops.cross(c, a), ops.cross(a, b)], axis=1)


# ---- elastic ---------------------------------------------------------------------------------------------
def elastic_transform(
    images, alpha=20.0, sigma=5.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0, seed=None,
    data_format=None,
):
    """Distort images by smooth random shifts of their pixels.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    alpha : float
        Size of the shifts.
    sigma : float
        Standard deviation of the normal noise that the shifts are made from, and, in pixels, of the Gaussian
        that smoothes them: the shifts have the standard deviation ``alpha / (2 sqrt(pi))``, less at the
        borders, where the noise around counts as 0.
    interpolation : {"bilinear", "nearest"}
    fill_mode : {"constant", "nearest", "wrap", "mirror", "reflect"}
        What lies outside of the image; see ``map_coordinates``.
    fill_value : float
    seed : int or SeedGenerator, optional
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype

    References
    ----------
    Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", doi:10.1109/ICDAR.2003.1227801.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.image.elastic_transform(keras.ops.ones((2, 8, 8, 3)), seed=1).shape
    (2, 8, 8, 3)
    """
    images = image_rank("elastic_transform", images)
    _choices("elastic_transform", interpolation, fill_mode)
    if sigma <= 0:
        raise ValueError(f"elastic_transform: sigma must be above 0, came {sigma!r}")
    data_format = config.standardize_data_format(data_format)
    h, w = known_size("elastic_transform", images, data_format)
    shifts = elastic_shifts(images, h, w, alpha, sigma, seed)
    at = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")).astype("float32")
    return read_batch(images, shifts + at[:, None], interpolation, fill_mode, fill_value, data_format)


def _shifts_shape(images, h, w, *settings):
    return (2, images[0] if len(images) == 4 else 1, h, w)


@op(shape=_shifts_shape, dtype="float32")
def elastic_shifts(images, h, w, alpha, sigma, seed=None):
    """Return random shifts (2: y and x, N, H, W) for ``elastic_transform``."""
    with backends.backend_scope(images.backend):
        noise = random.normal(_shifts_shape(images.shape, h, w), dtype="float32", seed=seed)
    backend, shifts = noise.backend, noise.array
    for axis, size in ((2, h), (3, w)):
        shifts = backend.resample(shifts, axis, smoothing(size, float(sigma)))
    return shifts * np.float32(alpha * sigma), None


def smoothing(size: int, sigma: float) -> np.ndarray:
    """Return the matrix (size, size) that smoothes an axis by a Gaussian cut at three sigma, zeros around."""
    at = np.arange(size)
    apart = np.abs(at[:, None] - at)
    reach = (int(6 * sigma) | 1) // 2
    whole = np.exp(-np.arange(-reach, reach + 1) ** 2 / (2 * sigma**2)).sum()
    return np.where(apart <= reach, np.exp(-(apart**2) / (2 * sigma**2)), 0.0) / whole
