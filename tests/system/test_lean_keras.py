"""Keras is imported without what its data frames and plots need, which can still be imported."""

import subprocess
import sys

PROGRAM = """
import sys
from enhancer.system.lean_keras import NOT_NEEDED, import_keras
import_keras()
import keras
print(keras.backend.backend(), *(name for name in NOT_NEEDED if name in sys.modules))
import matplotlib, pandas
print(pandas.DataFrame({"a": [1]}).shape, matplotlib.get_backend() != "")
import_keras()
print("pandas" in sys.modules)
"""


def test_keras_is_there_and_the_others_can_be_imported_afterwards():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["jax", "(1, 1) True", "True"], done.stderr
