"""JAX functions that run once: compiling is all the work."""


def quickly(function, *args):
    """Return ``function(*args)``, compiled by JAX with as little effort as it can."""
    import jax

    return jax.jit(function).lower(*args).compile({
        "xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
    })(*args)
