"""Which dtype a layer computes in and which its weights have."""

from __future__ import annotations

from gpukeras import dtypes
from gpukeras.registry import Registry


class DTypePolicy:
    """The pair of compute dtype and variable dtype of a layer.

    Parameters
    ----------
    name : str, optional
        A float type (``"float32"``: both), ``"mixed_float16"`` (compute in float16, weights in float32), or
        an integer type for layers that hold integers. Default: ``floatx``.

    Examples
    --------
    >>> policy = DTypePolicy("mixed_float16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('float16', 'float32')
    """

    def __init__(self, name: str | None = None):
        name = name or dtypes.floatx()
        self.name = name
        if name == "mixed_float16":
            self.compute_dtype, self.variable_dtype = "float16", "float32"
        elif name == "mixed_bfloat16":
            raise ValueError(
                "dtype policy 'mixed_bfloat16' is not supported yet; use 'mixed_float16' or 'float32'"
            )
        else:
            self.compute_dtype = self.variable_dtype = dtypes.standardize_dtype(name)

    quantization_mode = None

    def get_config(self) -> dict:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict) -> DTypePolicy:
        return cls(**config)

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'


_global: DTypePolicy | None = None


def get(identifier) -> DTypePolicy:
    """Return the policy for a name, dtype, configuration, policy or ``None`` (the global one)."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        config = identifier.get("config", identifier)
        return DTypePolicy(config["name"])
    if isinstance(identifier, str) and identifier.startswith("mixed_"):
        return DTypePolicy(identifier)
    return DTypePolicy(dtypes.standardize_dtype(identifier))


def dtype_policy() -> DTypePolicy:
    """Return the policy of layers that are given none: ``floatx`` unless changed."""
    return _global or DTypePolicy(dtypes.floatx())


def set_dtype_policy(policy) -> None:
    """Set the policy of layers made from now on; ``None`` returns to ``floatx``."""
    global _global
    _global = None if policy is None else get(policy)


Registry(  # saved layers name their policy
    "dtype policy", {"DTypePolicy": DTypePolicy},
    {"FloatDTypePolicy": "DTypePolicy", "Policy": "DTypePolicy"},
    module="keras.dtype_policies", modules={"DTypePolicy": "keras"},
)
