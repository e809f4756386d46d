"""A Restormer as an ONNX graph: the same weights in ONNX's own operators, for pictures of any
height and width.

The graph is written down directly instead of being traced from the JAX program, whose loops over
stacked weights and sums of shifted pictures are made for XLA (docs/decisions/0010). Here a
depthwise filter is a grouped convolution, as ONNX Runtime and OpenVINO want it.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from enhancer.network.blocks import TransformerBlocks
from enhancer.network.development import (
    BRIGHT,
    CURVE_END,
    LUMINANCE,
    MAX_FACTOR,
    NORMALISED_SHARE,
    QUARTERS_BELOW,
    WELL_LIT,
)
from enhancer.network.layers import EPSILON_L2, EPSILON_NORM
from enhancer.network.restormer import SIZE_MULTIPLE, Restormer

OPSET = 18
"""Of 2022: ONNX Runtime 1.14 and OpenVINO 2023.1 read it."""
INPUT, OUTPUT = "photo", "edited"


def onnx_from_restormer(
    model: Restormer, sides: tuple[int | None, int | None] = (None, None), description: str = ""
) -> onnx.ModelProto:
    """The network with its weights, in float32.

    Args:
        model: computing in float32.
        sides: height and width of the pictures; None leaves one open, from 8 pixels.
        description: kept in the file, for people.

    Returns:
        From "photo" to "edited", both float32 `(batch, height, width, channels)`, in [0, 1] and not
        clipped, as `Restormer.call`.
    """
    graph = _Graph()
    photo = graph.add("Transpose", INPUT, perm=(0, 3, 1, 2))
    padded, size = _pad(graph, photo)
    seen = padded
    if model.config.base == "developed":
        padded = _developed(graph, np.asarray(model.development.curve), padded)
        seen = graph.add("Concat", padded, seen, axis=1)

    level1 = _blocks(graph, model.encoder_level1, _convolution(graph, model.patch_embed, seen))
    level2 = _blocks(graph, model.encoder_level2, _pixel_unshuffle(graph, model.down1_2, level1))
    level3 = _blocks(graph, model.encoder_level3, _pixel_unshuffle(graph, model.down2_3, level2))
    latent = _blocks(graph, model.latent, _pixel_unshuffle(graph, model.down3_4, level3))

    y = _pixel_shuffle_beside(graph, model.up4_3, latent, level3)
    y = _blocks(graph, model.decoder_level3, _convolution(graph, model.reduce_chan_level3, y))
    y = _pixel_shuffle_beside(graph, model.up3_2, y, level2)
    y = _blocks(graph, model.decoder_level2, _convolution(graph, model.reduce_chan_level2, y))
    y = _pixel_shuffle_beside(graph, model.up2_1, y, level1)
    y = _blocks(graph, model.refinement, _blocks(graph, model.decoder_level1, y))

    edited = graph.add("Add", _convolution(graph, model.output_conv, y), padded)
    cropped = graph.add("Slice", edited, graph.constant([0, 0]), size, graph.constant([2, 3]))
    graph.add("Transpose", cropped, output=OUTPUT, perm=(0, 2, 3, 1))

    shape = ("batch", sides[0] or "height", sides[1] or "width", model.config.channels)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (INPUT, OUTPUT)
    ]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "restormer", ends[:1], ends[1:], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # of the time of the operator set; onnx would write its own newest
        producer_name="enhancer",
        doc_string=description,
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


class _Graph:
    """Nodes and constants, each under a number of its own."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes) -> str:
        """Append a node with one output and return the output's name."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def split(self, x: str, parts: int) -> list[str]:
        """Cut channels into equal parts."""
        outputs = [f"split_{len(self.nodes)}_{part}" for part in range(parts)]
        self.nodes.append(helper.make_node("Split", [x], outputs, axis=1, num_outputs=parts))
        return outputs

    def add_top(self, x: str, number: str) -> str:
        """The greatest `number` values of each row, from the greatest down."""
        values = f"topk_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node("TopK", [x, number], [values, f"{values}_places"], axis=1)
        )
        return values

    def constant(self, value) -> str:
        """Keep an array, as float32 or int64, and return its name."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _pad(graph: _Graph, x: str) -> tuple[str, str]:
    """Reflect at the lower and right edge up to a multiple of 8; also the names of the padded
    picture and of its size before."""
    size = graph.add("Slice", graph.add("Shape", x), graph.constant([2]), graph.constant([4]))
    eight = graph.constant([SIZE_MULTIPLE])
    # Mod has the divisor's sign, so the remainder of what is negative is what is missing.
    missing = graph.add("Mod", graph.add("Neg", size), eight)
    pads = graph.add("Concat", graph.constant([0] * 6), missing, axis=0)
    return graph.add("Pad", x, pads, mode="reflect"), size


def _developed(graph: _Graph, curve: np.ndarray, x: str) -> str:
    """The photos with their light normalised, through the learned curve
    (`enhancer.network.development`)."""
    constant = graph.constant

    def choose(x: str, threshold: float, below: str, above: str) -> str:
        return graph.add("Where", graph.add("LessOrEqual", x, constant(threshold)), below, above)

    bent = graph.add("Div", graph.add("Add", x, constant(0.055)), constant(1.055))
    linear = choose(
        x, 0.04045, graph.add("Div", x, constant(12.92)), graph.add("Pow", bent, constant(2.4))
    )
    weights = constant(np.asarray(LUMINANCE).reshape(1, 3, 1, 1))
    weighted = graph.add("ReduceSum", graph.add("Mul", linear, weights), constant([1]), keepdims=0)
    luminance = graph.add("Reshape", weighted, constant([0, -1]))
    pixels = graph.add("Slice", graph.add("Shape", luminance), constant([1]), constant([2]))
    below = graph.add("Mul", graph.add("Sub", pixels, constant([1])), constant([QUARTERS_BELOW]))
    above = graph.add("Sub", pixels, graph.add("Div", below, constant([4])))
    # Of the values from the upper quartile on, sorted from the brightest, the last.
    bright = graph.add_top(luminance, above)
    bright = graph.add(
        "Slice", bright, constant([-1]), constant([np.iinfo(np.int64).max]), constant([1])
    )
    bright = graph.add(
        "Clip",
        graph.add("Reshape", bright, constant([-1, 1, 1, 1])),
        constant(1e-5),
        constant(WELL_LIT),
    )
    colour = graph.add("Add", graph.add("ReduceMean", linear, constant([2, 3])), constant(1e-5))
    brightness = graph.add("ReduceSum", graph.add("Mul", colour, weights), constant([1]))
    wanted = graph.add(
        "Mul", graph.add("Div", constant(BRIGHT), bright), graph.add("Div", brightness, colour)
    )
    factors = graph.add("Pow", wanted, constant(NORMALISED_SHARE))
    linear = graph.add(
        "Mul", linear, graph.add("Clip", factors, constant(1 / MAX_FACTOR), constant(MAX_FACTOR))
    )
    root = graph.add("Pow", graph.add("Max", linear, constant(0.0031308)), constant(1 / 2.4))
    bent = graph.add("Sub", graph.add("Mul", root, constant(1.055)), constant(0.055))
    light = choose(linear, 0.0031308, graph.add("Mul", linear, constant(12.92)), bent)
    light = graph.add(
        "Mul", graph.add("Min", light, constant(CURVE_END)), constant((len(curve) - 1) / CURVE_END)
    )
    total = constant(0.0)
    for knot, values in enumerate(curve):
        distance = graph.add("Abs", graph.add("Sub", light, constant(float(knot))))
        hat = graph.add("Max", graph.add("Sub", constant(1.0), distance), constant(0.0))
        total = graph.add("Add", total, graph.add("Mul", hat, constant(values.reshape(3, 1, 1))))
    return total


def _convolution(graph: _Graph, layer, x: str) -> str:
    """A Keras convolution with zero padding."""
    kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
    bias = [graph.constant(np.asarray(layer.bias))] if layer.use_bias else []
    margin = kernel.shape[-1] // 2
    return graph.add("Conv", x, graph.constant(kernel), *bias, pads=[margin] * 4)


def _pixel_unshuffle(graph: _Graph, layer, x: str) -> str:
    """A convolution, then 2x2 pixels folded into channels in PyTorch's order, which is not that of
    SpaceToDepth."""
    channels = layer.filters
    folded = graph.add("SpaceToDepth", _convolution(graph, layer, x), blocksize=2)
    order = np.arange(4 * channels).reshape(4, channels).T.ravel()
    return graph.add("Gather", folded, graph.constant(order), axis=1)


def _pixel_shuffle_beside(graph: _Graph, layer, x: str, skipped: str) -> str:
    """A convolution, channels unfolded into 2x2 pixels, and the encoder's features beside them."""
    enlarged = graph.add("DepthToSpace", _convolution(graph, layer, x), blocksize=2, mode="CRD")
    return graph.add("Concat", enlarged, skipped, axis=1)


def _blocks(graph: _Graph, layer: TransformerBlocks, x: str) -> str:
    """A group of blocks, one after the other."""
    stacked = {name: np.asarray(weight) for name, weight in layer.stacked.items()}
    for index in range(layer.num_blocks):
        weights = {name: values[index] for name, values in stacked.items()}
        x = graph.add("Add", x, _attention(graph, weights, x))
        x = graph.add("Add", x, _feed_forward(graph, weights, x))
    return x


def _attention(graph: _Graph, weights: dict[str, np.ndarray], x: str) -> str:
    """MDTA: attention across channels (`enhancer.network.layers.transposed_attention`)."""
    channels, heads = (
        weights["attention_projection"].shape[0],
        len(weights["attention_temperature"]),
    )
    per_head = graph.constant([0, heads, channels // heads, -1])
    qkv = _projected_depthwise(graph, weights, "attention", "qkv", "depthwise", x)
    query, key, value = (graph.add("Reshape", part, per_head) for part in graph.split(qkv, 3))

    def norms(features: str) -> str:
        squares = graph.add("ReduceSumSquare", features, graph.constant([-1]), keepdims=1)
        return graph.add("Sqrt", graph.add("Max", squares, graph.constant(EPSILON_L2**2)))

    gram = graph.add("MatMul", query, graph.add("Transpose", key, perm=(0, 1, 3, 2)))
    lengths = graph.add("Mul", norms(query), graph.add("Transpose", norms(key), perm=(0, 1, 3, 2)))
    temperature = graph.constant(weights["attention_temperature"].reshape(heads, 1, 1))
    logits = graph.add("Mul", graph.add("Div", gram, lengths), temperature)
    attended = graph.add("MatMul", graph.add("Softmax", logits, axis=-1), value)
    pictures = graph.add("Reshape", attended, graph.add("Shape", x))
    return _pointwise(graph, weights, "attention_projection", pictures)


def _feed_forward(graph: _Graph, weights: dict[str, np.ndarray], x: str) -> str:
    """GDFN (`enhancer.network.layers.gated_feed_forward`)."""
    gate, content = graph.split(
        _projected_depthwise(graph, weights, "ffn", "expansion", "depthwise", x), 2
    )
    erf = graph.add("Erf", graph.add("Mul", gate, graph.constant(np.sqrt(0.5))))
    cdf = graph.add("Mul", graph.add("Add", erf, graph.constant(1.0)), graph.constant(0.5))
    gated = graph.add("Mul", graph.add("Mul", gate, cdf), content)
    return _pointwise(graph, weights, "ffn_projection", gated)


def _projected_depthwise(
    graph: _Graph,
    weights: dict[str, np.ndarray],
    half: str,
    projection: str,
    depthwise: str,
    x: str,
) -> str:
    """Norm, 1x1 convolution, depthwise 3x3 with zero padding."""
    projected = _pointwise(
        graph, weights, f"{half}_{projection}", _layer_norm(graph, weights, half, x)
    )
    kernel = weights[f"{half}_{depthwise}"].transpose(2, 0, 1)[:, None]
    bias = _bias(graph, weights, f"{half}_{depthwise}")
    return graph.add(
        "Conv", projected, graph.constant(kernel), *bias, pads=[1] * 4, group=len(kernel)
    )


def _pointwise(graph: _Graph, weights: dict[str, np.ndarray], name: str, x: str) -> str:
    kernel = graph.constant(weights[name].T[..., None, None])
    return graph.add("Conv", x, kernel, *_bias(graph, weights, name))


def _bias(graph: _Graph, weights: dict[str, np.ndarray], name: str) -> list[str]:
    return [graph.constant(weights[f"{name}_bias"])] if f"{name}_bias" in weights else []


def _layer_norm(graph: _Graph, weights: dict[str, np.ndarray], half: str, x: str) -> str:
    """Over channels; without a bias the mean stays in (`enhancer.network.layers.layer_norm`)."""
    axis = graph.constant([1])
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axis))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axis)
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.constant(EPSILON_NORM)))
    scale = graph.constant(weights[f"{half}_norm_scale"].reshape(-1, 1, 1))
    bias = weights.get(f"{half}_norm_bias")
    if bias is None:
        return graph.add("Mul", graph.add("Div", x, deviation), scale)
    normalised = graph.add("Mul", graph.add("Div", centred, deviation), scale)
    return graph.add("Add", normalised, graph.constant(bias.reshape(-1, 1, 1)))
