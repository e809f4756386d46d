"""Exported models answer as the network does, and one that does not is never written."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from enhancer import __main__ as cli
from enhancer.export import export
from enhancer.export.export import DifferenceError, ExportError, export_model, largest_difference
from enhancer.export.onnx import onnx_from_restormer
from enhancer.inference.enhancer import Enhancer
from enhancer.network.restormer import Restormer
from enhancer.network.torch_weights import restormer_from_torch
from enhancer.photo.io import write_photo
from tests.helpers.saved_run import save_run


def run_onnx(model: Restormer, **settings):
    pytest.importorskip("onnx", reason="extra `onnx`")
    runtime = pytest.importorskip("onnxruntime", reason="extra `onnx`")
    proto = onnx_from_restormer(model, **settings)
    session = runtime.InferenceSession(proto.SerializeToString())
    return lambda x: session.run(None, {"photo": x})[0]


def identity() -> keras.Model:
    model = keras.Sequential([keras.layers.Rescaling(1.0)])
    model.build((None, None, None, 3))
    return model


def picture(*size: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, *size, 3), np.float32)


def export_command(**given: object) -> int:
    options = (part for key, value in given.items() for part in (f"--{key}", str(value)))
    return cli.main(["export", *options])


def test_the_onnx_graph_equals_the_official_implementation():
    with np.load(Path(__file__).parents[1] / "network" / "bias_free_dim8.npz") as archive:
        model = restormer_from_torch(
            {k[7:]: archive[k] for k in archive.files if k.startswith("weight/")}
        )
        output = run_onnx(model)(archive["input"].transpose(0, 2, 3, 1))
        assert np.abs(output.transpose(0, 3, 1, 2) - archive["output"]).max() < 1e-5


def test_the_onnx_graph_takes_every_shape_of_network_and_picture(nano):
    changes = {"num_blocks": (2, 1, 1, 1), "num_heads": (2, 1, 2, 1)}
    changes |= {"norm": "with_bias", "conv_bias": True}
    # Seeded: chance may draw a network whose norms divide by almost nothing and enlarge rounding.
    keras.utils.set_random_seed(0)
    model = Restormer(dataclasses.replace(nano, **changes))
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        # Biases and norms begin at 0 and 1, where mistakes would not show.
        variable.assign(np.asarray(variable) + generator.normal(0, 0.05, variable.shape))
    run = run_onnx(model)
    assert largest_difference(run, model, [picture(17, 26)]) < 1e-5
    two = np.concatenate([picture(16, 16)] * 2)
    # Unclipped: there are values beyond 1.
    np.testing.assert_allclose(run(two)[1], run(two[:1])[0], rtol=2e-6, atol=1e-6)


def test_a_retouching_network_is_not_exported(nano, tmp_path, monkeypatch):
    retouching = Enhancer(Restormer(dataclasses.replace(nano, base="retouch")), 16)
    monkeypatch.setattr(export.Enhancer, "load", lambda workdir: retouching)
    with pytest.raises(ExportError, match="trained with --base photo"):
        export_model("run", "stablehlo", tmp_path / "model.stablehlo")
    assert not (tmp_path / "model.stablehlo").exists()


def test_of_a_fixed_size_the_onnx_graph_takes_no_other(nano):
    run = run_onnx(Restormer(nano), sides=(16, 24))
    assert run(picture(16, 24)).shape == (1, 16, 24, 3)
    with pytest.raises(Exception, match=r"Expected: 16|invalid dimensions"):
        run(picture(24, 16))


@pytest.fixture(scope="module")
def run(nano, tmp_path_factory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), Restormer(nano), resolution=16)


def assert_exported(run: Path, output: Path, size: str, capsys) -> None:
    file_format = output.suffix[1:]
    assert export_command(workdir=run, format=file_format, output=output, size=size) == 0
    printed = capsys.readouterr().out
    assert str(output) in printed
    assert "differ from the model's by at most" in printed
    assert list(output.parent.iterdir()) == [output]


def test_onnx_is_run_back_against_the_model(run, tmp_path, capsys):
    for package in export._PACKAGES["onnx"]:
        pytest.importorskip(package, reason="extra `onnx`")
    assert_exported(run, tmp_path / "new" / "model.onnx", "24x40", capsys)


def test_stablehlo_is_run_back_against_the_model_and_needs_nothing_but_jax(run, tmp_path, capsys):
    """At last by what the documentation tells people to write, without this package."""
    assert_exported(run, tmp_path / "model.stablehlo", "dynamic", capsys)
    code = (
        "import jax, jax.export, numpy as np, pathlib, sys\n"
        "model = jax.export.deserialize(bytearray(pathlib.Path('model.stablehlo').read_bytes()))\n"
        "print(model.call(np.zeros((1, 8, 8, 3), np.float32)).shape)\n"
        "assert not {'keras', 'enhancer'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("(1, 8, 8, 3)\n", 0), done.stderr


def test_a_photo_of_the_users_is_compared_on_as_the_network_sees_it(tmp_path):
    photo = tmp_path / "hall.png"
    write_photo(photo, np.full((40, 90, 3), 90, np.uint8))
    shapes = [p.shape for p in export._check_pictures(photo, 16, (None, None))]
    assert shapes == [(1, 14, 32, 3), (1, 8, 15, 3)]  # reduced, and a part of that with an odd side
    assert [p.shape for p in export._check_pictures(photo, 16, (24, 8))] == [(1, 24, 8, 3)]


@pytest.mark.parametrize("error", [3e-4, np.nan])
def test_a_model_that_answers_something_else_is_not_written(tmp_path, capsys, monkeypatch, error):
    monkeypatch.setattr(export.Enhancer, "load", lambda workdir: Enhancer(identity(), 16))
    monkeypatch.setattr(export, "_exported_bytes", lambda *arguments: b"program")
    monkeypatch.setattr(export, "_open", lambda file_format, path: lambda x: x + np.float32(error))
    output = tmp_path / "m.stablehlo"
    assert export_command(workdir="run", format="stablehlo", output=output) == 1
    assert "was not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_answers_of_another_shape_are_differences():
    with pytest.raises(DifferenceError, match=r"\(1, 8, 8, 3\) with \(1, 4, 8, 3\)"):
        largest_difference(lambda x: x[:, :4], identity(), [picture(8, 8)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "m.pb"}, "must end in .stablehlo"),
        ({"size": "4x16"}, "height and width from 8 pixels such as 896x1344; received 4x16"),
        ({"size": "large"}, "received large"),
        ({"workdir": "nowhere"}, "nowhere does not exist"),
        ({"check-photo": "nowhere.jpg"}, "nowhere.jpg does not exist"),
    ],
)
def test_wrong_arguments_are_usage_errors(tmp_path, monkeypatch, capsys, settings, message):
    monkeypatch.chdir(tmp_path)
    if "workdir" not in settings:
        monkeypatch.setattr(export.Enhancer, "load", lambda workdir: Enhancer(identity(), 16))
    given = {"workdir": "run", "format": "stablehlo", "output": "m.stablehlo"}
    assert export_command(**given | settings) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.stablehlo").exists()


def test_a_file_that_exists_is_replaced_on_request_only(tmp_path):
    (tmp_path / "m.stablehlo").write_text("precious")
    with pytest.raises(ExportError, match="--overwrite replaces it"):
        export_model("unused", "stablehlo", tmp_path / "m.stablehlo")
    assert (tmp_path / "m.stablehlo").read_text() == "precious"


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"needs onnx and onnxruntime, .* the extra `onnx`"):
        export_model("unused", "onnx", tmp_path / "m.onnx")
