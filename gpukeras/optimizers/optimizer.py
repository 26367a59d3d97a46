"""Optimizer: what all optimizers share, from learning rates and clipping to state and configuration."""

from __future__ import annotations

import operator
import warnings

from gpukeras import autograd, backends, dtypes, tensor
from gpukeras.sparse import RowTensor
from gpukeras.symbolic import auto_name, to_snake_case
from gpukeras.tensor import Tensor, Variable, to_array

from . import flat
from .gradients import GradientsMixin
from .recorded import RecordedMixin
from .state import StateMixin


class Optimizer(RecordedMixin, StateMixin, GradientsMixin):
    """Base of all optimizers.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A callable is called without arguments before every step.
    weight_decay : float, optional
        Decoupled decay: each step also subtracts ``learning_rate * weight_decay * weight``.
    clipnorm, clipvalue, global_clipnorm : float, optional
        Limit the norm of each gradient, each of its elements, or the norm of all gradients together. At most
        one of them.
    use_ema : bool
        Keep an exponential moving average of the weights; ``finalize_variable_values`` (called at the end of
        ``fit``) or every ``ema_overwrite_frequency`` steps puts it in the weights' place.
    ema_momentum : float
    ema_overwrite_frequency : int, optional
    loss_scale_factor : float, optional
        The loss is multiplied by it and the gradients divided, against underflow in half precision.
    gradient_accumulation_steps : int, optional
        Update once in so many steps, with the mean of the gradients since the last update.
    name : str, optional
    **kwargs
        Spellings of Keras 2: ``lr`` for the learning rate, ``decay`` for ``lr / (1 + decay * iterations)``.

    Notes
    -----
    The update runs on flat buffers: the variables of an optimizer lie side by side, so that one call of the
    rule updates them all (``gpukeras/optimizers/flat.py``). A subclass brings its rule in one of two ways:

    - ``update_step(gradient, variable, learning_rate)``, called once per variable, with ``self.assign``,
      ``self.assign_sub`` and the slots made in ``build``: what Keras documents;
    - ``update_flat(backend, p, g, slots, learning_rate)``, called once per flat run of variables: what the
      optimizers here do. ``elementwise = False`` makes it one call per variable.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class SignDescent(keras.optimizers.Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate):
    ...         self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))
    >>> v = keras.Variable([1.0, -2.0])
    >>> SignDescent(0.5).apply([keras.ops.convert_to_tensor([3.0, -4.0])], [v])
    >>> v.numpy()
    array([ 0.5, -1.5], dtype=float32)
    """

    elementwise = True
    _transforms: list | tuple = ()  # functions of pairs (gradient, variable), called first in every step
    may_overflow = False  # whether gradients may leave their dtype: a loss scale looks for its limit

    def __init__(
        self, learning_rate=0.001, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None,
        use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
        gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        if isinstance(learning_rate, str) and name is None:  # tf.keras: Optimizer(name, ...)
            learning_rate, name = 0.001, learning_rate
        learning_rate = kwargs.pop("lr", learning_rate)
        self.decay = kwargs.pop("decay", 0.0)
        self.jit_compile = kwargs.pop("jit_compile", True)  # another engine's switch: no effect
        kwargs.pop("is_legacy_optimizer", None)  # of files
        if kwargs:
            raise ValueError(
                f"{type(self).__name__}: unknown argument(s) {', '.join(sorted(kwargs))}"
            )
        _check_settings(
            type(self).__name__, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, gradient_accumulation_steps,
        )
        self.name = name or auto_name(to_snake_case(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._start_state()
        self._start_rate(learning_rate)
        self._deferred: dict = {}  # by index of the variable: tables that put steps off
        self._excluded: list[Variable] = []
        self._excluded_names = None

    # ---- building ------------------------------------------------------------------------------------
    def build(self, variables) -> None:
        """Make the state for ``variables``; called by the first ``apply`` where it was not before.

        Subclasses call ``super().build(variables)`` first, then make their slots with
        ``add_optimizer_variables``.
        """
        variables = list(variables)
        self._check_trainable(variables)
        self._trainable_variables = variables
        self._indices = {id(v): i for i, v in enumerate(variables)}
        self._overwritten = any(v.overwrite_with_gradient for v in variables)
        for index in self._deferred:
            self._catch_up(index)
        self._deferred = {}
        self._slot_lists.clear()
        self._model_variables_moving_average = []
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        self._accumulated_gradients = []
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(v, "gradient_accumulator") for v in variables
            ]
            self._slot_lists["gradient_accumulator"] = self._accumulated_gradients
        self._forget_layout()
        self.built = True

    def _check_trainable(self, variables) -> None:
        seen: set[int] = set()
        for v in variables:
            if not isinstance(v, Variable):
                raise TypeError(
                    f"{self.name}: expected the variables to train, came {type(v).__name__}; pass "
                    "model.trainable_variables"
                )
            if not dtypes.is_float(v.dtype) and not v.overwrite_with_gradient:
                raise TypeError(f"{self.name}: variable {v.path!r} of dtype {v.dtype} cannot be trained")
            if id(v) in seen:
                raise ValueError(f"{self.name}: variable {v.path!r} is in the list twice")
            seen.add(id(v))

    # ---- one step ------------------------------------------------------------------------------------
    def apply_gradients(self, grads_and_vars, name=None, **kwargs):
        """Update variables from pairs ``(gradient, variable)``; return the iteration counter.

        ``name`` and further arguments of ``tf.keras`` (``skip_gradients_aggregation``, ...) have no effect.
        """
        pairs = list(grads_and_vars)
        if not pairs:
            raise ValueError(f"{self.name}: no gradients came; expected pairs (gradient, variable)")
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(self, grads, trainable_variables=None) -> None:
        """Update variables from their gradients.

        Parameters
        ----------
        grads : list of tensors or None
            A variable without gradient (``None``) is left alone, with a warning.
        trainable_variables : list of Variable, optional
            Whose gradients these are; may be left out once the optimizer is built.

        Raises
        ------
        ValueError
            If all gradients are ``None``, shapes differ, or a variable is not one that the optimizer was
            built for.
        """
        grads = list(grads)
        if not grads:
            return
        if self._transforms:
            grads, trainable_variables = self._transformed(grads, trainable_variables)
        if not self.built:
            self.build(self._variables_to_build(trainable_variables))
        indices = self._indices_of(grads, trainable_variables)
        for g in grads:
            if type(g) is not Tensor or self._overwritten:
                grads, indices = self._as_tensors(grads, indices)
                break
        if grads:
            if backends.several_gpus:
                with backends.scope_of(self.name, [self._trainable_variables[indices[0]].array]):
                    self._lay_out_and_step(grads, indices)
            elif tensor.layout_version == self._layout:
                self._step_on(grads, indices)
            else:
                self._lay_out_and_step(grads, indices)
        self._count_step()

    def _transformed(self, grads, variables) -> tuple:
        """Return gradients and variables as the functions of the user's leave them."""
        pairs = list(zip(grads, self._trainable_variables if variables is None else variables))
        for transform in self._transforms:
            pairs = list(transform(pairs))
        return [g for g, _ in pairs], [v for _, v in pairs]

    def gradient_places(self, variables) -> dict:
        """Return arrays, by ``uid`` of the variable, for the gradients of the next ``apply``.

        Those that are written there need no copy beside each other. Empty where the rule, or a subclass, may
        keep the gradients that it gets.
        """
        known = self._trainable_variables
        if not self._placing or tensor.layout_version != self._layout or len(variables) != len(known):
            return {}
        if not all(map(operator.is_, variables, known)):
            return {}
        self.__dict__["_placed"] = True
        return dict(self._plan(self._all, self._changes_gradients(), True).places)

    def _decays(self) -> bool:
        """Tell whether some weights shrink with every step."""
        return self.weight_decay is not None

    def _changes_gradients(self) -> bool:
        """Tell whether anything is done to the gradients before the rule sees them."""
        return bool(
            self.gradient_accumulation_steps or self.clipnorm or self.clipvalue or self.global_clipnorm
            or self.loss_scale_factor is not None
        )

    def _lay_out_and_step(self, grads, indices) -> None:
        if tensor.layout_version != self._layout:
            self._lay_out()
        self._step_on(grads, indices)

    def _variables_to_build(self, variables):
        if variables is None:
            raise ValueError(
                f"{self.name}: gradients came without variables and the optimizer is not built; call "
                "optimizer.build(model.trainable_variables) or pass trainable_variables"
            )
        return variables

    def _indices_of(self, grads, variables) -> tuple:
        """Return which of the known variables the gradients belong to."""
        known = self._trainable_variables
        if variables is None or variables is known:
            variables = known
        if len(variables) != len(grads):
            raise ValueError(
                f"{self.name}: {len(grads)} gradients came for {len(variables)} variables; they go in pairs"
            )
        if variables is known or len(variables) == len(known) and all(map(operator.is_, variables, known)):
            return self._all
        try:
            return tuple([self._indices[id(v)] for v in variables])
        except KeyError:
            raise ValueError(self._unknown(variables)) from None

    def _unknown(self, variables) -> str:
        unknown = [getattr(v, "path", repr(v)) for v in variables if id(v) not in self._indices]
        return (
            f"{self.name}: unknown variable(s) {unknown[:5]}. This optimizer was built for "
            f"{len(self._indices)} other variables; after adding layers or changing `trainable`, compile the "
            "model again (or make a new optimizer), or build it with all variables before the first step"
        )

    def _as_tensors(self, grads, indices):
        """Drop missing gradients with a warning; make tensors of arrays; serve overwritten variables."""
        found, kept, missing, overwritten = [], [], [], False
        for g, i in zip(grads, indices):
            variable = self._trainable_variables[i]
            if g is None:
                missing.append(variable.path)
            elif variable.overwrite_with_gradient:
                self._overwrite(variable, i, to_array(g, variable.dtype, variable.backend))
                overwritten = True
            else:
                g = g if isinstance(g, Tensor) else Tensor(to_array(g, variable.dtype, variable.backend))
                found.append(g)
                kept.append(i)
        if not found and not overwritten:
            raise ValueError(
                f"{self.name}: no gradients for any variable; does the loss depend on {missing[:5]}, and was "
                "it computed inside the tape?"
            )
        if missing:
            warnings.warn(
                f"{self.name}: no gradients for variables {missing}, which stay as they are; the loss does "
                "not depend on them", stacklevel=4,
            )
        return found, tuple(kept)

    def _step_on(self, grads, indices) -> None:
        """Clip, decay, update, average, constrain: the order of Keras."""
        steps = self.gradient_accumulation_steps
        whole, placed = self._changes_gradients(), self._placed
        plan = self._plan(indices, whole, placed)
        if self._deferred and (whole or self._decays() or self.use_ema):
            for index in self._deferred:
                self._catch_up(index)
        self._gather(plan, grads)
        if placed:
            self.__dict__["_placed"] = False
            if not plan.proven:
                self._prove(plan, grads)
        if whole and self.loss_scale_factor is not None:
            for run in plan.runs:
                run.backend.xp.divide(run.g, run.p.dtype.type(self.loss_scale_factor), run.g)
        if not steps or self._accumulate(plan, steps):
            if whole:
                self._clip(plan)
            rate = self._rate()
            if self._decays():
                self._decay_weights(plan, rate)
            self._begin_update()
            if self._fused:
                rate = self._flat_rate(rate)
                for run in plan.runs:
                    if run.source is not None and type(grads[run.source]) is RowTensor:
                        slices = grads[run.source].slices
                        few = 2 * slices.rows.shape[0] <= slices.shape[0] and slices.dtype == run.p.dtype
                        if few and self._update_rows(run, slices, rate):
                            continue
                    for index, _ in run.places if self._deferred else ():
                        self._catch_up(index)
                    g = run.g if run.source is None else self._gradient_in_place(run, grads)
                    self._update_run(run, g, rate)
            else:
                self._update_one_by_one(plan, grads, whole)
            for variable in plan.variables:
                variable.version += 1
        if self.use_ema:
            self._average()
        if plan.constrained:
            with autograd.no_recording():
                for variable in plan.constrained:
                    variable.assign(variable.constraint(variable))

    def _gather(self, plan, grads) -> None:
        """Copy gradients beside each other."""
        for position, view in plan.copies:
            array = grads[position].array
            if array is view:
                continue
            if array.shape != view.shape or type(array) is not type(view):
                self._check_gradient(plan.variables[position], array)
            view[...] = array

    def _prove(self, plan, grads) -> None:
        """Learn which large gradients do not come to their places: later plans use them where they lie."""
        plan.proven = True
        for position, view in plan.copies:
            limit = self._trainable_variables[plan.indices[position]].backend.direct_gradient
            if limit is not None and view.size >= limit and grads[position].array is not view:
                self._unplaced.add(plan.indices[position])
                self._plans.clear()

    def _gradient_in_place(self, run, grads):
        """Return one large gradient as a vector: where it lies, if its layout allows."""
        array = grads[run.source].array
        self._check_gradient(self._trainable_variables[run.places[0][0]], array)
        if array.dtype == run.p.dtype and array.flags.c_contiguous:
            return array.reshape(-1)
        run.view(run.places[0][0])[...] = array
        return run.g

    def _check_gradient(self, variable, array) -> None:
        """Refuse a gradient of another shape than its variable, or on another device."""
        if array.shape != variable.shape:
            raise ValueError(
                f"{self.name}: variable {variable.path!r} has shape {variable.shape}, its gradient has "
                f"{array.shape}; are gradients and variables in the same order?"
            )
        if not variable.backend.owns(array):
            raise backends.DeviceError(
                f"{self.name}: the gradient of {variable.path!r} is on {Tensor(array).device}, the variable "
                f"on {variable.device}"
            )

    def _update_one_by_one(self, plan, grads, changed: bool) -> None:
        """Call ``update_step`` for every variable, with the gradients that clipping may have changed."""
        rate = self.learning_rate
        views = dict(plan.copies)
        with autograd.no_recording():
            for position, variable in enumerate(plan.variables):
                # A copy: the buffer is written again in the next step, and the rule may keep what it got.
                gradient = Tensor(views[position].copy()) if changed else grads[position]
                self.update_step(gradient, variable, rate)

    def _begin_update(self) -> None:
        """Do what a rule does once per step, before its runs."""

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one variable; custom optimizers override it.

        Parameters
        ----------
        gradient : tensor
        variable : Variable
        learning_rate : tensor or Variable, 0-d
        """
        older = getattr(self, "_resource_apply_dense", None)  # of tf.keras's legacy optimizers
        if older is not None:
            older(gradient, variable)
            return
        if not any(_FLAT_RULES & set(vars(c)) for c in _below_optimizer(type(self))):
            raise NotImplementedError(
                f"{type(self).__name__} must define update_step(gradient, variable, learning_rate)"
            )
        (run,) = self._plan((self._get_variable_index(variable),), True).runs
        run.view(run.places[0][0])[...] = to_array(gradient, variable.dtype, variable.backend)
        rate = learning_rate.array if isinstance(learning_rate, Tensor) else learning_rate
        self._update_run(run, run.g, self._flat_rate(rate))

    def _update_run(self, run, g, learning_rate) -> None:
        """Update a run of variables; rules that need to know which override this."""
        self.update_flat(run.backend, run.p, g, run.slots, learning_rate)

    def _flat_rate(self, learning_rate):
        """Return the rate for ``update_flat``: the learning rate, with corrections that all weights share."""
        return learning_rate

    def update_flat(self, backend, p, g, slots, learning_rate) -> None:
        """Update a flat run of variables in place; the optimizers of this package override it.

        Parameters
        ----------
        backend : Backend
        p, g : array, shape (n,)
            Parameters (changed in place) and gradients (left alone).
        slots : dict from str to array of shape (n,)
            What ``add_optimizer_variables`` made, by its name.
        learning_rate : float or 0-d array
            What ``_flat_rate`` made of it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_step or update_flat")

    # ---- few rows of a table ---
    def _update_rows(self, run, g, learning_rate) -> bool:
        """Do what ``update_flat`` does for a table, where only some rows have a gradient other than zero.

        Parameters
        ----------
        run : flat.Run
            Of the table alone.
        g : RowGradient
        learning_rate : float or 0-d array

        Returns
        -------
        bool
            ``False``: nothing was done, as the rule has no such form; then ``update_flat`` is called.
        """
        return False

    def _catch_up(self, index: int) -> None:
        """Let a table take the steps that it has put off."""
        if index in self._deferred:
            self._deferred[index].catch_up()

    # ---- layout ---
    def _forget_layout(self) -> None:
        self._layout = -1
        self._placing = self._placed = False  # whether places may be given out, and were for this step
        self._unplaced: set[int] = set()
        self._segments: list[flat.Segment] = []
        self._plans: dict = {}
        self._all = tuple(range(len(self._trainable_variables)))

    def _lay_out(self) -> None:
        """Find the segments, and bring the slots into their order; values stay."""
        variables = [v for v in self._trainable_variables if not v.overwrite_with_gradient]
        places = {id(v): i for i, v in enumerate(self._trainable_variables)}
        segments = flat.find_segments(variables)
        for segment in segments:
            segment.members = [(places[id(variables[k])], offset) for k, offset in segment.members]
        before = [(id(s.buffer), s.start, s.members) for s in self._segments]
        if before != [(id(s.buffer), s.start, s.members) for s in segments]:
            for segment in segments:
                flat.place_slots(segment, self._trainable_variables, self._slot_lists, self._slot_starts)
            self._segments = segments
            self._plans.clear()
        self._layout = tensor.layout_version
        self._fused = _has_flat_rule(type(self))
        self._placing = self._fused and type(self).apply is Optimizer.apply and not self._transforms

    def _apart(self) -> frozenset:
        """Return which variables take a call of the rule each."""
        return frozenset() if self.elementwise else frozenset(self._all)

    def _plan(self, indices, whole: bool, placed: bool = False):
        if not self._segments or tensor.layout_version != self._layout:
            self._lay_out()
        plan = self._plans.get((indices, whole, placed))
        if plan is None:
            if len(self._plans) > 16:  # gradients that come and go: do not keep a buffer for each combination
                self._plans.clear()
            beside = set(indices) - self._unplaced if placed else set()
            plan = flat.make_plan(
                self._trainable_variables, self._segments, indices, whole, self._apart(), beside
            )
            self._plans[indices, whole, placed] = plan
        return plan


_FLAT_RULES = {"update_flat", "_update_run"}


def _below_optimizer(cls) -> list:
    """Return the classes from ``cls`` up to, but without, ``Optimizer``."""
    return [base for base in cls.__mro__ if issubclass(base, Optimizer) and base is not Optimizer]


def _has_flat_rule(cls) -> bool:
    """Tell whether the nearest class that brings a rule brings the flat one."""
    for base in _below_optimizer(cls):
        if "update_step" in vars(base) or "_resource_apply_dense" in vars(base):
            return False
        if _FLAT_RULES & set(vars(base)):
            return True
    return False


def _check_settings(
    name, clipnorm, clipvalue, global_clipnorm, use_ema, momentum, frequency, accumulation,
) -> None:
    limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    limits = {k: v for k, v in limits.items() if v is not None}
    if len(limits) > 1:
        raise ValueError(f"{name}: set only one of clipnorm, clipvalue and global_clipnorm, came {limits}")
    if use_ema and not 0 <= momentum <= 1:
        raise ValueError(f"{name}: ema_momentum must be in [0, 1], came {momentum}")
    if use_ema and frequency and (not isinstance(frequency, int) or frequency < 1):
        raise ValueError(f"{name}: ema_overwrite_frequency must be None or an integer >= 1, came {frequency}")
    if accumulation is not None and accumulation is not False and not accumulation >= 2:
        raise ValueError(
            f"{name}: gradient_accumulation_steps must be None or an integer >= 2, came {accumulation!r}"
        )

