"""A Restormer as an ONNX graph: the same weights in ONNX's own operators, for pictures of any size.

The graph is written down instead of being traced from the JAX program, whose loops and sums of
shifted pictures are made for XLA (docs/decisions/0010).
"""

import functools
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from enhancer.network.blocks import TransformerBlocks
from enhancer.network.layers import EPSILON_L2, EPSILON_NORM
from enhancer.network.restormer import SIZE_MULTIPLE, Restormer

OPSET = 18
"""Of 2022: ONNX Runtime 1.14 and OpenVINO 2023.1 read it."""
INPUT, OUTPUT = "photo", "edited"

Weights = dict[str, np.ndarray]


def onnx_from_restormer(
    model: Restormer, sides: tuple[int | None, int | None] = (None, None), description: str = ""
) -> onnx.ModelProto:
    """The network with its weights, in float32, from "photo" to "edited" as `Restormer.call`.

    Args:
        model: computing in float32.
        sides: height and width of the pictures; None leaves one open, from 8 pixels.
        description: kept in the file, for people.
    """
    graph = _Graph()
    # Reflected at the lower and right edge up to a multiple of 8. Mod has the divisor's sign, so
    # the remainder of what is negative is what is missing.
    photo = graph.Transpose(INPUT, perm=(0, 3, 1, 2))
    size = graph.Slice(graph.Shape(photo), [2], [4])
    missing = graph.Mod(graph.Neg(size), [SIZE_MULTIPLE])
    padded = graph.Pad(photo, graph.Concat([0] * 6, missing, axis=0), mode="reflect")
    level1 = _blocks(graph, model.encoder_level1, _convolution(graph, model.patch_embed, padded))
    level2 = _blocks(graph, model.encoder_level2, _pixel_unshuffle(graph, model.down1_2, level1))
    level3 = _blocks(graph, model.encoder_level3, _pixel_unshuffle(graph, model.down2_3, level2))
    latent = _blocks(graph, model.latent, _pixel_unshuffle(graph, model.down3_4, level3))

    y = _pixel_shuffle_beside(graph, model.up4_3, latent, level3)
    y = _blocks(graph, model.decoder_level3, _convolution(graph, model.reduce_chan_level3, y))
    y = _pixel_shuffle_beside(graph, model.up3_2, y, level2)
    y = _blocks(graph, model.decoder_level2, _convolution(graph, model.reduce_chan_level2, y))
    y = _pixel_shuffle_beside(graph, model.up2_1, y, level1)
    y = _blocks(graph, model.refinement, _blocks(graph, model.decoder_level1, y))

    edited = graph.Add(_convolution(graph, model.output_conv, y), padded)
    graph.Transpose(graph.Slice(edited, [0, 0], size, [2, 3]), output=OUTPUT, perm=(0, 2, 3, 1))

    shape = ("batch", sides[0] or "height", sides[1] or "width", model.config.channels)
    start, end = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (INPUT, OUTPUT)
    )
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "restormer", [start], [end], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # of the time of the operator set; onnx would write its own newest
        producer_name="enhancer",
        doc_string=description,
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


class _Graph:
    """ONNX's operators as functions, of names of values and of constants, that return names."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __getattr__(self, operator: str) -> Callable[..., str]:
        return functools.partial(self._add, operator)

    def _add(self, operator: str, *inputs, output: str | None = None, **attributes) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.outputs(operator, inputs, [output], **attributes)
        return output

    def outputs(self, operator: str, inputs, outputs: list[str], **attributes) -> list[str]:
        """Append a node with several outputs."""
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, outputs, **attributes))
        return outputs

    def split(self, x: str, parts: int) -> list[str]:
        """Cut channels into equal parts."""
        names = [f"split_{len(self.nodes)}_{part}" for part in range(parts)]
        return self.outputs("Split", [x], names, axis=1, num_outputs=parts)

    def _constant(self, value) -> str:
        """Keep an array, as float32 or int64, and return its name."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _convolution(graph: _Graph, layer, x: str) -> str:
    """A Keras convolution with zero padding."""
    kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
    bias = [np.asarray(layer.bias)] if layer.use_bias else []
    return graph.Conv(x, kernel, *bias, pads=[kernel.shape[-1] // 2] * 4)


def _pixel_unshuffle(graph: _Graph, layer, x: str) -> str:
    """A convolution, then 2x2 pixels folded into channels, in PyTorch's order."""
    folded = graph.SpaceToDepth(_convolution(graph, layer, x), blocksize=2)
    return graph.Gather(folded, np.arange(4 * layer.filters).reshape(4, -1).T.ravel(), axis=1)


def _pixel_shuffle_beside(graph: _Graph, layer, x: str, skipped: str) -> str:
    """A convolution, channels unfolded into 2x2 pixels, and the encoder's features beside them."""
    enlarged = graph.DepthToSpace(_convolution(graph, layer, x), blocksize=2, mode="CRD")
    return graph.Concat(enlarged, skipped, axis=1)


def _blocks(graph: _Graph, layer: TransformerBlocks, x: str) -> str:
    """A group of blocks, one after the other."""
    stacked = {name: np.asarray(weight) for name, weight in layer.stacked.items()}
    for index in range(layer.num_blocks):
        weights = {name: values[index] for name, values in stacked.items()}
        x = graph.Add(x, _attention(graph, weights, x))
        x = graph.Add(x, _feed_forward(graph, weights, x))
    return x


def _attention(graph: _Graph, weights: Weights, x: str) -> str:
    """MDTA: attention across channels (`enhancer.network.layers.transposed_attention`)."""
    channels, heads = len(weights["attention_projection"]), len(weights["attention_temperature"])
    per_head = [0, heads, channels // heads, -1]
    qkv = _projected_depthwise(graph, weights, "attention", "qkv", x)
    query, key, value = (graph.Reshape(part, per_head) for part in graph.split(qkv, 3))

    def norms(features: str) -> str:
        squares = graph.ReduceSumSquare(features, [-1], keepdims=1)
        return graph.Sqrt(graph.Max(squares, EPSILON_L2**2))

    gram = graph.MatMul(query, graph.Transpose(key, perm=(0, 1, 3, 2)))
    lengths = graph.Mul(norms(query), graph.Transpose(norms(key), perm=(0, 1, 3, 2)))
    temperature = weights["attention_temperature"].reshape(heads, 1, 1)
    logits = graph.Mul(graph.Div(gram, lengths), temperature)
    attended = graph.MatMul(graph.Softmax(logits, axis=-1), value)
    pictures = graph.Reshape(attended, graph.Shape(x))
    return _pointwise(graph, weights, "attention_projection", pictures)


def _feed_forward(graph: _Graph, weights: Weights, x: str) -> str:
    """GDFN (`enhancer.network.layers.gated_feed_forward`)."""
    gate, content = graph.split(_projected_depthwise(graph, weights, "ffn", "expansion", x), 2)
    erf = graph.Erf(graph.Mul(gate, np.sqrt(0.5)))
    gelu = graph.Mul(gate, graph.Mul(graph.Add(erf, 1.0), 0.5))
    return _pointwise(graph, weights, "ffn_projection", graph.Mul(gelu, content))


def _projected_depthwise(
    graph: _Graph, weights: Weights, half: str, projection: str, x: str
) -> str:
    """Norm, 1x1 convolution, depthwise 3x3 with zero padding."""
    normalised = _layer_norm(graph, weights, half, x)
    projected = _pointwise(graph, weights, f"{half}_{projection}", normalised)
    kernel = weights[f"{half}_depthwise"].transpose(2, 0, 1)[:, None]
    bias = _bias(weights, f"{half}_depthwise")
    return graph.Conv(projected, kernel, *bias, pads=[1] * 4, group=len(kernel))


def _pointwise(graph: _Graph, weights: Weights, name: str, x: str) -> str:
    return graph.Conv(x, weights[name].T[..., None, None], *_bias(weights, name))


def _bias(weights: Weights, name: str) -> list[np.ndarray]:
    return [weights[f"{name}_bias"]] if f"{name}_bias" in weights else []


def _layer_norm(graph: _Graph, weights: Weights, half: str, x: str) -> str:
    """Over channels; without a bias the mean stays in (`enhancer.network.layers.layer_norm`)."""
    centred = graph.Sub(x, graph.ReduceMean(x, [1]))
    variance = graph.ReduceMean(graph.Mul(centred, centred), [1])
    deviation = graph.Sqrt(graph.Add(variance, EPSILON_NORM))
    scale = weights[f"{half}_norm_scale"].reshape(-1, 1, 1)
    bias = weights.get(f"{half}_norm_bias")
    if bias is None:
        return graph.Mul(graph.Div(x, deviation), scale)
    return graph.Add(graph.Mul(graph.Div(centred, deviation), scale), bias.reshape(-1, 1, 1))
