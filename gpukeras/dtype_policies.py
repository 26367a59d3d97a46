"""Which dtype a layer computes in and which its weights have.

Quantised policies (``int8_from_...``, ``float8_from_...``, and the classes of that name) are left out: they
belong to methods of compressing trained models that this library does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping

from gpukeras import dtypes
from gpukeras.registry import Registry
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
_QUANTISED = re.compile(r"(int4|int8|float8|gptq|awq)([_/].*)?$")
_LEFT_OUT = (
    "QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "Int4DTypePolicy", "GPTQDTypePolicy",
    "AWQDTypePolicy",
)


class DTypePolicy:
    """The pair of compute dtype and variable dtype of a layer.

    Parameters
    ----------
    name : str, optional
        A float type (``"float32"``: both); ``"mixed_float16"`` or ``"mixed_bfloat16"`` (compute in the half,
        weights in float32); or an integer type for layers that hold integers. Default: that of the global
        policy.

    Raises
    ------
    ValueError
        For a name that is none of these.

    Notes
    -----
    float16 ends at 65504 and loses small gradients: scale the loss (``LossScaleOptimizer``, which ``compile``
    adds by itself). bfloat16 has the range of float32 and three digits fewer; nothing need be scaled.

    References
    ----------
    Micikevicius et al., Mixed Precision Training, arXiv:1710.03740

    Examples
    --------
    >>> policy = DTypePolicy("mixed_float16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('float16', 'float32')
    """

    quantization_mode = None

    def __init__(self, name: str | None = None):
        if name is None:
            common = dtype_policy()
            name = (common.default_policy if isinstance(common, DTypePolicyMap) else common).name
        if not isinstance(name, str):
            raise TypeError(
                f"the name of a dtype policy must be a string, such as 'mixed_float16'; came {name!r}"
            )
        if name in MIXED:
            self._dtypes = dtypes.standardize_dtype(MIXED[name]), "float32"
        else:
            name = _dtype_of(name)
            self._dtypes = name, name
        self._name = name

    @property
    def name(self) -> str:
        """``"mixed_bfloat16"``, or the name of a dtype."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype to which inputs and weights are cast before a layer computes."""
        return self._dtypes[0]

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return self._dtypes[1]

    @property
    def loss_scale(self) -> str | float | None:
        """How ``compile`` scales the loss: ``"dynamic"`` for ``mixed_float16``, else not."""
        return "dynamic" if self.name == "mixed_float16" else None

    def convert_input(self, x, autocast: bool, dtype: str):
        """Return ``x`` as a layer takes it: arrays as tensors, floating ones in ``dtype`` with autocast."""
        if not isinstance(x, (Tensor, KerasTensor)) and not hasattr(x, "__array__"):
            return x
        from gpukeras import ops

        x = ops.convert_to_tensor(x)
        casts = autocast and dtypes.is_float(dtype) and dtypes.is_float(x.dtype) and x.dtype != dtype
        return ops.cast(x, dtype) if casts else x

    def get_config(self) -> dict:
        """Return the constructor arguments."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> DTypePolicy:
        """Make a policy of the arguments in ``config``."""
        return cls(**config)

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and other.get_config() == self.get_config()

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f'<{type(self).__name__} "{self.name}">'


class FloatDTypePolicy(DTypePolicy):
    """Another name of ``DTypePolicy``, which saved models of Keras 3 hold.

    Parameters
    ----------
    name : str, optional
    """


def _dtype_of(name: str) -> str:
    """Return the dtype that a policy's name stands for."""
    if _QUANTISED.match(name) and name != "int8":
        raise ValueError(
            f"dtype policy {name!r} is a quantised one, and quantisation is outside this library; use a "
            "floating type, 'mixed_float16' or 'mixed_bfloat16'"
        )
    try:
        return dtypes.standardize_dtype(name)
    except ValueError as error:
        raise ValueError(
            f"unknown dtype policy {name!r}; expected 'mixed_float16', 'mixed_bfloat16' or a dtype such as "
            "'float32'"
        ) from error


# ---- policies by path -----------------------------------------------------------------------------------
class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Policies of layers by their path: ``dtype`` of a model with parts of different precision.

    Parameters
    ----------
    default_policy : str or DTypePolicy, optional
        Of layers whose path is not in the map; default: the global policy.
    policy_map : dict, optional
        Paths of layers (``"model/block/dense"``), or regular expressions that match whole paths, with
        policies.

    Notes
    -----
    A layer learns its path when it is built, and looks its policy up then.

    Examples
    --------
    >>> policies = DTypePolicyMap("mixed_float16", {"classifier/logits": DTypePolicy("float32")})
    >>> policies["classifier/logits"].compute_dtype, policies["classifier/hidden"].compute_dtype
    ('float32', 'float16')
    """

    def __init__(self, default_policy=None, policy_map: Mapping | None = None):
        if policy_map is not None and not isinstance(policy_map, Mapping):
            raise TypeError(f"DTypePolicyMap: policy_map must be a dictionary, came {policy_map!r}")
        self._default = None if default_policy is None else get(default_policy)
        self._policies: dict[str, DTypePolicy] = {}
        for path, policy in (policy_map or {}).items():
            self[path] = policy

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of layers that the map does not name."""
        if self._default is not None:
            return self._default
        found = dtype_policy()  # may be a map itself, even this one
        return DTypePolicy(dtypes.floatx()) if isinstance(found, DTypePolicyMap) else found

    @property
    def name(self) -> str:
        return f"map_{self.default_policy.name}"

    @property
    def compute_dtype(self) -> str:
        return self.default_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self.default_policy.variable_dtype

    @property
    def loss_scale(self):
        scales = [p.loss_scale for p in (self.default_policy, *self._policies.values())]
        return next((s for s in scales if s is not None), None)

    def __getitem__(self, path: str) -> DTypePolicy:
        """Return the policy of a layer: that of the path, of the expression that matches it, or the default.

        Raises
        ------
        ValueError
            Where several expressions match.
        """
        if path in self._policies:
            return self._policies[path]
        found = [key for key in self._policies if re.fullmatch(key, path)]
        if len(found) > 1:
            raise ValueError(f"DTypePolicyMap: path {path!r} matches several keys, {found}; make one match")
        return self._policies[found[0]] if found else self.default_policy

    def __setitem__(self, path: str, policy) -> None:
        if path in self._policies:
            raise ValueError(f"DTypePolicyMap: {path!r} is in the map already, with {self._policies[path]}")
        self._policies[path] = get(policy)

    def __delitem__(self, path: str) -> None:
        del self._policies[path]

    def __contains__(self, path) -> bool:
        return path in self._policies

    def __len__(self) -> int:
        return len(self._policies)

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def get_config(self) -> dict:
        default = None if self._default is None else written(self._default)
        return {
            "default_policy": default, "policy_map": {k: serialize(p) for k, p in self._policies.items()},
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> DTypePolicyMap:
        """Make a map of the arguments in ``config``."""
        read = {
            path: deserialize(p, custom_objects) if isinstance(p, Mapping) else p
            for path, p in (config.get("policy_map") or {}).items()
        }
        return cls(config.get("default_policy"), read)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self):
        policies = {path: policy.name for path, policy in self._policies.items()}
        return f"<DTypePolicyMap default_policy={self.default_policy.name}, mapping={policies}>"


# ---- names ----------------------------------------------------------------------------------------------
_global: DTypePolicy | None = None
_REGISTRY = Registry(  # saved layers name their policy
    "dtype policy",
    {cls.__name__: cls for cls in (DTypePolicy, FloatDTypePolicy, DTypePolicyMap)}, {"Policy": "DTypePolicy"},
    module="keras.dtype_policies", modules={"DTypePolicy": "keras", "FloatDTypePolicy": "keras"},
)
serialize = _REGISTRY.serialize


def deserialize(config, custom_objects=None) -> DTypePolicy:
    """Return the policy that ``serialize`` described.

    Examples
    --------
    >>> deserialize(serialize(DTypePolicy("mixed_float16")))
    <DTypePolicy "mixed_float16">
    """
    if isinstance(config, Mapping) and config.get("class_name") in _LEFT_OUT:
        raise ValueError(_left_out(config["class_name"]))
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier) -> DTypePolicy:
    """Return the policy for a name, dtype, configuration, policy or ``None`` (the global one).

    Examples
    --------
    >>> get("mixed_float16"), get(float)
    (<DTypePolicy "mixed_float16">, <DTypePolicy "float32">)
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier) if "class_name" in identifier else DTypePolicy(**identifier)
    return DTypePolicy(identifier if isinstance(identifier, str) else dtypes.standardize_dtype(identifier))


def written(policy: DTypePolicy) -> str | dict:
    """Return how a layer's configuration names its policy."""
    return policy.name if type(policy) is DTypePolicy else serialize(policy)


def dtype_policy() -> DTypePolicy:
    """Return the policy of layers that are given none: ``floatx`` unless changed."""
    return DTypePolicy(dtypes.floatx()) if _global is None else _global


def set_dtype_policy(policy) -> None:
    """Set the policy of layers made from now on; ``None`` returns to ``floatx``.

    Parameters
    ----------
    policy : str or DTypePolicy
    """
    global _global
    if policy is not None and not isinstance(policy, (str, DTypePolicy, Mapping)):
        raise ValueError(
            f"set_dtype_policy expects the name of a policy, such as 'mixed_float16', or a DTypePolicy; came "
            f"{policy!r}"
        )
    _global = None if policy is None else get(policy)


def _left_out(name: str) -> str:
    return f"dtype_policies.{name} is left out: quantisation is outside this library"


def __getattr__(name: str):
    if name in _LEFT_OUT:
        raise AttributeError(_left_out(name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
