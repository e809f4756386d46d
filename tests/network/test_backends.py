"""The same forward on other Keras backends, each in its own process: Keras has one backend each."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import keras, numpy as np
from enhancer.network.torch_weights import restormer_from_torch

if keras.backend.backend() == "openvino":
    # On CPUs with bfloat16 instructions OpenVINO computes in bfloat16 unless told otherwise; Keras
    # does not pass the wish on.
    import openvino
    compile_model = openvino.compile_model
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    openvino.compile_model = lambda model, device: compile_model(model, device, exact)

with np.load("tests/network/bias_free_dim8.npz") as archive:
    names = [name for name in archive.files if name.startswith("weight/")]
    model = restormer_from_torch({name[7:]: archive[name] for name in names})
    output = model.predict(archive["input"].transpose(0, 2, 3, 1), verbose=0)
    print(keras.backend.backend(), np.abs(output.transpose(0, 3, 1, 2) - archive["output"]).max())
"""


@pytest.mark.parametrize("backend", ["torch", "openvino", "tensorflow"])
def test_output_equals_the_official_implementation(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(
            f"{backend} is not installed (extra `torch` or `tfds-cli`, or `pip install openvino`)"
        )
    completed = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).resolve().parents[2],
        # TensorFlow 2.21's oneDNN batch matmul corrupts the heap on some CPUs.
        env=os.environ | {"KERAS_BACKEND": backend, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr
    name, difference = completed.stdout.split()
    assert name == backend
    assert float(difference) < 1e-5
