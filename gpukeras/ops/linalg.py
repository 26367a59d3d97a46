"""Inverses, determinants, solvers, factorisations, norms of matrices.

All work on the last two axes, batch axes in front. float16 is computed in float32.
"""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.control import jvp  # noqa: F401  (keras.ops.linalg.jvp)
from gpukeras.ops.core import as_tensor, no_gradient
from gpukeras.ops.math import unbroadcast
from gpukeras.ops.products import matmul
from gpukeras.ops.reduction import _safe_sqrt
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _matrices(name, x, square=True):
    """Return the array module, the array as float32|64 and the result dtype; check the shape."""
    _square(name, x.shape) if square else _rank2(name, x.shape)
    result = dtypes.float_type(x.dtype)
    return x.backend.xp, x.array.astype(dtypes.wide(result), copy=False), result


def _rank2(name, shape):
    if len(shape) < 2:
        raise ValueError(f"{name} needs matrices, shape (..., M, N); came shape {tuple(shape)}")


def _square(name, shape):
    _rank2(name, shape)
    if shape[-1] != shape[-2] and None not in shape[-2:]:
        raise ValueError(f"{name} needs square matrices, shape (..., M, M); came shape {tuple(shape)}")


def _t(x):
    from gpukeras import ops

    return ops.swapaxes(x, -1, -2)


def _known(y, again):
    """Return the result computed before, as a constant, or computed again where a tape records."""
    return again() if _STATE.tapes else Tensor(y)


def _linalg_call(name, function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"{name}: {error}; check the matrix, or add a small multiple of the identity"
        ) from error


def _square_shape(x, *args, **kwargs):
    _square("this op", x)
    return tuple(x)


# ---- inverses and determinants --------------------------------------------------------------------
@op(shape=_square_shape, dtype="float")
def inv(x):
    """Return the inverse of square matrices.

    Raises
    ------
    ValueError
        Where a matrix is singular (on the CPU; a GPU gives infinities or NaN).
    """
    xp, a, kind = _matrices("inv", x)
    y = _linalg_call("inv", xp.linalg.inv, a).astype(kind, copy=False)

    def vjp(dy):
        transposed = _t(_known(y, lambda: inv(x)))
        return -matmul(matmul(transposed, dy), transposed)

    return y, vjp


def _det_shape(x):
    _square("det", x)
    return tuple(x[:-2])


@op(shape=_det_shape, dtype="float")
def det(x):
    """Return the determinant of square matrices; the gradient needs them to be invertible."""
    xp, a, kind = _matrices("det", x)
    y = xp.asarray(xp.linalg.det(a)).astype(kind, copy=False)
    return y, lambda dy: (dy * _known(y, lambda: det(x)))[..., None, None] * _t(inv(x))


@op(shape=lambda x: [_det_shape(x)] * 2, dtype="float")
def slogdet(x):
    """Return sign and logarithm of the absolute value of the determinant."""
    xp, a, kind = _matrices("slogdet", x)
    sign, logarithm = (xp.asarray(v).astype(kind, copy=False) for v in xp.linalg.slogdet(a))

    def vjp(dys):
        return None if dys[1] is None else dys[1][..., None, None] * _t(inv(x))

    return (sign, logarithm), vjp


def logdet(x):
    """Return the logarithm of the determinant of positive definite matrices."""
    return slogdet(x)[1]


# ---- linear systems -------------------------------------------------------------------------------
def _solve_shape(a, b, lower=False):
    _square("solve", a)
    if len(b) not in (len(a), len(a) - 1):
        raise ValueError(
            f"solve: b must have shape (..., M) or (..., M, K), came {tuple(b)} beside a {tuple(a)}"
        )
    size = b[-2] if len(b) == len(a) else b[-1]
    if None not in (size, a[-1]) and size != a[-1]:
        raise ValueError(f"solve: a {tuple(a)} and b {tuple(b)} do not fit; expected {a[-1]} rows in b")
    rows = 2 if len(b) == len(a) else 1
    return (*shapes.broadcast(a[:-2], b[:-rows]), *b[-rows:])


def _solve(name, a, b, prepare, again):
    """Solve ``prepare(a) x = b``; ``again(dx)`` solves the transposed system."""
    from gpukeras import ops

    _solve_shape(a.shape, b.shape)
    kind = dtypes.result_type(dtypes.float_type(a.dtype), dtypes.float_type(b.dtype))
    work = dtypes.wide(kind)
    xp = a.backend.xp
    vector = b.ndim == a.ndim - 1
    left, right = prepare(xp, a.array.astype(work, copy=False)), b.array.astype(work, copy=False)
    right = right[..., None] if vector else right
    if left.shape[:-2] != right.shape[:-2]:  # CuPy's solve does not broadcast
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left, right = (xp.broadcast_to(m, (*batch, *m.shape[-2:])) for m in (left, right))
    y = _linalg_call(name, xp.linalg.solve, left, right)
    y = (y[..., 0] if vector else y).astype(kind, copy=False)

    def vjp(dy):
        db = again(dy)
        if not a.uid:
            return None, unbroadcast(db, b)
        x = _known(y, lambda: ops.solve(a, b) if name == "solve" else None)
        da = db[..., :, None] * x[..., None, :] if vector else matmul(db, _t(x))
        return unbroadcast(-da, a), unbroadcast(db, b)

    return y, vjp


@op(shape=_solve_shape, tensors=2, dtype="float")
def solve(a, b):
    """Return ``x`` with ``a x = b``.

    Parameters
    ----------
    a : tensor, shape (..., M, M)
    b : tensor, shape (..., M) or (..., M, K)
    """
    return _solve("solve", a, b, lambda xp, m: m, lambda dy: solve(_t(a), dy))


@op(shape=_solve_shape, tensors=2, dtype="float")
def solve_triangular(a, b, lower=False):
    """Return ``x`` with ``a x = b`` for triangular ``a``; the other triangle is not read.

    Parameters
    ----------
    a : tensor, shape (..., M, M)
    b : tensor, shape (..., M) or (..., M, K)
    lower : bool
        Whether ``a`` is a lower triangular matrix.
    """
    from gpukeras import ops

    y, plain = _solve(
        "solve_triangular", a, b, lambda xp, m: (xp.tril if lower else xp.triu)(m),
        lambda dy: solve_triangular(_t(a), dy, not lower),
    )

    def vjp(dy):
        if _STATE.tapes:
            vector = b.ndim == a.ndim - 1
            db, x = solve_triangular(_t(a), dy, not lower), solve_triangular(a, b, lower)
            da = unbroadcast(-(db[..., :, None] * x[..., None, :] if vector else matmul(db, _t(x))), a)
            db = unbroadcast(db, b)
        else:
            da, db = plain(dy)
        return None if da is None else (ops.tril if lower else ops.triu)(da), db

    return y, vjp


def _lstsq_shape(a, b, rcond=None):
    _rank2("lstsq", a)
    return (a[-1], *b[1:])


@op(shape=_lstsq_shape, tensors=2, dtype="float")
def lstsq(a, b, rcond=None):
    """Return the least-squares solution of ``a x = b`` of smallest norm.

    Parameters
    ----------
    a : tensor, shape (M, N)
    b : tensor, shape (M,) or (M, K)
    rcond : float, optional
        Singular values below ``rcond`` times the largest count as 0; by default the machine precision times
        ``max(M, N)``.
    """
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError(f"lstsq: expected a (M, N) and b (M,) or (M, K), came {a.shape} and {b.shape}")
    xp, m, kind = _matrices("lstsq", a, square=False)
    right = b.array.astype(m.dtype, copy=False)
    y = xp.linalg.lstsq(m, right, rcond)[0].astype(kind, copy=False)

    def vjp(dy):
        p = pinv(a, rcond)
        db = matmul(_t(p), dy)
        if not a.uid:
            return None, db
        g = dy[:, None] * b[None, :] if b.ndim == 1 else matmul(dy, _t(b))
        return _pinv_vjp(g, a, p), db

    return y, vjp


@op(shape=lambda x, rcond=None: (*x[:-2], x[-1], x[-2]), dtype="float")
def pinv(x, rcond=None):
    """Return the Moore-Penrose inverse; singular values below ``rcond`` times the largest count as 0.

    Notes
    -----
    The gradient supposes that the rank does not change nearby (Golub and Pereyra, 1973).
    """
    xp, a, kind = _matrices("pinv", x, square=False)
    if rcond is None:
        rcond = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
    y = xp.linalg.pinv(a, rcond).astype(kind, copy=False)
    return y, lambda dy: _pinv_vjp(dy, x, _known(y, lambda: pinv(x, rcond)))


def _pinv_vjp(g, a, p):
    """Return the gradient of ``a`` for the gradient ``g`` of its pseudo-inverse ``p``."""
    from gpukeras import ops

    rows, columns = a.shape[-2:]
    pt, gt = _t(p), _t(g)
    left = ops.eye(rows, dtype=a.dtype) - matmul(a, p)
    right = ops.eye(columns, dtype=a.dtype) - matmul(p, a)
    found = matmul(matmul(left, gt), matmul(p, pt)) + matmul(matmul(pt, p), matmul(gt, right))
    return found - matmul(matmul(pt, g), pt)


@op(shape=lambda x, tol=None: tuple(x[:-2]), dtype="int32")
def matrix_rank(x, tol=None):
    """Return how many singular values exceed ``tol`` (default: largest * max(M, N) * machine precision)."""
    xp, a, _ = _matrices("matrix_rank", x, square=False)
    s = xp.linalg.svd(a, compute_uv=False)
    if tol is None:
        tol = s.max(axis=-1, keepdims=True) * (max(a.shape[-2:]) * float(np.finfo(a.dtype).eps))
    return (s > tol).sum(axis=-1, dtype="int32"), None


# ---- factorisations -------------------------------------------------------------------------------
@op(shape=_square_shape, dtype="float")
def cholesky(x, upper=False):
    """Return the triangular factor ``L`` of positive definite matrices, ``x = L Lᵀ`` (``upper``: ``x = Uᵀ
    U``).

    Only the lower triangle of ``x`` is read; the gradient is symmetric.
    """
    xp, a, kind = _matrices("cholesky", x)
    y = _linalg_call("cholesky", xp.linalg.cholesky, a).astype(kind, copy=False)

    def vjp(dy):
        from gpukeras import ops

        low = _known(y, lambda: cholesky(x))
        p = ops.tril(matmul(_t(low), _t(dy) if upper else dy))
        half = ops.tril(ops.ones(p.shape[-2:], p.dtype)) - ops.eye(p.shape[-1], dtype=p.dtype) * 0.5
        p = p * half
        # Lᵀ⁻¹ P L⁻¹, then its symmetric part
        s = solve_triangular(_t(low), _t(solve_triangular(_t(low), _t(p))))
        return (s + _t(s)) * 0.5

    return (y.swapaxes(-1, -2) if upper else y), vjp


def cholesky_inverse(x, upper=False):
    """Return the inverse of ``L Lᵀ`` (``upper``: ``Uᵀ U``) from its triangular factor ``x``."""
    from gpukeras import ops

    x = as_tensor(x)
    low = _t(x) if upper else x
    whole = inv(ops.tril(low))
    return matmul(_t(whole), whole)


def _qr_shape(x, mode="reduced"):
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', came {mode!r}")
    _rank2("qr", x)
    rows, columns = x[-2:]
    if None in (rows, columns):
        k = None
    else:
        k = min(rows, columns) if mode == "reduced" else rows
    return [(*x[:-2], rows, k), (*x[:-2], k, columns)]


@op(shape=_qr_shape, dtype="float")
def qr(x, mode="reduced"):
    """Return ``q`` (orthonormal columns) and ``r`` (upper triangular) with ``x = q r``.

    The gradient exists for ``mode="reduced"`` and matrices with at least as many rows as columns.
    """
    _qr_shape(x.shape, mode)
    xp, a, kind = _matrices("qr", x, square=False)
    q, r = (v.astype(kind, copy=False) for v in xp.linalg.qr(a, mode))
    if a.shape[-2] < a.shape[-1] or (mode == "complete" and a.shape[-2] != a.shape[-1]):
        return (q, r), no_gradient(
            f"qr of shape {a.shape} with mode={mode!r}", "use mode='reduced' and no more columns than rows"
        )

    def vjp(dys):
        from gpukeras import ops

        dq, dr = dys
        fq, fr = qr(x, mode) if _STATE.tapes else (Tensor(q), Tensor(r))
        m = 0
        if dr is not None:
            m = matmul(fr, _t(dr))
        if dq is not None:
            m = m - matmul(_t(dq), fq)
        m = ops.tril(m) + _t(ops.tril(m, -1))
        g = matmul(fq, m)
        if dq is not None:
            g = g + dq
        return _t(solve_triangular(fr, _t(g)))

    return (q, r), vjp


def _svd_shape(x, full_matrices=True, compute_uv=True):
    _rank2("svd", x)
    rows, columns = x[-2:]
    k = None if None in (rows, columns) else min(rows, columns)
    if not compute_uv:
        return (*x[:-2], k)
    lead = tuple(x[:-2])
    return [
        (*lead, rows, rows if full_matrices else k), (*lead, k), (*lead, columns if full_matrices else k,
        columns)
    ]


def _off_diagonal(differences):
    """Return ``1 / differences`` with zeros on the diagonal, as a constant-safe op expression."""
    from gpukeras import ops

    return ops.divide_no_nan(ops.ones_like(differences), differences)


@op(shape=_svd_shape, dtype="float")
def svd(x, full_matrices=True, compute_uv=True):
    """Return ``u``, ``s``, ``vh`` with ``x = u diag(s) vh`` (only ``s`` without ``compute_uv``).

    Notes
    -----
    Gradients of ``u`` and ``vh`` need distinct singular values and, where the matrix is not square,
    ``full_matrices=False``. They are first order only.
    """
    xp, a, kind = _matrices("svd", x, square=False)
    record = _STATE.tapes
    if not compute_uv and not record:
        return xp.linalg.svd(a, compute_uv=False).astype(kind, copy=False), None
    full = full_matrices and compute_uv
    u, s, vh = (v.astype(kind, copy=False) for v in xp.linalg.svd(a, full_matrices=full))
    k = s.shape[-1]

    def vjp(dys):
        if _STATE.tapes:
            raise NotImplementedError(
                "svd has no second gradient; take the inner gradient outside the outer tape"
            )
        du, ds, dvh = dys if isinstance(dys, tuple) else (None, dys, None)
        if full and a.shape[-1] != a.shape[-2] and (du is not None or dvh is not None):
            raise NotImplementedError("svd: u and vh have gradients only with full_matrices=False")
        ut, st, vt = Tensor(u[..., :k]), Tensor(s), Tensor(vh[..., :k, :])
        return _svd_vjp(ut, st, vt, du, ds, dvh)

    return ((u, s, vh) if compute_uv else s), vjp


def _svd_vjp(u, s, vh, du, ds, dvh):
    """Return the gradient of the matrix (Townsend, "Differentiating the SVD", 2016)."""
    from gpukeras import ops

    v = _t(vh)
    squares = ops.square(s)
    f = _off_diagonal(squares[..., None, :] - squares[..., :, None])
    eye = ops.eye(s.shape[-1], dtype=s.dtype)
    middle = 0 if ds is None else eye * ds[..., None, :]
    outside = 0
    if du is not None:
        j = f * matmul(_t(u), du)
        middle = middle + (j + _t(j)) * s[..., None, :]
        rest = du - matmul(u, matmul(_t(u), du))
        outside = outside + matmul(rest / s[..., None, :], vh)
    if dvh is not None:
        dv = _t(dvh)
        k = f * matmul(vh, dv)
        middle = middle + s[..., :, None] * (k + _t(k))
        rest = dvh - matmul(matmul(dvh, v), vh)
        outside = outside + matmul(u / s[..., None, :], rest)
    return matmul(matmul(u, middle), vh) + outside


@op(shape=lambda x: [tuple(x[:-1]), _square_shape(x)], dtype="float")
def eigh(x):
    """Return eigenvalues (rising) and eigenvectors (columns) of symmetric matrices.

    Only the lower triangle is read; the gradient is symmetric and needs distinct eigenvalues where the
    vectors are used.
    """
    xp, a, kind = _matrices("eigh", x)
    w, v = (m.astype(kind, copy=False) for m in xp.linalg.eigh(a))

    def vjp(dys):
        from gpukeras import ops

        dw, dv = dys
        fw, fv = _known(w, lambda: eigh(x)[0]), _known(v, lambda: eigh(x)[1])
        eye = ops.eye(a.shape[-1], dtype=fw.dtype)
        middle = 0 if dw is None else eye * dw[..., None, :]
        if dv is not None:
            f = _off_diagonal(fw[..., None, :] - fw[..., :, None])
            middle = middle + f * matmul(_t(fv), dv)
        g = matmul(matmul(fv, middle), _t(fv))
        return (g + _t(g)) * 0.5

    return (w, v), vjp


def _eig_dtype(x):
    return ["complex128" if dtypes.float_type(x) == "float64" else "complex64"] * 2


@op(shape=lambda x: [tuple(x[:-1]), _square_shape(x)], dtype=_eig_dtype)
def eig(x):
    """Return eigenvalues and eigenvectors (columns of length 1) of square matrices, as complex numbers.

    Notes
    -----
    With ``P = V^-1 dA V`` and ``F_ij = 1 / (w_j - w_i)``, 0 on the diagonal, ``dw = diag(P)`` and ``dV`` is
    ``V (F * P)`` less what would change lengths. Gradients of the vectors need distinct eigenvalues, and a
    loss that does not depend on their directions in the complex plane. No second derivatives.

    Examples
    --------
    >>> from gpukeras import ops
    >>> values, _ = ops.eig([[0.0, 1.0], [-1.0, 0.0]])
    >>> ops.sort(ops.imag(values)).tolist()
    [-1.0, 1.0]
    """
    xp, a, _ = _matrices("eig", x)
    kind = "complex128" if a.dtype == "float64" else "complex64"
    w, v = (m.astype(kind, copy=False) for m in xp.linalg.eig(a))

    def vjp(dys):
        if autograd.recording():
            raise NotImplementedError("eig has no second derivative; use eigh for symmetric matrices")
        dw, dv = (None if dy is None else dy.array for dy in dys)
        eye = xp.eye(a.shape[-1], dtype=a.dtype)
        middle = 0 if dw is None else eye * dw[..., None, :]
        if dv is not None:
            between = w[..., None, :] - w[..., :, None]
            f = xp.where(between == 0, 0, 1 / (between + (between == 0)))
            along = (dv * v).sum(axis=-2, keepdims=True).real
            middle = middle + f * xp.matmul(xp.swapaxes(v, -1, -2), dv - v.conj() * along)
        turned = xp.swapaxes(v, -1, -2)
        return xp.matmul(xp.linalg.solve(turned, middle), turned).real.astype(x.dtype)

    return (w, v), vjp


def _lu_shape(x):
    _rank2("lu_factor", x)
    return [tuple(x), (*x[:-2], None if None in x[-2:] else min(x[-2:]))]


@op(shape=_lu_shape, dtype=lambda x: [dtypes.float_type(x).name, "int32"])
def lu_factor(x):
    """Return the LU factors of matrices in one array (unit lower, upper) and the row exchanged at each step.

    Has no gradient.
    """
    xp, a, kind = _matrices("lu_factor", x, square=False)
    rows, columns = a.shape[-2:]
    lu = a.reshape(-1, rows, columns).copy()
    every = xp.arange(lu.shape[0])
    pivots = []
    for k in range(min(rows, columns)):
        p = xp.abs(lu[:, k:, k]).argmax(axis=1) + k
        pivots.append(p)
        swapped = lu[every, p].copy()
        lu[every, p] = lu[:, k]
        lu[:, k] = swapped
        pivot = lu[:, k, k]
        lu[:, k + 1:, k] /= xp.where(pivot == 0, xp.ones_like(pivot), pivot)[:, None]
        lu[:, k + 1:, k + 1:] -= lu[:, k + 1:, k, None] * lu[:, k, None, k + 1:]
    order = xp.stack(pivots, axis=-1).reshape(*a.shape[:-2], -1).astype("int32")
    return (lu.reshape(a.shape).astype(kind, copy=False), order), no_gradient("lu_factor", "use ops.solve")


# ---- norms ----------------------------------------------------------------------------------------
def norm(x, ord=None, axis=None, keepdims=False):
    """Return a norm of vectors or matrices.

    Parameters
    ----------
    x : tensor
    ord : {None, "fro", "nuc"}, int, float or inf
        Vectors: the p-norm (2 unless given; 0 counts what is not 0; ±inf the largest or smallest size).
        Matrices: ``"fro"`` (also ``None``), ``"nuc"``, ±1, ±2, ±inf.
    axis : int or pair of int, optional
        One axis: vectors. Two: matrices. None: all of ``x`` flattened, or with ``ord`` a vector or matrix by
        rank.
    keepdims : bool

    Examples
    --------
    >>> from gpukeras import ops
    >>> float(ops.norm([3.0, 4.0]))
    5.0
    """
    from gpukeras import ops

    x = as_tensor(x)
    if not dtypes.is_float(x.dtype):
        x = ops.cast(x, dtypes.floatx())
    rank = len(x.shape)
    if axis is None:
        if ord is None or (ord == 2 and rank == 1):
            return _safe_sqrt(ops.sum(ops.square(x), None, keepdims))
        if rank not in (1, 2):
            raise ValueError(f"norm: ord={ord!r} of a tensor of rank {rank} needs axis=")
        axes = tuple(range(rank))
    else:
        axes = (axis,) if hasattr(axis, "__index__") else tuple(axis)
        axes = tuple(shapes.normalize_axis(int(i), rank) for i in axes)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm: axis must name one or two axes, came {axis!r}")


def _vector_norm(x, ord, axis, keepdims):
    from gpukeras import ops

    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is for matrices; give two axes")
    if ord is None or ord == 2:
        return _safe_sqrt(ops.sum(ops.square(x), axis, keepdims))
    if ord == float("inf"):
        return ops.max(ops.abs(x), axis, keepdims)
    if ord == -float("inf"):
        return ops.min(ops.abs(x), axis, keepdims)
    if ord == 0:
        return ops.sum(ops.cast(ops.not_equal(x, 0), x.dtype), axis, keepdims)
    if ord == 1:
        return ops.sum(ops.abs(x), axis, keepdims)
    return ops.power(ops.sum(ops.power(ops.abs(x), ord), axis, keepdims), 1.0 / ord)


def _matrix_norm(x, ord, axes, keepdims):
    from gpukeras import ops

    if ord is None or ord == "fro":
        return _safe_sqrt(ops.sum(ops.square(x), axes, keepdims))
    rows, columns = axes
    if ord in (1, -1, float("inf"), -float("inf")):
        inner, outer = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = ops.sum(ops.abs(x), inner, True)
        found = (ops.max if ord > 0 else ops.min)(sums, outer, True)
    elif ord in (2, -2, "nuc"):
        s = svd(ops.moveaxis(x, axes, (-2, -1)), compute_uv=False)
        found = {2: ops.max, -2: ops.min, "nuc": ops.sum}[ord](s, -1, False)
        return ops.expand_dims(found, sorted(axes)) if keepdims else found
    else:
        raise ValueError(f"norm: ord of matrices must be None, 'fro', 'nuc', ±1, ±2 or ±inf, came {ord!r}")
    return found if keepdims else ops.squeeze(found, axes)
