"""``Case``: a layer, how it is made and called, and what is known of it."""

import numpy as np

BATCH = 3
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]], bool)  # for inputs of five steps


class Case:
    """A layer class with its settings, inputs and call.

    Parameters
    ----------
    name : str
        Of the class in ``keras.layers``.
    kwargs : dict or callable
        Constructor arguments, or a function of the ``layers`` module that returns them (inner layers).
    *shapes : tuple of int
        Shape of one sample for each input; three samples are drawn.
    values : list of arrays, optional
        The inputs themselves, with their batch axis, instead of ``shapes``.
    integers : int, optional
        Inputs are integers below this number.
    interval : (float, float)
        Inputs are floats from this interval.
    call : dict, optional
        Further arguments of the call; arrays among them become tensors.
    training : bool, optional
        Mode of the call; the layer's default unless given.
    random : bool
        In training mode random numbers are drawn, which differ between libraries and devices: values are
        compared in inference mode only.
    keras3 : bool
        Keras 3 has the layer, and it runs there without TensorFlow.
    gradients : bool
        The layer passes gradients to floating inputs.
    tolerance : float
        Relative, and absolute in units of the largest value.
    setup : callable, optional
        ``f(layer, inputs)`` before the first call, on theirs and ours alike (``adapt``).
    spread : bool
        The inputs are given one by one, not as a list.
    """

    def __init__(self, name, kwargs, *shapes, values=None, integers=None, interval=(-2.0, 2.0), call=None,
                 training=None, random=False, keras3=True, gradients=True, tolerance=1e-5, setup=None,
                 spread=False):
        self.name, self.kwargs, self.shapes, self.values = name, kwargs, shapes, values
        self.integers, self.interval, self.call, self.training = integers, interval, call or {}, training
        self.random, self.keras3, self.tolerance, self.setup = random, keras3, tolerance, setup
        self.spread = spread
        self.gradients = gradients and all(x.dtype.kind == "f" for x in self.data())

    def make(self, module, **extra):
        """Return the layer of a library's ``layers`` module."""
        kwargs = self.kwargs(module) if callable(self.kwargs) else self.kwargs
        return getattr(module, self.name)(**kwargs, **extra)

    def data(self) -> list:
        """Return the inputs, the same ones each time."""
        if self.values is not None:
            return [np.array(v) for v in self.values]
        rng = np.random.default_rng(3)
        if self.integers:
            return [rng.integers(0, self.integers, (BATCH, *s)).astype("int32") for s in self.shapes]
        return [rng.uniform(*self.interval, (BATCH, *s)).astype("float32") for s in self.shapes]

    def arguments(self, data) -> tuple:
        """Return inputs, or what stands for them, as positional arguments of a call."""
        return tuple(data) if self.spread else (data[0] if len(data) == 1 else data,)

    def keywords(self, convert) -> dict:
        """Return the further arguments of the call, with arrays as ``convert`` makes them."""
        def made(value):
            if isinstance(value, (list, tuple)):
                return [made(v) for v in value]
            return convert(value) if isinstance(value, np.ndarray) else value

        return {name: made(value) for name, value in self.call.items()}

    def compare(self, found, expected, what: str) -> None:
        """Demand that two arrays agree within the case's tolerance."""
        assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
        if expected.dtype.kind not in "fc":
            np.testing.assert_array_equal(found, expected, what)
            return
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(
            found, expected, rtol=self.tolerance, atol=self.tolerance * scale, err_msg=what)

    def __repr__(self):
        kwargs = "..." if callable(self.kwargs) else ", ".join(f"{k}={v}" for k, v in self.kwargs.items())
        more = "".join(f", {k}" for k in self.call)
        more += f", training={self.training}" if self.training is not None else ""
        shape = self.shapes[0] if self.shapes else self.values[0].shape
        return f"{self.name}({kwargs}){more}-{'x'.join(map(str, shape))}"


def images(name, *many, shape=(6, 7, 4), **settings):
    """Return one case of images for each dictionary of constructor arguments."""
    return [Case(name, kwargs, shape, **settings) for kwargs in many]


def random_weights(layer) -> list:
    """Return values for a layer's weights that no default would give; what must be positive is."""
    rng = np.random.default_rng(5)
    values = []
    for weight in layer.weights:
        if np.dtype(str(weight.dtype)).kind != "f":  # seeds and counters
            values.append(np.array(weight))
            continue
        sign = 1 if weight.name.startswith(("moving", "renorm", "var")) else rng.choice([-1, 1], weight.shape)
        values.append(rng.uniform(0.2, 1.0, weight.shape).astype("float32") * sign)
    return values
