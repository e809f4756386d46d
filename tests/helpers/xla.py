"""How XLA compiles programs for tests: soon, and as for users where that is what is tested."""

# Tiny programs take longer to optimise than to run.
SOON = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
AS_FOR_USERS = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
"""XLA's defaults, for `jax.jit`."""
