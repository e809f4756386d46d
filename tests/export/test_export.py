"""Exported models answer as the network does, and one that does not is never written."""

import importlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from enhancer import __main__ as cli
from enhancer.config import ModelConfig
from enhancer.export import export
from enhancer.export.export import (
    DifferenceError,
    ExportError,
    export_model,
    largest_difference,
    render_room,
)
from enhancer.export.onnx import onnx_from_restormer
from enhancer.inference.enhancer import Enhancer
from enhancer.network.restormer import Restormer
from enhancer.network.torch_weights import restormer_from_torch
from enhancer.photo.io import write_photo

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "stablehlo": ".stablehlo"}


def needs(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extras `onnx` and `openvino`)")


def run_onnx(model: Restormer, **settings):
    needs("onnx", "onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(
        onnx_from_restormer(model, **settings).SerializeToString()
    )
    return lambda x: session.run(None, {"photo": x})[0]


def identity() -> keras.Model:
    model = keras.Sequential([keras.layers.Rescaling(1.0)])
    model.build((None, None, None, 3))
    return model


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [np.random.default_rng(0).random((1, *size, 3), np.float32) for size in sizes]


def test_the_onnx_graph_equals_the_official_implementation():
    with np.load(Path(__file__).parents[1] / "network" / "bias_free_dim8.npz") as archive:
        model = restormer_from_torch(
            {k[7:]: archive[k] for k in archive.files if k.startswith("weight/")}
        )
        output = run_onnx(model)(archive["input"].transpose(0, 2, 3, 1))
        assert np.abs(output.transpose(0, 3, 1, 2) - archive["output"]).max() < 1e-5


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(
            dim=4, num_blocks=(2, 1, 1, 1), num_refinement_blocks=1, num_heads=(2, 1, 2, 1)
        ),
        ModelConfig(
            dim=4,
            num_blocks=(1, 1, 1, 1),
            num_refinement_blocks=1,
            num_heads=(1, 1, 1, 1),
            norm="with_bias",
            conv_bias=True,
        ),
        ModelConfig(
            dim=4,
            num_blocks=(1, 1, 1, 1),
            num_refinement_blocks=1,
            num_heads=(1, 1, 1, 1),
            base="developed",
        ),
    ],
    ids=["several blocks and heads", "biases", "developed"],
)
def test_the_onnx_graph_takes_every_shape_of_network_and_picture(config):
    # Seeded: now and then chance draws a network whose norms divide by almost nothing and enlarge rounding.
    keras.utils.set_random_seed(0)
    model = Restormer(config)
    generator = np.random.default_rng(0)
    for variable in (
        model.trainable_variables
    ):  # biases and norms begin at 0 and 1, where mistakes would not show
        variable.assign(np.asarray(variable) + generator.normal(0, 0.05, variable.shape))
    run = run_onnx(model)
    assert largest_difference(run, model, pictures((17, 26))) < 1e-5
    dark = [
        picture * np.float32(0.3) for picture in pictures((17, 26))
    ]  # a developed base treats them in another way
    assert largest_difference(run, model, dark) < 1e-5
    two = np.concatenate(pictures((16, 16)) * 2)
    np.testing.assert_allclose(
        run(two)[1], run(two[:1])[0], rtol=2e-6, atol=1e-6
    )  # unclipped: there are values beyond 1


def test_of_a_fixed_size_the_onnx_graph_takes_no_other(nano):
    run = run_onnx(Restormer(nano), sides=(16, 24))
    assert run(*pictures((16, 24))).shape == (1, 16, 24, 3)
    with pytest.raises(Exception, match=r"Expected: 16|invalid dimensions"):
        run(*pictures((24, 16)))


@pytest.mark.parametrize(
    ("name", "size"), [("onnx", "24x40"), ("openvino", "dynamic"), ("stablehlo", "dynamic")]
)
def test_every_format_is_run_back_against_the_model(trained_stage, tmp_path, capsys, name, size):
    needs(*export._PACKAGES[name])
    output = tmp_path / "new" / f"model{SUFFIXES[name]}"
    arguments = [
        "--workdir",
        str(trained_stage),
        "--format",
        name,
        "--output",
        str(output),
        "--size",
        size,
    ]
    assert cli.main(["export", *arguments]) == 0
    printed = capsys.readouterr().out
    assert str(output) in printed
    assert "differ from the model's by at most" in printed
    assert sorted(path.suffix for path in output.parent.iterdir()) == sorted(
        {SUFFIXES[name], ".bin" if name == "openvino" else SUFFIXES[name]}
    )


def test_stablehlo_needs_nothing_but_jax(nano, tmp_path):
    """What the documentation tells people to write, in a process that does not import this package."""
    (tmp_path / "model.stablehlo").write_bytes(
        export.stablehlo_from_restormer(Restormer(nano), (8, 8))
    )
    program = (
        "import jax, jax.export, numpy as np, pathlib, sys\n"
        "model = jax.export.deserialize(bytearray(pathlib.Path('model.stablehlo').read_bytes()))\n"
        "print(model.call(np.zeros((1, 8, 8, 3), np.float32)).shape)\n"
        "assert not {'keras', 'enhancer'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("(1, 8, 8, 3)\n", 0), done.stderr


def test_a_photo_of_the_users_is_compared_on_as_the_network_sees_it(tmp_path):
    write_photo(tmp_path / "hall.png", render_room(40, 90))
    shapes = [p.shape for p in export._check_pictures(tmp_path / "hall.png", 16, (None, None))]
    assert shapes == [(1, 14, 32, 3), (1, 8, 15, 3)]  # reduced, and a part of that with an odd side
    assert [p.shape for p in export._check_pictures(tmp_path / "hall.png", 16, (24, 8))] == [
        (1, 24, 8, 3)
    ]


@pytest.mark.parametrize("error", [3e-4, np.nan])
def test_a_model_that_answers_something_else_is_not_written(tmp_path, capsys, monkeypatch, error):
    monkeypatch.setattr(export.Enhancer, "load", lambda workdir: Enhancer(identity(), 16))
    monkeypatch.setattr(
        export, "_write", lambda enhancer, file_format, sides, path: path.write_bytes(b"program")
    )
    monkeypatch.setattr(export, "_open", lambda file_format, path: lambda x: x + np.float32(error))
    arguments = [
        "--workdir",
        "run",
        "--format",
        "stablehlo",
        "--output",
        str(tmp_path / "m.stablehlo"),
    ]
    assert cli.main(["export", *arguments]) == 1
    assert "was not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_answers_of_another_shape_are_differences():
    with pytest.raises(DifferenceError, match=r"\(1, 8, 8, 3\) with \(1, 4, 8, 3\)"):
        largest_difference(lambda x: x[:, :4], identity(), pictures((8, 8)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "m.pb"}, "must end in .stablehlo"),
        (
            {"size": "4x16"},
            "--size takes dynamic, or height and width from 8 pixels such as 896x1344; received 4x16",
        ),
        ({"size": "large"}, "received large"),
        ({"workdir": "nowhere"}, "nowhere does not exist"),
        ({"check-photo": "nowhere.jpg"}, "nowhere.jpg does not exist"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    trained_stage, tmp_path, monkeypatch, capsys, settings, message
):
    monkeypatch.chdir(tmp_path)
    given = {"workdir": trained_stage, "format": "stablehlo", "output": "m.stablehlo", **settings}
    assert (
        cli.main(
            ["export", *(part for key, value in given.items() for part in (f"--{key}", str(value)))]
        )
        == 2
    )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.stablehlo").exists()


def test_a_file_that_exists_is_replaced_on_request_only(trained_stage, tmp_path):
    (tmp_path / "m.stablehlo").write_text("precious")
    with pytest.raises(ExportError, match="--overwrite replaces it"):
        export_model(trained_stage, "stablehlo", tmp_path / "m.stablehlo")
    assert (tmp_path / "m.stablehlo").read_text() == "precious"


def test_a_weights_file_that_exists_is_replaced_on_request_only(tmp_path):
    (tmp_path / "m.bin").write_text("precious")
    with pytest.raises(ExportError, match=r"m\.bin exists already; --overwrite replaces it"):
        export_model("unused", "openvino", tmp_path / "m.xml")


def test_missing_packages_are_named(trained_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ExportError,
        match="needs onnx and openvino, not installed here; install the extra `openvino`",
    ):
        export_model(trained_stage, "openvino", tmp_path / "m.xml")


def test_help_of_export_comes_without_loading_a_framework():
    program = (
        "import sys; from enhancer.__main__ import main\n"
        "try: main(['export', '--help'])\n"
        "finally: assert not {'jax', 'keras', 'cv2', 'onnx', 'openvino'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "HxW|dynamic" in done.stdout


def test_the_rendered_room_is_dim_and_has_a_window():
    room = render_room(60, 90)
    assert room.shape == (60, 90, 3)
    assert np.median(room) < 110
    assert room.max() == 255
