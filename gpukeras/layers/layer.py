"""``Layer``: state (weights), a call, and the book-keeping that every layer shares."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from gpukeras import autograd, config, dtype_policies, symbolic, tree
from gpukeras.layers.input_spec import InputSpec, check_inputs
from gpukeras.symbolic import KerasTensor, Operation
from gpukeras.tensor import Tensor, Variable, to_array

# Constructor arguments that only say something about the first layer of a Sequential model.
_SHAPE_ARGUMENTS = ("input_shape", "batch_input_shape", "batch_shape", "input_dim", "input_length",
                    "batch_size", "input_dtype")
# Attributes that hold layers or variables for book-keeping and own none of them.
_NOT_TRACKED = frozenset({"_inbound_nodes", "_losses", "_collected", "_init_args", "_added_metrics", "optimizer"})


class _CallState(threading.local):
    """What the layers being called in this thread share."""

    training: bool | None = None
    depth = 0
    path: tuple = ()
    losses: list | None = None  # of the outermost call


CALL = _CallState()


class Layer(Operation):
    """Base class of all layers.

    Subclasses write ``call``; where they have weights, ``build`` makes them with ``add_weight``.
    ``compute_output_shape`` may be left out: then symbolic inputs are traced through ``call``.

    Parameters
    ----------
    activity_regularizer : str, Regularizer or callable, optional
        Loss on the layer's output.
    trainable : bool
        Whether optimizers update the weights.
    dtype : str or DTypePolicy, optional
        Dtype of computation and weights, or a mixed policy.
    autocast : bool
        Whether floating inputs are cast to the compute dtype.
    name : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Scale(keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> Scale()(keras.ops.ones((2, 3))).shape
    (2, 3)
    """

    built = False

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls)
        layer._init_args = (args, kwargs)  # for get_config of classes that write none
        return layer

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None,
                 **kwargs):
        super().__init__(name)
        from gpukeras import regularizers

        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.dtype_policy = dtype_policies.get(dtype)
        self.autocast = autocast
        self.built = False
        self.input_spec: InputSpec | None = None
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._trainable = trainable
        self._trainable_variables: list[Variable] = []
        self._non_trainable_variables: list[Variable] = []
        self._losses: list = []
        self._collected: list | None = None
        self._added_metrics: list = []
        self._build_shape = None
        self._batch_input_shape = _first_shape(kwargs)
        self._input_dtype = kwargs.pop("input_dtype", None)
        self._initial_weights = kwargs.pop("weights", None)
        if kwargs:
            raise TypeError(
                f"{type(self).__name__}: unknown arguments {sorted(kwargs)}; the constructor takes "
                f"{[p for p in inspect.signature(type(self).__init__).parameters if p != 'self']}"
            )

    # ---- to be written by subclasses ------------------------------------------------------------
    def build(self, input_shape):
        """Make the weights; called once, before the first ``call``, with the shape of the inputs."""
        self.built = True

    def call(self, *args, **kwargs):
        """Compute the outputs; subclasses must write it."""
        raise NotImplementedError(f"layer {self.name!r} ({type(self).__name__}) has no call() method")

    def compute_output_shape(self, *args, **kwargs):
        """Return the shape of the outputs for the shape of the inputs."""
        specs = tree.map_structure(_spec_of, _as_shapes(args[0] if args else next(iter(kwargs.values()))))
        outputs = self._trace(specs)
        return tree.map_structure(lambda t: t.shape, outputs)

    def compute_mask(self, inputs, previous_mask=None):
        """Return the mask of the outputs; layers that support masking pass it on unchanged."""
        return previous_mask

    # ---- weights --------------------------------------------------------------------------------
    def add_weight(self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True,
                   regularizer=None, constraint=None, aggregation="none", overwrite_with_gradient=False,
                   name=None, **kwargs) -> Variable:
        """Make a weight of this layer.

        Parameters
        ----------
        shape : tuple of int
            ``()`` where not given: a scalar. (Old style: the name may come first.)
        initializer : str, Initializer or callable, optional
            Default: ``"glorot_uniform"`` for floats, ``"zeros"`` else.
        dtype : str, optional
            Default: the layer's variable dtype.
        trainable : bool
        regularizer, constraint : str or object, optional
        name : str, optional

        Returns
        -------
        Variable
        """
        from gpukeras import constraints, initializers, regularizers

        if "_trainable_variables" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() first")
        if isinstance(shape, str):  # Keras 2: add_weight("kernel", shape=...)
            raise TypeError(f"add_weight: shape must be a tuple, came {shape!r}; pass the name as name={shape!r}")
        if kwargs:
            allowed = ("synchronization", "use_resource", "getter", "collections", "experimental_autocast", "partitioner")
            unknown = [k for k in kwargs if k not in allowed]
            if unknown:
                raise TypeError(f"add_weight of layer {self.name!r}: unknown arguments {unknown}")
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(n is None for n in shape):
            raise ValueError(
                f"layer {self.name!r}: weight {name!r} would have shape {shape}; the input needs known sizes there"
            )
        dtype = dtype or self.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if str(dtype).startswith("float") else "zeros"
        variable = Variable(
            initializers.get(initializer), shape=shape, dtype=dtype, trainable=trainable, autocast=autocast,
            aggregation=aggregation, name=name, regularizer=regularizers.get(regularizer),
            constraint=constraints.get(constraint),
        )
        variable.overwrite_with_gradient = overwrite_with_gradient
        variable.path = "/".join((*self._path(), variable.name))
        (self._trainable_variables if trainable else self._non_trainable_variables).append(variable)
        if not self._trainable:
            variable.trainable = False
        return variable

    add_variable = add_weight

    def _path(self) -> tuple:
        return CALL.path if CALL.path and CALL.path[-1] == self.name else (*CALL.path, self.name)

    @property
    def path(self) -> str:
        return self.name

    def _tracked(self) -> Iterator:
        """Yield the layers and variables held by attributes, lists and dictionaries of this layer, in order."""
        for key, value in vars(self).items():
            if key not in _NOT_TRACKED:
                yield from _find(value)

    def _sublayers(self) -> list[Layer]:
        """Return the layers directly inside this one, each once, in order of their attributes."""
        return _unique(item for item in self._tracked() if isinstance(item, Layer))

    def _flatten_layers(self, include_self: bool = True) -> list[Layer]:
        """Return this layer and all layers inside, depth first, each once."""
        found: dict[int, Layer] = {}

        def visit(layer):
            if id(layer) not in found:
                found[id(layer)] = layer
                for inner in layer._sublayers():
                    visit(inner)

        visit(self)
        return list(found.values())[0 if include_self else 1:]

    def _own_variables(self) -> list[Variable]:
        """Return the variables of this layer itself: those made by ``add_weight`` and plain attributes."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        known = {id(v) for v in own}
        extra = _unique(v for v in self._tracked() if isinstance(v, Variable) and id(v) not in known)
        if not extra:
            return own
        return ([v for v in self._trainable_variables] + [v for v in extra if v._trainable]
                + self._non_trainable_variables + [v for v in extra if not v._trainable])

    @property
    def weights(self) -> list[Variable]:
        """All weights, trainable ones of a layer first."""
        return _unique(v for layer in self._flatten_layers() for v in layer._own_variables())

    @property
    def variables(self) -> list[Variable]:
        """All weights and other state."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes: none where ``trainable`` is false."""
        if not self._trainable:
            return []
        found: list[Variable] = []

        def visit(layer, seen):
            if id(layer) in seen or not layer._trainable:
                return
            seen.add(id(layer))
            found.extend(v for v in layer._own_variables() if v._trainable)
            for inner in layer._sublayers():
                visit(inner, seen)

        visit(self, set())
        return _unique(found)

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone."""
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether training changes this layer; setting it reaches all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        for variable in self._trainable_variables:
            variable.trainable = value
        for layer in self._sublayers():
            layer.trainable = value

    def count_params(self) -> int:
        """Return the number of numbers in all weights."""
        if not self.built:
            raise ValueError(f"layer {self.name!r} is not built yet, so its weights are not known; call it first")
        return sum(v.size for v in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights) -> None:
        """Set all weights from arrays in the order of ``get_weights``."""
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f"layer {self.name!r} has {len(variables)} weights, {len(weights)} were given"
                + ("" if self.built else "; it is not built yet: call it on data first")
            )
        for variable, value in zip(variables, weights):
            shape = tuple(np.shape(value.array if isinstance(value, Tensor) else value))
            if shape != variable.shape:
                raise ValueError(
                    f"layer {self.name!r}: weight {variable.path!r} has shape {variable.shape}, came {shape}"
                )
        for variable, value in zip(variables, weights):
            variable.assign(value)

    # ---- dtypes ---------------------------------------------------------------------------------
    @property
    def compute_dtype(self) -> str:
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self.dtype_policy.variable_dtype

    dtype = variable_dtype

    @property
    def input_dtype(self) -> str:
        return self.compute_dtype

    # ---- losses and metrics ------------------------------------------------------------------------
    def add_loss(self, loss) -> None:
        """Add a loss (a scalar tensor, a list of them, or a function without arguments) to this call."""
        for one in loss if isinstance(loss, (list, tuple)) else [loss]:
            if CALL.losses is not None:
                if self._collected is not CALL.losses:
                    self._collected, self._losses = CALL.losses, []
                CALL.losses.append(one)
            self._losses.append(one)

    @property
    def losses(self) -> list:
        """Losses of the last call (``add_loss``, activity regularizers) and of regularized weights."""
        found = []
        for layer in self._flatten_layers():
            # A layer that was not part of this layer's last call has nothing to say about it.
            if layer is self or self._collected is None or layer._collected is self._collected:
                found += [loss() if callable(loss) else loss for loss in layer._losses]
        return found + [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]

    def add_metric(self, value, aggregation="mean", name=None) -> None:
        """Report a tensor (averaged over the batches) or a metric object from inside ``call``."""
        from gpukeras import metrics

        if isinstance(value, metrics.Metric):
            if not any(value is m for m in self._added_metrics):
                self._added_metrics.append(value)
            return
        if name is None:
            raise ValueError(f"layer {self.name!r}: add_metric of a tensor needs name=...")
        if isinstance(value, KerasTensor):
            return  # traced: the values come when the model runs
        for metric in self._added_metrics:
            if metric.name == name:
                break
        else:
            metric = metrics.Mean(name=name)
            self._added_metrics.append(metric)
        with autograd.no_recording():
            metric.update_state(value)

    @property
    def metrics(self) -> list:
        """Metrics of this layer and the layers inside."""
        return [m for layer in self._flatten_layers() for m in layer._own_metrics()]

    def _own_metrics(self) -> list:
        from gpukeras.metrics import Metric

        found = [m for key, value in vars(self).items() if key not in _NOT_TRACKED
                 for m in _leaves(value) if isinstance(m, Metric)]
        return _unique([*found, *self._added_metrics])

    # ---- calling -------------------------------------------------------------------------------------
    def __call__(self, *args, **kwargs):
        args, kwargs, is_symbolic = self._prepare(args, kwargs)
        spec = _call_spec(type(self))
        first = args[0] if args else kwargs.get(spec.first)
        if self.input_spec is not None and first is not None:
            check_inputs(self.input_spec, first, self.name)
        depth, training, path, losses = CALL.depth, CALL.training, CALL.path, CALL.losses
        CALL.depth, CALL.path = depth + 1, (*path, self.name)
        if depth == 0:
            CALL.losses = self._collected = []
            self._losses = []
        try:
            if not self.built:
                self._build(spec, args, kwargs)
            resolved = kwargs.get("training")
            if resolved is None:
                resolved = training
            if resolved is None and spec.training:
                resolved = spec.training_default
            CALL.training = resolved
            if spec.training and resolved is not None and len(args) <= spec.training_position:
                kwargs["training"] = resolved
            elif not spec.training:
                kwargs.pop("training", None)
            if is_symbolic:
                return self.symbolic_call(*args, **kwargs)
            return self._run(spec, first, args, kwargs)
        finally:
            CALL.depth, CALL.training, CALL.path, CALL.losses = depth, training, path, losses

    def _prepare(self, args, kwargs):
        """Return the arguments with arrays as tensors of the compute dtype; tell whether any is symbolic."""
        if len(args) == 1 and not kwargs and type(args[0]) is Tensor:
            x = args[0]
            if x.array.dtype.kind != "f" or not self.autocast or x.array.dtype == self.compute_dtype:
                return args, kwargs, False
        dtype = self.compute_dtype if self.autocast else None
        is_symbolic = False

        def convert(x):
            nonlocal is_symbolic
            if isinstance(x, KerasTensor):
                is_symbolic = True
                if dtype and x.dtype != dtype and x.dtype.startswith("float"):
                    from gpukeras import ops

                    return ops.cast(x, dtype)
                return x
            if isinstance(x, np.ndarray) or (hasattr(x, "__cuda_array_interface__") and not isinstance(x, Tensor)):
                x = Tensor(to_array(x))
            if dtype and isinstance(x, Tensor) and x.array.dtype.kind == "f" and x.array.dtype != dtype:
                from gpukeras import ops

                mask, x = x._keras_mask, ops.cast(x, dtype)
                x._keras_mask = mask
            return x

        if args and isinstance(args[0], (list, tuple)) and args[0] and _is_numbers(args[0]):
            args = (np.asarray(args[0]), *args[1:])
        args = tuple(tree.map_structure(convert, a) for a in args)
        kwargs = {k: v if k in ("training", "mask") and not tree.is_nested(v) and not isinstance(v, np.ndarray)
                  and not isinstance(v, KerasTensor) else tree.map_structure(convert, v)
                  for k, v in kwargs.items()}
        return args, kwargs, is_symbolic

    def _build(self, spec, args, kwargs):
        """Call ``build`` with the shapes of the tensor arguments, without recording."""
        if "_trainable_variables" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() first")
        if type(self).build is not Layer.build:
            bound = dict(zip(spec.names, args)) | kwargs
            shapes = {k: tree.map_structure(_shape_of, v) for k, v in bound.items()
                      if tree.flatten(v) and all(hasattr(t, "shape") for t in tree.flatten(v))}
            names = _build_names(type(self))
            wanted = [n for n in names if n.removesuffix("_shape") in shapes]
            if len(names) > 1 and wanted:
                shapes = {f"{n.removesuffix('_shape')}_shape": shapes[n.removesuffix("_shape")] for n in wanted}
                call = lambda: self.build(**shapes)  # noqa: E731
                self._build_shape = shapes
            else:
                shape = next(iter(shapes.values()), None)
                call = lambda: self.build(shape)  # noqa: E731
                self._build_shape = shape
            with autograd.no_recording():
                call()
        self.built = True
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    def _run(self, spec, first, args, kwargs):
        """Call on real tensors: masks in, autocast, ``call``, activity regularizer, masks out."""
        mask = _masks(first)
        if mask is not None and spec.mask and kwargs.get("mask") is None:
            kwargs["mask"] = mask
        before = autograd.STATE.autocast
        policy = self.dtype_policy
        autograd.STATE.autocast = (
            policy.compute_dtype if policy.compute_dtype != policy.variable_dtype and self.autocast else None
        )
        try:
            outputs = self.call(*args, **kwargs)
        finally:
            autograd.STATE.autocast = before
        if self.activity_regularizer is not None:
            for output in tree.flatten(outputs):
                if isinstance(output, Tensor):
                    self.add_loss(self.activity_regularizer(output))
        if config._check_numerics:
            _check_finite(self, outputs)
        if mask is not None or type(self).compute_mask is not Layer.compute_mask:
            explicit = kwargs.get("mask") if spec.mask else None
            self._set_masks(first, outputs, explicit if explicit is not None else mask)
        return outputs

    def _set_masks(self, inputs, outputs, mask):
        if not self.supports_masking:
            if mask is not None and not getattr(self, "_consumes_masks", False):
                warnings.warn(
                    f"layer {self.name!r} ({type(self).__name__}) was given an input with a mask but does not "
                    "support masking; layers after it will not see the mask",
                    stacklevel=4,
                )
            return
        found = self.compute_mask(inputs, mask)
        if found is None:
            return
        flat = tree.flatten(outputs)
        masks = [found] * 1 if not isinstance(found, (list, tuple)) else list(found)
        for output, one in zip(flat, masks):
            if isinstance(output, Tensor) and one is not None and output._keras_mask is None:
                output._keras_mask = one

    # ---- symbolic -------------------------------------------------------------------------------------
    def symbolic_call(self, *args, **kwargs):
        """Record a call on symbolic tensors and return its symbolic outputs."""
        outputs = self.compute_output_spec(*args, **kwargs)
        recorded = {k: v for k, v in kwargs.items() if not (k == "training" and v == CALL.training)}
        if kwargs.get("training") is not None and CALL.depth == 1 and "training" in kwargs:
            explicit = kwargs["training"]
            default = _call_spec(type(self)).training_default
            if explicit != default:
                recorded["training"] = explicit
        symbolic.Node(self, args, recorded, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """Return symbolic outputs for symbolic inputs: by ``compute_output_shape`` where the class has one."""
        if type(self).compute_output_shape is not Layer.compute_output_shape and args:
            shape = self.compute_output_shape(tree.map_structure(_shape_of, args[0]))
            return _spec_tree(shape, self.compute_dtype)
        return self._trace(*args, **kwargs)

    def _trace(self, *args, **kwargs):
        """Run ``call`` on symbolic tensors for its shapes only."""
        try:
            outputs = self.call(*args, **kwargs)
        except TypeError as error:
            if "symbolic" not in str(error):
                raise
            raise TypeError(
                f"layer {self.name!r} ({type(self).__name__}): its call() needs values, but the model is only "
                f"being drawn up ({error}). Write compute_output_shape(self, input_shape), or use ops"
            ) from error
        return tree.map_structure(
            lambda t: KerasTensor(t.shape, str(t.dtype)) if hasattr(t, "shape") else t, outputs
        )

    # ---- configuration -----------------------------------------------------------------------------
    def get_config(self) -> dict:
        """Return the constructor arguments as plain values."""
        from gpukeras import regularizers

        base = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype_policy.name}
        if self.activity_regularizer is not None:
            base["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if type(self).get_config is not Layer.get_config or type(self).__init__ is Layer.__init__:
            return base
        return self._auto_config(base)

    def _auto_config(self, base: dict) -> dict:
        """Configuration of a class without ``get_config``: its constructor arguments, where they are plain."""
        args, kwargs = self._init_args
        bound = inspect.signature(type(self).__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        values = dict(list(bound.arguments.items())[1:])
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                values.update(values.pop(name, {}))
        for name, value in values.items():
            plain = (str, int, float, bool, type(None))
            if not all(isinstance(leaf, plain) for leaf in tree.flatten(value)):
                raise NotImplementedError(
                    f"{type(self).__name__} takes {name}={value!r}, which cannot be written down as it is; "
                    "write get_config(self) that returns the constructor arguments as plain values"
                )
        accepts = {p for p in inspect.signature(type(self).__init__).parameters}
        any_keyword = any(p.kind is p.VAR_KEYWORD for p in
                          inspect.signature(type(self).__init__).parameters.values())
        return {k: v for k, v in base.items() if any_keyword or k in accepts} | values

    @classmethod
    def from_config(cls, config: dict):
        """Make a layer from the result of ``get_config``."""
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(f"{cls.__name__} cannot be made from its configuration {config}: {error}") from error

    def get_build_config(self) -> dict | None:
        """Return the input shape the layer was built with."""
        return None if self._build_shape is None else {"input_shape": self._build_shape}

    def build_from_config(self, config: dict) -> None:
        """Build for the shape that ``get_build_config`` returned."""
        if config and not self.built:
            shape = config["input_shape"]
            if isinstance(shape, Mapping):
                self.build(**shape)
            else:
                self.build(shape)
            self._build_shape = shape
            self.built = True

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


# ---- helpers -----------------------------------------------------------------------------------------
class _CallSpec:
    """What a class's ``call`` takes."""

    def __init__(self, cls):
        parameters = [p for p in inspect.signature(cls.call).parameters.values() if p.name != "self"]
        self.names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.first = self.names[0] if self.names else None
        by_name = {p.name: p for p in parameters}
        self.training = "training" in by_name
        self.mask = "mask" in by_name
        self.training_position = self.names.index("training") if "training" in self.names else len(parameters)
        default = by_name["training"].default if self.training else None
        self.training_default = default if isinstance(default, bool) else None


_call_specs: dict[type, _CallSpec] = {}


def _call_spec(cls) -> _CallSpec:
    found = _call_specs.get(cls)
    if found is None:
        found = _call_specs[cls] = _CallSpec(cls)
    return found


def _build_names(cls) -> list[str]:
    return [n for n in inspect.signature(cls.build).parameters if n != "self"]


def _first_shape(kwargs: dict):
    """Take the arguments about the input's shape out of ``kwargs``; return it with its batch axis, or None."""
    given = {k: kwargs.pop(k) for k in _SHAPE_ARGUMENTS if k in kwargs and k != "input_dtype"}
    for name in ("batch_input_shape", "batch_shape"):
        if given.get(name) is not None:
            return tuple(given[name])
    batch = given.get("batch_size")
    if given.get("input_shape") is not None:
        shape = given["input_shape"]
        return (batch, *((shape,) if isinstance(shape, int) else tuple(shape)))
    if given.get("input_dim") is not None:
        length = given.get("input_length")
        middle = () if "input_length" not in given else (length,)
        return (batch, *middle, given["input_dim"])
    return None


def _find(value):
    """Yield layers and variables inside ``value``."""
    if isinstance(value, (Layer, Variable)):
        yield value
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _find(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _find(item)


def _leaves(value):
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _unique(items) -> list:
    """Return ``items`` without repetitions, by identity, in order."""
    return list({id(item): item for item in items}.values())


def _shape_of(x):
    return tuple(x.shape) if hasattr(x, "shape") else None


def _is_shape(value) -> bool:
    return isinstance(value, (tuple, list)) and all(n is None or isinstance(n, (int, np.integer)) for n in value)


def _as_shapes(shape):
    """Wrap the shapes in a structure so that ``tree`` takes each for one leaf."""
    if _is_shape(shape):
        return _Shape(shape)
    if isinstance(shape, Mapping):
        return {k: _as_shapes(v) for k, v in shape.items()}
    return [_as_shapes(s) for s in shape]


class _Shape:
    def __init__(self, sizes):
        self.sizes = tuple(sizes)


def _spec_of(shape: _Shape) -> KerasTensor:
    return KerasTensor(shape.sizes)


def _spec_tree(shape, dtype):
    """Turn a structure of shapes into a structure of symbolic tensors."""
    if _is_shape(shape):
        return KerasTensor(tuple(shape), dtype)
    if isinstance(shape, Mapping):
        return {k: _spec_tree(v, dtype) for k, v in shape.items()}
    return type(shape)(_spec_tree(s, dtype) for s in shape)


def _masks(first):
    """Return the masks of the first argument, in its structure, or ``None`` where there are none."""
    if type(first) is Tensor:
        return first._keras_mask
    if not tree.is_nested(first):
        return getattr(first, "_keras_mask", None)
    flat = tree.flatten(first)
    if all(getattr(x, "_keras_mask", None) is None for x in flat):
        return None
    return tree.map_structure(lambda x: getattr(x, "_keras_mask", None), first)


def _is_numbers(value) -> bool:
    """Tell whether a nested list holds plain numbers only."""
    leaf = value
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    return isinstance(leaf, (bool, int, float, np.generic))


def _check_finite(layer, outputs) -> None:
    for output in tree.flatten(outputs):
        if isinstance(output, Tensor) and output.dtype.kind == "f":
            xp = output.backend.xp
            if not bool(xp.isfinite(output.array).all()):
                inner = " (or a layer inside it that was called directly)" if layer._sublayers() else ""
                raise FloatingPointError(
                    f"layer {layer.name!r} ({type(layer).__name__}){inner} produced NaN or infinity, output "
                    f"shape {output.shape}. Usual causes: a learning rate that is too high, log or division of "
                    "zero, or inputs that hold NaN"
                )
