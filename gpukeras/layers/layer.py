"""``Layer``: state (weights), a call, and the book-keeping that every layer shares."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sys
import types
import warnings
from collections.abc import Mapping

import numpy as np

from gpukeras import (
    autograd,
    backends,
    config,
    dtype_policies,
    dtypes,
    rematerialization,
    sparse,
    symbolic,
    tree,
)
from gpukeras.layers.call_spec import (
    CallSpec,
    as_tuples,
    call_spec,
    is_numbers,
    masks_of,
    shape_of,
    shapes_for,
    specs_of_shapes,
)
from gpukeras.layers.calls import Called
from gpukeras.layers.input_spec import InputSpec, check_inputs
from gpukeras.layers.stand_in import has_unknown_sizes, trace_with_stand_ins, without_stand_ins
from gpukeras.layers.tracking import CALLS
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array
from gpukeras.text import is_text, string_tensor

# Constructor arguments that only say something about the first layer of a Sequential model.
_SHAPE_ARGUMENTS = ("input_shape", "batch_input_shape", "batch_shape", "input_dim", "input_length",
                    "batch_size")
_PLAIN = (str, int, float, bool, type(None))
_new_call_number = itertools.count(1).__next__


class _ConstructorSignature:
    """What ``help`` and notebooks show for a layer class: its constructor, not the general ``__new__``."""

    def __get__(self, layer, cls):
        if layer is not None:
            raise AttributeError("__signature__")  # a layer itself is called like its ``call``
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Layer(Called):
    """Base class of all layers.

    Subclasses write ``call``; where they have weights, ``build`` makes them with ``add_weight``.
    ``compute_output_shape`` may be left out: then symbolic inputs are traced through ``call``.

    Parameters
    ----------
    activity_regularizer : str, Regularizer or callable, optional
        Loss on the layer's output, divided by the number of samples.
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
    takes_text = False  # whether lists of strings, given as the inputs, are one tensor
    capturable = False  # whether ``call`` is array calls alone, so that a small model's step may be recorded
    _init_args: tuple[tuple, dict]
    _compute_kind: np.dtype | None  # ``None`` until a layer with a map of policies knows its path
    __signature__ = _ConstructorSignature()

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls)
        layer._init_args = (args, kwargs)  # for get_config of classes that write none
        return layer

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _remembering(cls.build)  # type: ignore[method-assign]  # wrapped for all subclasses

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None,
                 **kwargs):
        super().__init__(name)
        from gpukeras import regularizers

        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = autocast
        self.dtype_policy = dtype_policies.get(dtype)
        self.built = False
        self.input_spec: InputSpec | None = None
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self._trainable = bool(trainable)
        self._trainable_variables: list = []
        self._non_trainable_variables: list = []
        self._losses: list = []
        self._loss_functions: list = []
        self._added_metrics: list = []
        self._build_shape = None
        self._fitting: tuple = (None, None)  # input spec and the last input shape that met it
        self._batch_input_shape = _first_shape(kwargs)
        self._input_dtype = kwargs.pop("input_dtype", None)
        self._initial_weights = kwargs.pop("weights", None)
        if scope := rematerialization.current_scope():
            self._remat_mode = scope
        kwargs.pop("dynamic", None)  # Keras 2: here every layer may run on values only
        kwargs.pop("implementation", None)  # tf.keras let every layer take it; recurrent ones look at it
        if kwargs:
            names = [p for p in inspect.signature(type(self).__init__).parameters if p != "self"]
            raise TypeError(
                f"{type(self).__name__}: unknown arguments {sorted(kwargs)}; the constructor takes {names}"
            )

    def __getattr__(self, name):
        # Only reached where an attribute is missing: a good place to tell why.
        if "_trainable_variables" not in vars(self) and name in _SET_BY_INIT:
            raise RuntimeError(
                f"layer class {type(self).__name__}: __init__ must call super().__init__() before all else"
            )
        if name in ("input_shape", "output_shape"):  # Keras 2; Keras 3 leaves the names to subclasses
            return tree.map_structure(shape_of, getattr(self, name.removesuffix("_shape")))
        if isinstance(found := getattr(type(self), name, None), property):
            return found.__get__(self)  # it raised AttributeError itself: with its own message, please
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- to be written by subclasses ------------------------------------------------------------
    def build(self, input_shape):
        """Make the weights; called once, before the first ``call``, with the shape of the inputs."""
        self.built = True

    def call(self, *args, **kwargs):
        """Compute the outputs; subclasses must write it."""
        raise NotImplementedError(f"layer {self.name!r} ({type(self).__name__}) has no call() method")

    def compute_output_shape(self, *args, **kwargs):
        """Return the shape of the outputs for the shape of the inputs."""
        dtype = self.compute_dtype
        args = tuple(specs_of_shapes(shape, dtype) for shape in args)
        kwargs = {k.removesuffix("_shape"): specs_of_shapes(v, dtype) for k, v in kwargs.items()}
        spec = call_spec(type(self))
        if not args and spec.first not in kwargs and len(kwargs) == 1:
            args, kwargs = tuple(kwargs.values()), {}  # compute_output_shape(input_shape=...)
        if not self.built:
            self._build(spec, args, kwargs)
        return tree.map_structure(shape_of, self._trace(*args, **kwargs))

    def compute_mask(self, inputs, previous_mask=None):
        """Return the mask of the outputs; layers that support masking pass it on unchanged."""
        return previous_mask

    # ---- dtypes ---------------------------------------------------------------------------------
    @property
    def dtype_policy(self):
        """The pair of compute dtype and variable dtype."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, policy):
        self._dtype_policy = policy = dtype_policies.get(policy)
        self._settle_dtypes()
        if isinstance(policy, dtype_policies.DTypePolicyMap) and not vars(self).get("built"):
            self._compute_kind = None  # the path, by which to look, is known in the first call

    def _settle_dtypes(self) -> None:
        """Work out the dtypes once, since every call asks; of a map of policies those for this path."""
        policy = self._dtype_policy
        if isinstance(policy, dtype_policies.DTypePolicyMap):
            policy = policy["/".join(self._path())]
        self._own_policy = policy
        self._compute_kind = np.dtype(policy.compute_dtype)
        mixed = policy.compute_dtype != policy.variable_dtype
        self._read_as = policy.compute_dtype if mixed and self.autocast else None

    @property
    def compute_dtype(self) -> str:
        return self._own_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self._own_policy.variable_dtype

    dtype = variable_dtype

    @property
    def input_dtype(self) -> str:
        return self.compute_dtype

    # ---- calling -------------------------------------------------------------------------------------
    def __call__(self, *args, **kwargs):
        spec = call_spec(type(self))
        if len(args) == 1 and (not kwargs or len(kwargs) == 1 and "training" in kwargs) and (
            type(args[0]) is Tensor) and (
            (kind := args[0].array.dtype) is self._compute_kind or kind.kind not in dtypes.FLOAT_KINDS
        ):
            if self.built and spec.training_position:
                return self._call_built(spec, args[0], kwargs.get("training"))
            symbolic_call = False  # the common case: one tensor that needs no cast
        else:
            args, kwargs, symbolic_call = self._prepare(spec, args, kwargs)
        first = args[0] if args else kwargs.get(spec.first)
        if self.input_spec is not None and first is not None:
            self._check(first)
        state = CALLS.state
        training, tracing = state.training, state.tracing
        if not state.stack:
            state.number = _new_call_number()
        self._call_number = state.number
        state.stack.append(self)
        try:
            explicit = self._choose_training(spec, state, args, kwargs)
            if not self.built:
                self._build(spec, args, kwargs)
            if symbolic_call:
                state.tracing = True
                outputs = self.symbolic_call(*args, **kwargs)
                if not tracing:
                    _record(self, args, kwargs, explicit, outputs)
                return outputs
            return self._run(spec, first, args, kwargs)
        except Exception as error:
            _say_where(error, self)
            raise
        finally:
            state.stack.pop()
            state.training, state.tracing = training, tracing

    def _call_built(self, spec: CallSpec, x: Tensor, explicit: bool | None):
        """Do what ``__call__`` does, for one tensor that needs no cast and a layer that is built."""
        known = self.input_spec
        if known is not None and (self._fitting[1] != x.array.shape or self._fitting[0] is not known):
            self._check(x)
        state = CALLS.state
        training = state.training
        chosen = training if explicit is None else explicit
        kwargs = {}
        if spec.training:
            if chosen is None:
                chosen = spec.training_default
            if chosen is not None:
                kwargs["training"] = chosen
        state.training = chosen
        if not state.stack:
            state.number = _new_call_number()
        self._call_number = state.number
        state.stack.append(self)
        try:
            return self._run(spec, x, (x,), kwargs)
        except Exception as error:
            _say_where(error, self)
            raise
        finally:
            state.stack.pop()
            state.training = training

    def _choose_training(self, spec: CallSpec, state, args, kwargs):
        """Settle ``training``: what the caller said, else the layer around, else the default of ``call``.

        Returns what the caller said.
        """
        if len(args) > spec.training_position:
            explicit = args[spec.training_position]
        else:
            explicit = kwargs.pop("training", None)
        chosen = state.training if explicit is None else explicit
        if spec.training:
            if chosen is None:
                chosen = spec.training_default
            if chosen is not None and len(args) <= spec.training_position:
                kwargs["training"] = chosen
        state.training = chosen
        return explicit

    def _check(self, first) -> None:
        """Hold the inputs against ``input_spec``; a shape that fitted once is not looked at again."""
        spec = self.input_spec
        shape = first.array.shape if type(first) is Tensor else None
        if shape is None or self._fitting[1] != shape or self._fitting[0] is not spec:
            check_inputs(spec, first, self.name)
            if shape is not None and isinstance(spec, InputSpec) and spec.dtype is None:
                self._fitting = (spec, shape)

    def _prepare(self, spec: CallSpec, args, kwargs):
        """Return the arguments with arrays as tensors of the compute dtype; tell whether any is symbolic."""
        if self._compute_kind is None:
            self._settle_dtypes()
        kind = self._compute_kind if self.autocast and dtypes.is_float(self._compute_kind) else None
        found_symbolic = False

        def convert(x):
            nonlocal found_symbolic
            if isinstance(x, KerasTensor):
                found_symbolic = True
                if kind is None or x.dtype == kind.name or not dtypes.is_float(x.dtype):
                    return x
            elif isinstance(x, Tensor):
                if kind is None or not dtypes.is_float(x.dtype) or x.dtype == kind:
                    return x
            elif isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
                return string_tensor(x, f"layer {self.name!r}")
            elif isinstance(x, np.ndarray) or hasattr(x, "__cuda_array_interface__"):
                return Tensor(to_array(x, kind if dtypes.is_float(x.dtype) else None))
            elif sparse.is_sparse(x):
                return sparse.sparse_tensor(x)
            else:
                return x
            from gpukeras import ops

            mask, x = x._keras_mask, ops.cast(x, kind.name)
            x._keras_mask = mask
            return x

        if args and isinstance(args[0], (list, tuple)) and args[0] and is_numbers(args[0]):
            args = (Tensor(to_array(args[0])), *args[1:])
        elif self.takes_text and args and is_text(args[0]):
            args = (string_tensor(args[0], f"layer {self.name!r}"), *args[1:])
        args = tuple([tree.map_structure(convert, a) for a in args])
        kwargs = {k: v if v is None or v is True or v is False else tree.map_structure(convert, v)
                  for k, v in kwargs.items()}
        for name, mask_name in spec.masks:
            if kwargs.get(mask_name) is None:
                place = spec.names.index(name)
                mask = masks_of(args[place] if place < len(args) else kwargs.get(name))
                if mask is not None:
                    kwargs[mask_name] = mask
        return args, kwargs, found_symbolic

    def _build(self, spec: CallSpec, args, kwargs):
        """Call ``build`` with the shapes of the tensor arguments."""
        if type(self).build is not Layer.build:
            shape_args, shape_kwargs = shapes_for(self.build, spec, args, kwargs)
            self.build(*shape_args, **shape_kwargs)
        self.built = True
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    def _run(self, spec: CallSpec, first, args, kwargs):
        """Call on real tensors: masks in, autocast, ``call``, activity regularizer, masks out."""
        mask = first._keras_mask if type(first) is Tensor else masks_of(first)
        if spec.mask:
            given = kwargs.get("mask")
            if given is not None:
                mask = given
            elif mask is not None and not ("mask" in spec.names and len(args) > spec.names.index("mask")):
                kwargs["mask"] = mask
        shared = autograd.STATE
        before = shared.autocast
        call = self.call
        if before is self._read_as and self._remat_mode is None:
            outputs = call(*args, **kwargs)
        else:
            shared.autocast = self._read_as
            try:
                if self._remat_mode is not None:
                    call = self.rematerialized_call(call, *args, **kwargs)
                outputs = call(*args, **kwargs)
            finally:
                shared.autocast = before
        if self.activity_regularizer is not None:
            for output in tree.flatten(outputs):
                if isinstance(output, Tensor):
                    penalty = self.activity_regularizer(output)
                    # Per sample, as in Keras: the same penalty for every batch size.
                    self.add_loss(penalty / len(output) if output.ndim else penalty)
        if config._check_numerics:
            _check_finite(self, outputs)
        if mask is not None or type(self).compute_mask is not Layer.compute_mask:
            self._set_masks(first, outputs, mask)
        return outputs

    def _set_masks(self, inputs, outputs, mask):
        if not self.supports_masking:
            if mask is not None and not getattr(self, "_consumes_masks", False):
                warnings.warn(
                    f"layer {self.name!r} ({type(self).__name__}) was given an input with a mask but does "
                    "not support masking; layers after it will not see the mask", stacklevel=4,
                )
            return
        flat = tree.flatten(outputs)
        if all(getattr(output, "_keras_mask", None) is not None for output in flat):
            return  # ``call`` has seen to it
        found = self.compute_mask(inputs, mask)
        if found is None:
            return
        masks = list(found) if isinstance(found, (list, tuple)) else [found]
        for output, one in zip(flat, masks):
            if isinstance(output, Tensor) and one is not None and output._keras_mask is None:
                output._keras_mask = one

    # ---- symbolic -------------------------------------------------------------------------------------
    def symbolic_call(self, *args, **kwargs):
        """Return the symbolic outputs for symbolic inputs."""
        return self.compute_output_spec(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        """Return symbolic outputs: from ``compute_output_shape`` where the class has one, else by tracing."""
        if type(self).compute_output_shape is Layer.compute_output_shape:
            return self._trace(*args, **kwargs)
        shape_args, shape_kwargs = shapes_for(self.compute_output_shape, call_spec(type(self)), args, kwargs)
        return specs_of_shapes(self.compute_output_shape(*shape_args, **shape_kwargs), self.compute_dtype)

    def _trace(self, *args, **kwargs):
        """Run ``call`` on symbolic tensors for its shapes only.

        Where it needs to know sizes that are not known, numbers stand in for them.
        """
        try:
            return self._trace_once(*args, **kwargs)
        except Exception as error:
            if not has_unknown_sizes((args, kwargs)):
                raise
            try:
                return trace_with_stand_ins(self._trace_once, args, kwargs)
            except Exception as second:
                if type(second) is type(error):
                    raise error from None
                raise second from error

    def _trace_once(self, *args, **kwargs):
        state, shared = CALLS.state, autograd.STATE
        tracing, before = state.tracing, shared.autocast
        state.tracing, shared.autocast = True, self._read_as
        try:
            outputs = self.call(*args, **kwargs)
        except TypeError as error:
            if "symbolic" not in str(error):
                raise
            raise TypeError(
                f"layer {self.name!r} ({type(self).__name__}): its call() needs values, but the model is "
                f"only being drawn up ({error}). Write compute_output_shape(self, input_shape), or use ops"
            ) from error
        finally:
            state.tracing, shared.autocast = tracing, before
        return tree.map_structure(
            lambda t: KerasTensor(t.shape, str(t.dtype)) if hasattr(t, "shape") else t, outputs
        )

    # ---- configuration -----------------------------------------------------------------------------
    def get_config(self) -> dict:
        """Return the constructor arguments as plain values."""
        policy = dtype_policies.written(self.dtype_policy)
        base: dict = {"name": self.name, "trainable": self._trainable, "dtype": policy}
        if self.activity_regularizer is not None:
            from gpukeras import regularizers

            base["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if type(self).get_config is not Layer.get_config or type(self).__init__ is Layer.__init__:
            return base
        return self._auto_config(base)

    def _auto_config(self, base: dict) -> dict:
        """Configuration of a class without ``get_config``: its constructor arguments, if plain."""
        args, kwargs = self._init_args
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        values = dict(list(bound.arguments.items())[1:])
        any_keyword = False
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                any_keyword = True
                given = values.pop(name, {})
                values.update({key: given[key] for key in given if key != "weights"})
        for name, value in values.items():
            if not all(isinstance(leaf, _PLAIN) for leaf in tree.flatten(value)):
                raise NotImplementedError(
                    f"{type(self).__name__} takes {name}={value!r}, which cannot be written down as it is; "
                    "write get_config(self) that returns the constructor arguments as plain values"
                )
        # The name and the like belong in only where the constructor would take them back.
        return values | {k: v for k, v in base.items() if any_keyword or k in signature.parameters}

    @classmethod
    def from_config(cls, config: dict):
        """Make a layer from the result of ``get_config``."""
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(
                f"{cls.__name__} cannot be made from its configuration {config}: {error}"
            ) from error

    def get_build_config(self) -> dict | None:
        """Return the input shape the layer was built with (a dictionary where ``build`` takes several)."""
        if self._build_shape is None:
            return None
        shape = self._build_shape
        several = isinstance(shape, Mapping) and all(k.endswith("_shape") for k in shape)
        return {"shapes_dict" if several else "input_shape": shape}

    def build_from_config(self, config: dict) -> None:
        """Build for the shape that ``get_build_config`` returned."""
        if not config or self.built or self._compute_kind is None:  # the path tells the dtype of the weights
            return
        if config.get("shapes_dict"):
            shapes = as_tuples(config["shapes_dict"])
            if len(shapes) == 1:
                self.build(*shapes.values())
            else:
                self.build(**shapes)
        else:
            self.build(as_tuples(config["input_shape"]))

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


# Attributes whose absence means that __init__ of a subclass forgot super().__init__().
_SET_BY_INIT = frozenset({
    "name", "activity_regularizer", "autocast", "dtype_policy", "_dtype_policy", "_own_policy",
    "_compute_kind", "_read_as", "input_spec", "supports_masking", "_trainable", "_trainable_variables",
    "_non_trainable_variables", "_losses", "_loss_functions", "_inbound_nodes", "_initial_weights",
})


# ---- helpers -----------------------------------------------------------------------------------------
def _remembering(build):
    """Wrap a class's ``build``: it may be called by hand, records nothing and leaves the layer built."""

    @functools.wraps(build)
    def wrapped(self, *args, **kwargs):
        args, kwargs = without_stand_ins(args), without_stand_ins(kwargs)
        if args or kwargs:
            self._build_shape = args[0] if args and not kwargs and len(args) == 1 else dict(
                zip((n for n in inspect.signature(build).parameters if n != "self"), args)) | kwargs
        state, shared = CALLS.state, autograd.STATE
        inside = bool(state.stack) and state.stack[-1] is self
        tracing, before = state.tracing, shared.autocast
        state.tracing, shared.autocast = False, None
        if not inside:
            state.stack.append(self)
        if self._compute_kind is None:
            self._settle_dtypes()
        try:
            with autograd.no_recording():
                build(self, *args, **kwargs)
        finally:
            state.tracing, shared.autocast = tracing, before
            if not inside:
                state.stack.pop()
        self.built = True

    return wrapped


def _record(layer, args, kwargs, explicit, outputs) -> None:
    """Leave a node; ``training`` belongs to it only where the caller gave it."""
    kwargs.pop("training", None)
    spec = call_spec(type(layer))
    if explicit is not None and len(args) <= spec.training_position:
        kwargs["training"] = explicit
    symbolic.Node(layer, args, kwargs, outputs)


def _first_shape(kwargs: dict) -> tuple | None:
    """Take the arguments about the input's shape out of ``kwargs``; return it with its batch axis."""
    given = {k: kwargs.pop(k) for k in _SHAPE_ARGUMENTS if k in kwargs}
    for name in ("batch_input_shape", "batch_shape"):
        if given.get(name) is not None:
            return tuple(given[name])
    batch = given.get("batch_size")
    if given.get("input_shape") is not None:
        shape = given["input_shape"]
        return (batch, *((shape,) if isinstance(shape, int) else tuple(shape)))
    if given.get("input_dim") is not None:
        length = (given["input_length"],) if "input_length" in given else ()
        return (batch, *length, given["input_dim"])
    return None


def _say_where(error: Exception, layer: Layer) -> None:
    """Add to an error in which layer it happened, once, innermost first (Python 3.11 and later show it)."""
    if sys.version_info >= (3, 11) and not getattr(error, "__notes__", None):
        shape = f", input shape {layer._build_shape}" if layer._build_shape is not None else ""
        error.add_note(f"in layer {layer.name!r} ({type(layer).__name__}{shape})")
    if config._filter_tracebacks and len(CALLS.state.stack) == 1:
        error.__traceback__ = _without_own_frames(error.__traceback__)


_ROOTS = tuple(os.path.join(path, "") for path in (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), os.path.dirname(backends.__file__)))


def _without_own_frames(traceback):
    """Return a traceback without the library's frames, but for the first and the last."""
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    found = None
    for i, frame in reversed(list(enumerate(frames))):
        own = frame.tb_frame.f_code.co_filename.startswith(_ROOTS)
        if not own or i in (0, len(frames) - 1):
            found = types.TracebackType(found, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return found


def _check_finite(layer: Layer, outputs) -> None:
    for output in tree.flatten(outputs):
        if isinstance(output, Tensor) and dtypes.is_float(output.dtype):
            backend = output.backend
            if not bool(backend.to_numpy(backend.xp.isfinite(output.array).all())):
                inner = " (or a layer inside it that was called directly)" if layer._sublayers() else ""
                raise FloatingPointError(
                    f"layer {layer.name!r} ({type(layer).__name__}){inner} produced NaN or infinity, output "
                    f"shape {output.shape}. Usual causes: a learning rate that is too high, log or division "
                    "of zero, or inputs that hold NaN"
                )
