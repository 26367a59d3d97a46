"""Control flow on tensors: cond, switch, loops, maps and scans.

Code runs eagerly here, so these are Python branches and loops, and a tape records what actually ran. A GPU is
waited for where a branch depends on a value. On symbolic tensors a loop is one step of the graph, whose
functions run with the model.
"""

from __future__ import annotations

import re

import numpy as np

from gpukeras import autograd, symbolic, tree
from gpukeras.ops.core import as_tensor
from gpukeras.symbolic import KerasTensor, any_symbolic
from gpukeras.tensor import Tensor


def cond(pred, true_fn, false_fn):
    """Return ``true_fn()`` where ``pred`` is true, else ``false_fn()``; only one of them runs.

    Parameters
    ----------
    pred : boolean scalar tensor or bool
    true_fn, false_fn : callable

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.array(3.0)
    >>> float(ops.cond(x > 2.0, lambda: x * 10.0, lambda: x))
    30.0
    """
    if isinstance(pred, KerasTensor):  # whoever runs the model needs both
        return _chosen(pred, true_fn(), false_fn())
    return true_fn() if bool(pred) else false_fn()


def _chosen(pred, yes, no):
    from gpukeras import ops

    return tree.map_structure(lambda a, b: ops.where(pred, a, b), yes, no, none_is_leaf=False)


def switch(index, branches, *operands):
    """Return ``branches[index](*operands)``; an index out of range is limited to it."""
    if not branches:
        raise ValueError("switch needs at least one branch")
    if isinstance(index, KerasTensor):
        results = [branch(*operands) for branch in branches]
        found = results[-1]
        for n, result in reversed(list(enumerate(results[:-1]))):
            found = _chosen(index <= n, result, found)
        return found
    place = min(max(int(index), 0), len(branches) - 1)
    return branches[place](*operands)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """Repeat ``loop_vars = body(*loop_vars)`` while ``cond(*loop_vars)`` is true.

    Parameters
    ----------
    cond, body : callable
    loop_vars : tuple, list or single value
        What goes around; the result has the same structure.
    maximum_iterations : int, optional

    Examples
    --------
    >>> from gpukeras import ops
    >>> int(ops.while_loop(lambda i: i < 10, lambda i: i + 3, (ops.array(0),))[0])
    12
    """
    single = not isinstance(loop_vars, (tuple, list))
    values = (loop_vars,) if single else tuple(loop_vars)
    values = tree.map_structure(as_tensor, values)
    more = cond(*values)
    if isinstance(more, KerasTensor):
        found = symbolic.alike(values)
        return symbolic.record(while_loop, cond, body, loop_vars, maximum_iterations,
                               outputs=found[0] if single else found)
    count = 0
    while (maximum_iterations is None or count < maximum_iterations) and bool(more):
        found = body(*values)
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        tree.assert_same_structure(found, values)
        values = tree.map_structure(as_tensor, found)
        more = cond(*values)
        count += 1
    return values[0] if single else values


def fori_loop(lower, upper, body_fun, init_val):
    """Return ``init_val`` after ``init_val = body_fun(i, init_val)`` for ``i`` in ``[lower, upper)``."""
    if any_symbolic((lower, upper)):
        outputs = symbolic.alike(tree.map_structure(as_tensor, init_val))
        return symbolic.record(fori_loop, lower, upper, body_fun, init_val, outputs=outputs)
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def _length(xs, name, length=None) -> int:
    sizes = {leaf.shape[0] if len(leaf.shape) else None for leaf in tree.flatten(xs)}
    if length is not None:
        sizes.add(int(length))
    size = next(iter(sizes)) if len(sizes) == 1 else None
    if size is None:
        found = sorted(str(n) for n in sizes)
        raise ValueError(f"{name} needs tensors with one known length along axis 0, came {found}")
    return size


def _stack(items):
    """Stack equally built results along a new first axis."""
    from gpukeras import ops

    if items[0] is None:
        return None
    leaves = [ops.stack(list(column), axis=0) for column in zip(*(tree.flatten(item) for item in items))]
    return tree.pack_sequence_as(items[0], leaves)


def map(f, xs):
    """Apply ``f`` to the slices of ``xs`` along axis 0 and stack the results.

    Parameters
    ----------
    f : callable
        Takes one slice of ``xs`` (with its structure).
    xs : tensor or structure of tensors
    """
    xs = tree.map_structure(as_tensor, xs)
    if any_symbolic(xs):
        result = _one_step(f, xs, "map")
        if result is not None:
            return symbolic.record(map, f, xs, outputs=_many(result, _unknown_length(xs)))
    count = _length(xs, "map")
    if not count:
        raise ValueError("map over tensors of length 0: the results' shape is not known")
    return _stack([f(tree.map_structure(lambda t: t[i], xs)) for i in range(count)])  # noqa: B023


def _unknown_length(xs):
    """Return the common length of tensors along axis 0, ``None`` where it is not known."""
    known = {leaf.shape[0] for leaf in tree.flatten(xs)} - {None}
    return next(iter(known)) if len(known) == 1 else None


def _one_step(f, xs, name, *carried):
    """Return ``f(*carried, x)`` for a symbolic slice; None where the loop must be written out.

    It must where ``f`` uses symbolic tensors that are no arguments: the step would not get their values.
    """
    def slice_of(t):
        return KerasTensor(t.shape[1:], t.dtype) if isinstance(t, KerasTensor) else t[0]

    given = [symbolic.alike(tree.map_structure(as_tensor, c)) for c in carried]
    x = tree.map_structure(slice_of, xs)
    result = tree.map_structure(as_tensor, f(*given, x), none_is_leaf=False)
    known = {id(t) for t in tree.flatten((given, x))}
    if all(id(t) in known for t in symbolic.sources(result)):
        return result
    if any(leaf.shape[0] is None for leaf in tree.flatten(xs)):
        raise ValueError(
            f"{name}: the function uses symbolic tensors of the model that are not among its arguments; pass "
            "them as part of the tensors it runs over"
        )
    return None


def _many(result, length):
    return tree.map_structure(lambda t: KerasTensor((length, *t.shape), str(t.dtype)), result,
                              none_is_leaf=False)


def vectorized_map(function, elements):
    """Apply ``function`` to the slices of ``elements`` along axis 0 and stack the results, as ``map``."""
    return map(function, elements)


def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """Run ``carry, y = f(carry, x)`` over the slices ``x`` of ``xs``; return the last carry and the stacked
    ``y``.

    Parameters
    ----------
    f : callable
    init : tensor or structure
        The first carry.
    xs : tensor or structure, optional
        ``None``: ``length`` steps with ``x = None``.
    length : int, optional
    reverse : bool
        From the last slice to the first; the results keep their places.
    unroll : int or bool
        Accepted for compatibility; has no effect.

    Examples
    --------
    >>> from gpukeras import ops
    >>> total, running = ops.scan(lambda c, x: (c + x, c + x), ops.array(0.0), ops.array([1.0, 2.0, 3.0]))
    >>> running.numpy()
    array([1., 3., 6.], dtype=float32)
    """
    if not callable(f):
        raise TypeError(f"scan: f must be callable, came {type(f).__name__}")
    if xs is None:
        if length is None:
            raise ValueError("scan needs xs or length")
        count = int(length)
    else:
        xs = tree.map_structure(as_tensor, xs)
        if any_symbolic((init, xs)):
            result = _one_step(f, xs, "scan", init)
            if result is not None:
                outputs = (symbolic.alike(result[0]), _many(result[1], length or _unknown_length(xs)))
                return symbolic.record(scan, f, init, xs, length, reverse, unroll, outputs=outputs)
        count = _length(xs, "scan", length)
    carry, ys = tree.map_structure(as_tensor, init), []
    for i in range(count - 1, -1, -1) if reverse else range(count):
        x = None if xs is None else tree.map_structure(lambda t: t[i], xs)  # noqa: B023
        carry, y = f(carry, x)
        ys.append(y)
    if not ys:
        return carry, None
    return carry, _stack(ys[::-1] if reverse else ys)


def associative_scan(f, elems, reverse=False, axis=0):
    """Return all running results of an associative ``f`` along ``axis``, in about ``2 log2(n)`` calls.

    Parameters
    ----------
    f : callable
        ``f(a, b)`` on structures like ``elems``; must be associative and work on whole slices at once.
    elems : tensor or structure
    reverse : bool
        Combine from the end.
    axis : int
    """
    from gpukeras import ops

    elems = tree.map_structure(as_tensor, elems)
    if any(None in t.shape for t in tree.flatten(elems)):
        return symbolic.record(associative_scan, f, elems, reverse, axis, outputs=symbolic.alike(elems))
    leaves = [ops.moveaxis(t, axis, 0) for t in tree.flatten(elems)]
    if reverse:
        leaves = [ops.flip(t, 0) for t in leaves]
    _length(leaves, "associative_scan")

    def combine(a, b):
        return tree.flatten(f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b)))

    found = _associative(combine, leaves)
    if reverse:
        found = [ops.flip(t, 0) for t in found]
    return tree.pack_sequence_as(elems, [ops.moveaxis(t, 0, axis) for t in found])


def _associative(combine, xs):
    """Pair neighbours, scan the pairs, and fill in the elements between."""
    from gpukeras import ops

    count = xs[0].shape[0]
    if count < 2:
        return xs
    pairs = combine([x[:-1:2] for x in xs], [x[1::2] for x in xs])
    odd = _associative(combine, pairs)  # results at 1, 3, 5, ...
    inner = [x[2::2] for x in xs]
    even = combine([o[: i.shape[0]] for o, i in zip(odd, inner)], inner) if count > 2 else inner
    found = []
    for x, o, e in zip(xs, odd, even):
        e = ops.concatenate([x[:1], e], axis=0)
        if e.shape[0] > o.shape[0]:
            mixed = ops.stack([e[:-1], o], axis=1)
            mixed = ops.concatenate([ops.reshape(mixed, (-1, *x.shape[1:])), e[-1:]], axis=0)
        else:
            mixed = ops.reshape(ops.stack([e, o], axis=1), (-1, *x.shape[1:]))
        found.append(mixed)
    return found


def vectorize(pyfunc, *, excluded=None, signature=None):
    """Return a function that applies ``pyfunc`` to every element (of broadcast arguments).

    Parameters
    ----------
    pyfunc : callable
        Takes scalars (scalar tensors) and returns a scalar or a tuple of them.
    excluded : set of int or str, optional
        Positions or names of arguments that are passed on whole.
    signature : str, optional
        Which last axes ``pyfunc`` takes and returns whole, such as ``"(n),(m,n)->(m)"``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> relative = ops.vectorize(lambda v: v / ops.sum(v), signature="(n)->(n)")
    >>> relative([[1.0, 3.0], [2.0, 2.0]]).tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    excluded = set(excluded or ())
    whole = None if signature is None else _parse_signature(signature)

    def call(*args, **kwargs):
        from gpukeras import ops

        places = [i for i in range(len(args)) if i not in excluded]
        names = [k for k in kwargs if k not in excluded]
        tensors = [as_tensor(args[i]) for i in places] + [as_tensor(kwargs[k]) for k in names]
        ranks = [0] * len(tensors) if whole is None else _core_ranks(whole, tensors, signature)
        loops = [t.shape[: len(t.shape) - r] for t, r in zip(tensors, ranks)]
        shape = np.broadcast_shapes(*loops)
        rows = [ops.reshape(ops.broadcast_to(t, (*shape, *t.shape[len(own):])), (-1, *t.shape[len(own):]))
                for t, own in zip(tensors, loops)]
        results = []
        for n in range(rows[0].shape[0]):
            now = list(args)
            for i, t in zip(places, rows):
                now[i] = t[n]
            results.append(pyfunc(*now, **{**kwargs, **{k: t[n] for k, t in zip(names, rows[len(places):])}}))
        found = _stack([tree.map_structure(as_tensor, r) for r in results])
        return tree.map_structure(lambda y: ops.reshape(y, (*shape, *y.shape[1:])), found)

    return call


def _parse_signature(signature: str) -> list[list[str]]:
    """Return the names of the whole axes of each argument for ``"(n),(m,n)->(m)"``."""
    given, arrow, results = signature.replace(" ", "").partition("->")
    group = r"\((?:\w+(?:,\w+)*)?\)"
    if not arrow or not all(re.fullmatch(f"{group}(?:,{group})*", side) for side in (given, results)):
        raise ValueError(f"vectorize: signature must look like '(n),(m,n)->(m)', came {signature!r}")
    return [[name for name in part.split(",") if name] for part in re.findall(r"\(([^)]*)\)", given)]


def _core_ranks(whole, tensors, signature) -> list[int]:
    """Return how many last axes of each tensor are passed whole; sizes of one name must be equal."""
    if len(whole) != len(tensors):
        raise TypeError(f"vectorize: {signature!r} takes {len(whole)} arguments, came {len(tensors)}")
    sizes: dict = {}
    for names, tensor in zip(whole, tensors):
        last = tensor.shape[len(tensor.shape) - len(names):] if names else ()
        if len(last) != len(names) or any(sizes.setdefault(k, n) != n for k, n in zip(names, last)):
            raise ValueError(
                f"vectorize: {signature!r} does not fit shapes {[tuple(t.shape) for t in tensors]}")
    return [len(names) for names in whole]


def jvp(fun, primals, tangents, has_aux=False):
    """Return ``fun(*primals)`` and its derivative in the direction ``tangents`` (forward mode).

    Parameters
    ----------
    fun : callable
    primals, tangents : tuple of tensors
    has_aux : bool
        ``fun`` returns a pair; its second part is passed on.

    Returns
    -------
    (outputs, output tangents) or, with ``has_aux``, (outputs, output tangents, aux)

    Notes
    -----
    The gradient is linear in the output gradient u, so differentiating ``<gradient(u), tangents>`` with
    respect to u gives the derivative. The ops of ``fun`` must be differentiable twice.
    """
    from gpukeras import ops

    if any_symbolic((primals, tangents)):
        result = fun(*symbolic.alike(tree.map_structure(as_tensor, tuple(primals))))
        outputs, aux = result if has_aux else (result, None)
        found = (symbolic.alike(outputs), symbolic.alike(outputs), symbolic.alike(aux) if has_aux else None)
        return symbolic.record(jvp, fun, primals, tangents, has_aux, outputs=found[: 2 + has_aux])
    primals = [Tensor(as_tensor(p).array) for p in primals]
    tangents = [as_tensor(t) for t in tangents]
    with autograd.GradientTape() as outer:
        with autograd.GradientTape() as inner:
            for p in primals:
                inner.watch(p)
            result = fun(*primals)
        outputs, aux = result if has_aux else (result, None)
        flat = tree.flatten(outputs)
        seeds = [ops.zeros_like(y) for y in flat]
        for s in seeds:
            outer.watch(s)
        grads = inner.gradient(flat, primals, seeds, unconnected_gradients="zero")
    found = outer.gradient(grads, seeds, tangents, unconnected_gradients="zero")
    moved = tree.pack_sequence_as(outputs, found)
    return (outputs, moved, aux) if has_aux else (outputs, moved)
