"""Tracing kept for the next start: a program as StableHLO, beside XLA's own compiled programs.

Python takes seconds to trace a train step, and XLA knows only then whether it has compiled it
before. What an earlier start traced is read back in a tenth of a second.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import keras
from jax import export

import enhancer
from enhancer.system.compiler import compiler_options
from enhancer.system.files import write_atomically
from enhancer.training.state import TrainState
from enhancer.training.step import StepControls, StepReport

_DIGEST_BYTES = hashlib.sha256().digest_size

for kind in (TrainState, StepControls, StepReport):
    export.register_namedtuple_serialization(kind, serialized_name=f"enhancer.{kind.__name__}")


class KeptTrace:
    """A jitted program that is traced once for each size of pictures, by whichever start is first.

    Args:
        program: by `jax.jit`; its second argument is the batch, and the shapes of the others follow
            from the network and the settings.
        donated: the arguments whose memory it may use.
        shaped_by: what it depends on besides our sources and its arguments, as JSON has it.
    """

    def __init__(self, program: Any, donated: tuple[int, ...], shaped_by: Any):
        self._program, self._donated, self._shaped_by = program, donated, shaped_by
        self._by_size: dict[tuple[int, ...], Callable] = {}

    def __call__(self, *arguments: Any) -> Any:
        size = arguments[1]["input"].shape
        if size not in self._by_size:
            self._by_size[size] = self._kept(arguments)
        return self._by_size[size](*arguments)

    def _kept(self, arguments: tuple) -> Callable:
        config: Any = jax.config  # its own annotations know no options
        cache = config.jax_enable_compilation_cache and config.jax_compilation_cache_dir
        if not cache or "://" in cache or jax.process_count() > 1:  # JAX can keep it in buckets
            return self._program
        file = Path(cache) / "traces" / f"{self._key(arguments)}.jax"
        exported = _read(file)
        if exported is None:
            try:
                exported = export.export(self._program)(*arguments)
            except (ValueError, NotImplementedError):  # an operation that JAX does not export
                return self._program
            _write(file, exported)
        return jax.jit(
            exported.call, donate_argnums=self._donated, compiler_options=compiler_options()
        )

    def _key(self, arguments: tuple) -> str:
        """Equal only where tracing would give the same program."""
        config: Any = jax.config
        leaves, structure = jax.tree.flatten(arguments)
        known = {
            "shaped_by": self._shaped_by,
            "arguments": str(structure),
            "leaves": [str((x.shape, x.dtype, getattr(x, "sharding", None))) for x in leaves],
            "devices": [str(device.device_kind) for device in jax.devices()],
            "versions": [metadata.version(name) for name in ("jax", "jaxlib", "keras")],
            "jax": {name: str(value) for name, value in config.values.items()},
            "keras": [keras.config.floatx(), keras.config.image_data_format()],
            "sources": _sources_sha256(),
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _read(file: Path) -> export.Exported | None:
    """None where the file is missing or damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, serialized = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(serialized).digest() != digest:
        return None
    return export.deserialize(bytearray(serialized))


def _write(file: Path, exported: export.Exported) -> None:
    serialized = bytes(exported.serialize())
    with contextlib.suppress(OSError):  # the next start traces again, then
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, hashlib.sha256(serialized).digest() + serialized)


def _sources_sha256() -> str:
    """Of all Python files of the package."""
    folder = Path(enhancer.__file__).parent
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        total.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return total.hexdigest()
