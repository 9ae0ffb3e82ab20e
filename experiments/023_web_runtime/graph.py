"""A GPT of island text as one ONNX graph that a browser runs: new positions in, scores and a longer cache out.

`python experiments/023_web_runtime/graph.py model.onnx` writes that of the shipped model.

Documents lie one behind the other in a single row, and a bias of -inf keeps them apart, so that documents of any
length are read and answered together without padding. S new positions, T positions with those before, R kinds of
records. The graph's inputs:

    record_WORD  (n, 32·numbers)  features of the numbers of each such record, in the order of RECORDS, then
    numbers      (n, 32)          those of an answer's numbers
    order        (S,) int64       where each position stands among all of these rows; behind them is a row of zeros
    word, own, partner  (S,) int64  ids of the record's word and its two names; num_words stands for none
    slot         (S,) int64       tokens since a line's word, of an answer's number; 8 stands for none
    at           (S,) float32     place in the own document, for the rotary angle
    names        (1, 4, S·T) float32  how alike the names (body, partner) of query and key are: aa, ab, ba, bb
    mask         (1, 1, S, T) float32  0 or -inf
    key_I, value_I  (1, heads, T - S, width)  the cache of block I
    asked        (M,) int64       positions whose scores are wanted

Its outputs: scores (M, K), and next_key_I, next_value_I.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from physworld.lm.gpt import GPT
from physworld.lm.gpt_blocks import GAIN
from physworld.play.weights import SPOKEN, check
from physworld.science import load
from physworld.text.codecs._impulse_words import RECORDS, WORD

FEATURES = 32  # numbers that stand for a number's value
EPSILON = float(torch.finfo(torch.float32).eps)  # of torch's rms_norm
OPSET, IR_VERSION = 20, 10
OWN = ("RotaryEmbedding", "MultiHeadAttention", "SkipSimplifiedLayerNormalization")
CONTRIB = "com.microsoft"  # onnxruntime's own operators: one of them does the work of ten


@dataclass(eq=False)
class _Drawing:
    """Nodes and weights of a graph in the making; `add` gives the name of a node's first output."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, outputs: int = 1, names: tuple[str, ...] = (), **attributes: object) -> str:
        made = [*names, *(f"n{len(self.nodes)}_{k}" for k in range(len(names), outputs))]
        domain = {"domain": CONTRIB} if kind in OWN else {}
        self.nodes.append(helper.make_node(kind, list(inputs), made, **domain, **attributes))  # type: ignore[arg-type]
        return made[0]

    def weight(self, values: Tensor | np.ndarray | list[int] | list[float], kind: type = np.float32) -> str:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        name = f"w{len(self.weights)}"
        self.weights[name] = np.ascontiguousarray(array, kind)
        return name

    def matmul(self, x: str, matrix: Tensor) -> str:
        """x @ matrix.T, as torch's Linear keeps its weights."""
        return self.add("MatMul", x, self.weight(matrix.T))

    def squared_mlp(self, x: str, up: Tensor, down: Tensor) -> str:
        kept = self.add("Relu", self.matmul(x, up))
        return self.matmul(self.add("Mul", kept, kept), down)


def _with_zero(table: Tensor) -> Tensor:
    return torch.cat([table, torch.zeros_like(table[:1])])


def _vectors(draw: _Drawing, network: GPT) -> str:
    """(1, S, D): one vector for each position, as `GPT.embed` has them."""
    width = network.words.embedding_dim
    reader_of = {word: reader for (word, _, _), reader in zip(network.records, network.readers, strict=True)}
    rows = []
    for name in SPOKEN:
        reader = reader_of[WORD[name]]
        rows.append(draw.add("Add", draw.matmul(f"record_{name}", reader.weight), draw.weight(reader.bias)))
    rows.append(draw.add("Add", draw.matmul("numbers", network.alone.weight), draw.weight(network.alone.bias)))
    rows.append(draw.weight(torch.zeros(1, width)))
    x = draw.add("Gather", draw.add("Concat", *rows, axis=0), "order")
    words = draw.weight(_with_zero(network.words.weight))
    partners = draw.weight(_with_zero(network.partner(network.words.weight)))
    slots = draw.weight(_with_zero(network.slot.weight))
    for table, place in ((words, "word"), (words, "own"), (partners, "partner"), (slots, "slot")):
        x = draw.add("Add", x, draw.add("Gather", table, place))
    one = draw.weight(torch.ones(width))
    normed = draw.add("SimplifiedLayerNormalization", x, one, epsilon=EPSILON, axis=-1)
    x = draw.add("Add", x, draw.squared_mlp(normed, network.mix_up.weight, network.mix_down.weight))
    return draw.add("Unsqueeze", x, draw.weight([0], np.int64))


def _biases(draw: _Drawing, network: GPT) -> list[str]:
    """(1, H, S, T) of each block: who is about whom, and the mask."""
    heads, depth = network.heads, len(network.blocks)
    relations = torch.cat([block.relation.flatten(0, 1).T for block in network.blocks]) * GAIN  # (depth·H, 4)
    scores = draw.add("MatMul", draw.weight(relations), "names")
    shape = draw.add("Shape", "mask")
    size = draw.add("Slice", shape, draw.weight([2], np.int64), draw.weight([4], np.int64))
    whole = draw.add("Concat", draw.weight([1, depth * heads], np.int64), size, axis=0)
    biased = draw.add("Add", draw.add("Reshape", scores, whole), "mask")
    names = tuple(f"bias_{k}" for k in range(depth))
    draw.add("Split", biased, outputs=depth, names=names, axis=1, num_outputs=depth)
    return list(names)


def build(network: GPT) -> onnx.ModelProto:
    """The graph with its weights; see the module docstring for inputs and outputs."""
    with torch.no_grad():
        return _build(check(network).float().eval())


def _build(network: GPT) -> onnx.ModelProto:
    draw, heads, width = _Drawing(), network.heads, network.words.embedding_dim
    each = width // heads
    x = _vectors(draw, network)
    biases = _biases(draw, network)
    # rotary angles at these places: tables with one row a position
    rate = 1000.0 ** (-torch.arange(each // 2, dtype=torch.float32) / (each // 2))
    angle = draw.add("Mul", draw.add("Unsqueeze", "at", draw.weight([1], np.int64)), draw.weight(rate))
    cos, sin = draw.add("Cos", angle), draw.add("Sin", angle)
    count = draw.add("Squeeze", draw.add("Shape", "at"))
    row = draw.add("Range", draw.weight(np.array(0), np.int64), count, draw.weight(np.array(1), np.int64))
    row = draw.add("Unsqueeze", row, draw.weight([0], np.int64))
    one, small = draw.weight(torch.ones(width)), draw.weight(torch.ones(each))
    apart = draw.weight([0, 0, 2 * heads, each], np.int64)
    together = draw.weight([0, 0, 2 * width], np.int64)
    parts = draw.weight([2 * width, width], np.int64)
    normed = draw.add("SimplifiedLayerNormalization", x, one, epsilon=EPSILON, axis=-1)

    def skip(x: str, more: str) -> tuple[str, str]:
        """(normalised sum, sum)."""
        names = f"normed_{len(draw.nodes)}", f"sum_{len(draw.nodes)}"
        draw.add(
            "SkipSimplifiedLayerNormalization", x, more, one, names=(names[0], "", "", names[1]), outputs=4,
            epsilon=EPSILON,
        )  # fmt: skip
        return names

    for layer, block in enumerate(network.blocks):
        qkv = draw.matmul(normed, block.qkv.weight)
        both, value = f"qk_{layer}", f"v_{layer}"
        draw.add("Split", qkv, parts, names=(both, value), outputs=2, axis=2)
        lengths = draw.add(
            "SimplifiedLayerNormalization", draw.add("Reshape", both, apart), small, epsilon=EPSILON, axis=-1
        )
        turned = draw.add("RotaryEmbedding", draw.add("Reshape", lengths, together), row, cos, sin)
        query, key = f"q_{layer}", f"k_{layer}"
        draw.add("Split", turned, names=(query, key), outputs=2, axis=2, num_outputs=2)
        seen = draw.add(
            "MultiHeadAttention", query, key, value, "", "", biases[layer], f"key_{layer}", f"value_{layer}",
            names=(f"seen_{layer}", f"next_key_{layer}", f"next_value_{layer}"), outputs=3, num_heads=heads,
        )  # fmt: skip
        normed, x = skip(x, draw.matmul(seen, block.out.weight))
        normed, x = skip(x, draw.squared_mlp(normed, block.up.weight, block.down.weight))
    flat = draw.add("Squeeze", normed, draw.weight([0], np.int64))
    wanted = draw.add("Gather", flat, "asked")
    draw.add("MatMul", wanted, draw.weight(network.output_table().T), names=("scores",))
    return _finished(draw, heads, each, len(network.blocks), len(network.outputs))


def _finished(draw: _Drawing, heads: int, each: int, depth: int, outputs: int) -> onnx.ModelProto:
    def tensor(name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [tensor(f"record_{name}", [f"n_{name}", FEATURES * RECORDS[name][1]]) for name in SPOKEN]
    inputs += [tensor("numbers", ["n", FEATURES])]
    inputs += [tensor(name, ["S"], TensorProto.INT64) for name in ("order", "word", "own", "partner", "slot")]
    inputs += [tensor("at", ["S"]), tensor("names", [1, 4, "ST"]), tensor("mask", [1, 1, "S", "T"])]
    inputs += [tensor(f"{what}_{k}", [1, heads, "P", each]) for k in range(depth) for what in ("key", "value")]
    inputs += [tensor("asked", ["M"], TensorProto.INT64)]
    results = [tensor("scores", ["M", outputs])]
    results += [tensor(f"next_{what}_{k}", [1, heads, "T", each]) for k in range(depth) for what in ("key", "value")]
    weights = [numpy_helper.from_array(array, name) for name, array in draw.weights.items()]
    graph = helper.make_graph(draw.nodes, "gpt", inputs, results, weights)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="physworld")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="model.onnx", type=Path)
    parser.parse_args().out.write_bytes(build(load("shipped").network).SerializeToString())
