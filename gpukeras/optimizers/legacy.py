"""The older optimizers of ``tf.keras`` (``optimizers.legacy``): their arguments, slots and formulas.

What differs from the modern classes of the same names: ``name`` comes right after the settings of the rule;
``decay`` lowers the rate to ``lr / (1 + decay * iterations)``; Adagrad, and RMSprop without momentum, add
epsilon to the root instead of below it; Nadam's momentum grows much more slowly. State is kept by variable
and slot name, the slots of one name after those of another, and the learning rate is not among it.
"""

from __future__ import annotations

from gpukeras.registry import Registry
from gpukeras.tensor import Tensor

from . import adam_family as moments
from . import adaptive, gradient_descent
from . import optimizer as modern
from .schedules import LearningRateSchedule
from .state import Weights

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "Optimizer", "RMSprop"]


class Optimizer(modern.Optimizer):
    """Base of the older optimizers; a subclass writes ``update_step`` or ``_resource_apply_dense``.

    Parameters
    ----------
    name : str
    gradient_aggregator : callable, optional
        ``f(grads_and_vars)`` returns gradients, called first.
    gradient_transformers : list of callable, optional
        Each ``f(grads_and_vars)`` returns such pairs again; not together with clipping.
    **kwargs
        ``learning_rate`` or ``lr``, ``decay``, ``clipnorm``, ``clipvalue``, ``global_clipnorm``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> optimizer = keras.optimizers.legacy.SGD(1.0, decay=1.0, momentum=0.5)
    >>> w = keras.Variable([8.0])
    >>> for _ in range(2):
    ...     _ = optimizer.apply_gradients([(keras.ops.ones(1), w)])
    >>> w.numpy(), optimizer.get_slot(w, "momentum").numpy(), optimizer.get_slot_names()
    (array([6.], dtype=float32), array([-1.], dtype=float32), ['momentum'])
    """

    _slot_names: dict = {}  # legacy names by ours
    _by_variable = False  # whether the slots of one variable lie side by side in ``variables``
    _plain: tuple = ()  # settings in get_config beside the learning rate and its decay

    def __init__(self, name, gradient_aggregator=None, gradient_transformers=None, **kwargs):
        kwargs = self._start(kwargs, gradient_aggregator, gradient_transformers)
        modern.Optimizer.__init__(self, kwargs.pop("learning_rate", 0.001), name=name, **kwargs)

    def _start(self, kwargs, aggregator=None, transformers=None) -> dict:
        """Take the arguments that the modern base class does not know; return the others."""
        kwargs = dict(kwargs)
        aggregator = kwargs.pop("gradient_aggregator", aggregator)
        transformers = kwargs.pop("gradient_transformers", transformers)
        known = {"learning_rate", "lr", "decay", "clipnorm", "clipvalue", "global_clipnorm"}
        if unknown := sorted(set(kwargs) - known):
            raise TypeError(f"{type(self).__name__}: unknown argument(s) {unknown}; it takes {sorted(known)}")
        if kwargs.get("decay", 0) < 0:
            raise ValueError(f"{type(self).__name__}: decay must not be negative, came {kwargs['decay']}")
        clipping = {name for name in known if name.startswith(("clip", "global")) and kwargs.get(name)}
        if transformers and clipping:
            raise ValueError(
                f"{type(self).__name__}: gradient_transformers and {sorted(clipping)} exclude each other; "
                "let one of the transformers clip"
            )
        self.gradient_aggregator = aggregator
        self.gradient_transformers = list(transformers or ())
        self._transforms = list(self.gradient_transformers)
        if aggregator is not None:
            self._transforms.insert(0, lambda pairs: list(zip(aggregator(pairs), [v for _, v in pairs])))
        self._own_slots: dict[str, dict] = {}
        return kwargs

    # ---- steps ---
    def minimize(  # type: ignore[override]  # the order of tf.keras
        self, loss, var_list, grad_loss=None, name=None, tape=None,
    ):
        """Compute the gradients of ``loss``, times ``grad_loss``, and apply them."""
        if grad_loss is not None:
            if callable(loss) and not isinstance(loss, Tensor):
                given = loss

                def loss():
                    return given() * grad_loss
            else:
                with tape:
                    loss = loss * grad_loss
        return super().minimize(loss, var_list, tape)

    # ---- slots ---
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        create = getattr(self, "_create_slots", None)
        if create is not None:
            create(self._trainable_variables)

    def add_slot(self, var, slot_name, initializer="zeros", shape=None):
        """Make, or return, the state ``slot_name`` of a variable."""
        slots = self._own_slots.setdefault(slot_name, {})
        if id(var) not in slots:
            slots[id(var)] = self.add_variable_from_reference(var, slot_name, initializer, shape=shape)
        return slots[id(var)]

    def get_slot(self, var, slot_name):
        """Return the state ``slot_name`` of a variable, as ``get_slot_names`` calls it."""
        if slot_name in self._own_slots:
            return self._own_slots[slot_name][id(var)]
        for ours, name in self._slot_names.items():
            if name == slot_name and ours in self._slot_lists:
                return self._slot_lists[ours][self._get_variable_index(var)]
        raise KeyError(f"{self.name}: no slot {slot_name!r}; it has {self.get_slot_names()}")

    def get_slot_names(self) -> list[str]:
        """Return the names of the states that every variable has."""
        return [n for ours, n in self._slot_names.items() if ours in self._slot_lists] + [*self._own_slots]

    def add_weight(self, name, shape, dtype=None, initializer="zeros", trainable=None,
                   synchronization="auto", aggregation="none"):
        """Make a state variable of the optimizer; the last arguments are accepted for compatibility."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self):
        """The counter and the slots, those of one name after those of another; can be called, too."""
        rows = [self._slot_lists[n] for n in self._slot_names if n in self._slot_lists]
        slots = [v for row in (zip(*rows) if self._by_variable else rows) for v in row]
        known = [self._iterations, self._learning_rate, *slots]
        others = [v for v in self._variables if not any(v is k for k in known)]
        return Weights([self._iterations, *others, *slots])

    # ---- configuration ---
    def _set_hyper(self, name, value):
        if name == "learning_rate":
            self.learning_rate = value
        else:
            setattr(self, name, value)

    def _get_hyper(self, name, dtype=None):
        found = getattr(self, name)
        return found.value if isinstance(found, Tensor) and hasattr(found, "value") else found

    def get_config(self):
        found = {"name": self.name}
        for name in ("clipnorm", "clipvalue", "global_clipnorm"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        if type(self) is Optimizer or not self._plain:
            return found
        settings = {name: getattr(self, name) for name in self._plain}
        return {**found, "learning_rate": self._rate_config(), "decay": self.decay, **settings}


class SGD(Optimizer, gradient_descent.SGD):
    """Gradient descent; ``decay`` and ``name`` as in ``legacy.Optimizer``, the rest as in ``SGD``."""

    _slot_names = {"momentum": "momentum"}
    _plain = ("momentum", "nesterov")

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, name="SGD", **kwargs):
        kwargs = self._start(kwargs)
        gradient_descent.SGD.__init__(self, learning_rate, momentum, nesterov, name=name, **kwargs)


class Adam(Optimizer, moments.Adam):
    """Adam; ``decay`` and ``name`` as in ``legacy.Optimizer``, the rest as in ``Adam``."""

    _slot_names = {"momentum": "m", "velocity": "v", "velocity_hat": "vhat"}
    _plain = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, name="Adam",
        **kwargs,
    ):
        kwargs = self._start(kwargs)
        moments.Adam.__init__(self, learning_rate, beta_1, beta_2, epsilon, amsgrad, name=name, **kwargs)


class Adamax(Optimizer, moments.Adamax):
    """Adamax; ``decay`` and ``name`` as in ``legacy.Optimizer``, the rest as in ``Adamax``."""

    _slot_names = {"momentum": "m", "norm": "v"}
    _plain = ("beta_1", "beta_2", "epsilon")

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, name="Adamax", **kwargs,
    ):
        kwargs = self._start(kwargs)
        moments.Adamax.__init__(self, learning_rate, beta_1, beta_2, epsilon, name=name, **kwargs)


class Nadam(Optimizer, moments.Nadam):
    """Nadam whose momentum grows slowly: ``schedule_decay`` (or ``decay``) is 0.004 unless given."""

    _slot_names = {"momentum": "m", "velocity": "v"}
    _plain = ("beta_1", "beta_2", "epsilon")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, name="Nadam", **kwargs):
        kwargs = dict(kwargs)
        growth = kwargs.pop("schedule_decay", kwargs.pop("decay", 0.004))
        kwargs = self._start(kwargs)
        if isinstance(kwargs.get("lr", learning_rate), LearningRateSchedule):
            raise ValueError("legacy.Nadam: learning_rate must be a number, a schedule came")
        moments.Nadam.__init__(
            self, learning_rate, beta_1, beta_2, epsilon, name=name, schedule_decay=growth, **kwargs
        )

    def get_config(self):
        return {**Optimizer.get_config(self), "decay": self.schedule_decay}


class RMSprop(Optimizer, adaptive.RMSprop):
    """RMSprop; without momentum ``w -= lr * g / (sqrt(v) + epsilon)``, with it as in ``RMSprop``."""

    _slot_names = {"velocity": "rms", "momentum": "momentum", "average_gradient": "mg"}
    _plain = ("rho", "momentum", "epsilon", "centered")

    def __init__(
        self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, name="RMSprop",
        **kwargs,
    ):
        kwargs = self._start(kwargs)
        adaptive.RMSprop.__init__(
            self, learning_rate, rho, momentum, epsilon, centered, name=name, **kwargs
        )
        self._epsilon_beside_root = True


class Adagrad(Optimizer, adaptive.Adagrad):
    """Adagrad; ``w -= lr * g / (sqrt(s) + epsilon)``, the rest as in ``Adagrad``."""

    _slot_names = {"accumulator": "accumulator"}
    _plain = ("initial_accumulator_value", "epsilon")

    def __init__(
        self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, name="Adagrad", **kwargs,
    ):
        kwargs = self._start(kwargs)
        adaptive.Adagrad.__init__(
            self, learning_rate, initial_accumulator_value, epsilon, name=name, **kwargs
        )
        self._epsilon_beside_root = True


class Adadelta(Optimizer, adaptive.Adadelta):
    """Adadelta; ``decay`` and ``name`` as in ``legacy.Optimizer``, the rest as in ``Adadelta``."""

    _slot_names = {"accumulated_grad": "accum_grad", "accumulated_delta_var": "accum_var"}
    _plain = ("rho", "epsilon")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, name="Adadelta", **kwargs):
        kwargs = self._start(kwargs)
        adaptive.Adadelta.__init__(self, learning_rate, rho, epsilon, name=name, **kwargs)


class Ftrl(Optimizer, adaptive.Ftrl):
    """Ftrl; ``decay`` and ``name`` as in ``legacy.Optimizer``, the rest as in ``Ftrl``."""

    _slot_names = {"accumulator": "accumulator", "linear": "linear"}
    _by_variable = True
    _plain = ("initial_accumulator_value", "learning_rate_power", "l1_regularization_strength",
              "l2_regularization_strength", "beta", "l2_shrinkage_regularization_strength")

    def __init__(
        self, learning_rate=0.001, learning_rate_power=-0.5, initial_accumulator_value=0.1,
        l1_regularization_strength=0.0, l2_regularization_strength=0.0, name="Ftrl",
        l2_shrinkage_regularization_strength=0.0, beta=0.0, **kwargs,
    ):
        kwargs = self._start(kwargs)
        adaptive.Ftrl.__init__(
            self, learning_rate, learning_rate_power, initial_accumulator_value, l1_regularization_strength,
            l2_regularization_strength, l2_shrinkage_regularization_strength, beta, name=name, **kwargs,
        )


_classes = (SGD, RMSprop, Adam, Adadelta, Adagrad, Adamax, Nadam, Ftrl, Optimizer)
REGISTRY = Registry(
    "optimizer", {cls.__name__: cls for cls in _classes},
    {cls.__name__.lower(): cls.__name__ for cls in _classes}, module="keras.optimizers.legacy",
    ignore_case=True,
)
