"""Shares of an evaluation of clips and of spatial scenes, by any processes, give what one process gives, to the bit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physworld.lm.tiny_lm import TinyLM
from physworld.runs.pieces import ALONE, Pieces, kept_pieces, turn
from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.evaluation import BASE, LORA, VideoEvaluation, VideoEvaluator
from physworld.video.network import VideoNetwork, tiny
from physworld.video.source import ClipSource

from commands import same

ASKED = {name: (lambda number=number: {"n": np.array([number])}) for number, name in enumerate("abcde")}


def refuses(*_: Any, **__: Any) -> Any:
    raise AssertionError("it is answered already")


def test_each_piece_is_answered_once_and_a_damaged_one_again(tmp_path: Path) -> None:
    pieces, answered = Pieces(tmp_path, "key"), list[str]()
    asked = {name: (lambda name=name, ask=ask: answered.append(name) or ask()) for name, ask in ASKED.items()}
    with turn(tmp_path / "locks" / f"{pieces._path(tmp_path, 'a').stem}.lock", wait=True):  # another is at the first
        pieces.fill(asked, share=0, shares=2)
    assert answered == ["c", "e", "d", "b"]  # its own, then from the end what nobody had begun
    done: list[str] = []
    pieces.fill(asked, share=1, shares=2, done=done.append)
    assert answered[4:] == ["a"] and sorted(done) == list(ASKED)
    path = pieces._path(tmp_path, "b")
    path.write_bytes(path.read_bytes()[:-10])
    assert [int(pieces(name, ask)["n"][0]) for name, ask in asked.items()] == [0, 1, 2, 3, 4]
    assert answered[5:] == ["b"]
    Pieces(tmp_path, "another")("a", asked["a"])
    assert answered[6:] == ["a"]
    assert ALONE("a", asked["a"])["n"] == 0
    with pytest.raises(ValueError, match="need a folder in which they meet"):
        ALONE.fill(asked, share=0, shares=2)


def test_other_weights_have_other_answers(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    one = kept_pieces(str(tmp_path / "cache"), "video", tmp_path / "model", "asked")
    assert kept_pieces(str(tmp_path / "cache"), "video", tmp_path / "model", "asked").key == one.key
    assert kept_pieces(str(tmp_path / "cache"), "video", tmp_path / "model", "asked otherwise").key != one.key
    (tmp_path / "model" / "weights").write_bytes(b"2")
    assert kept_pieces(str(tmp_path / "cache"), "video", tmp_path / "model", "asked").key != one.key


class Brief(SpatialCodec):
    """Answers that end soon: those of an untrained network do not by themselves."""

    def max_new_tokens(self, given: Any) -> int:
        return 12


def test_spatial_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Brief()
    torch.manual_seed(0)
    network = TinyLM.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2, inner=16).eval()
    evaluation = SpatialEvaluation(
        samples=3, samples_per_axis=2, val_samples=1, modes=["raw", "pinned"], axes=["seen", "stem_count"],
        batch_size=2, random_weights=True, neighbours=0, repeated=1, pictures=0,
    )  # fmt: skip
    cases = evaluation.sample_cases(seed=0, split="test")

    def table(pieces: Pieces) -> Any:
        found = evaluation.evaluate(network, codec, cases, untrained=network, pieces=pieces)
        return {
            f"{axis} {row} {column}": {**asdict(cell), "speed": None}  # the time that it took
            for axis, rows in found.items()
            for row, cells in rows.items()
            for column, cell in cells.items()
        }

    alone, pieces = table(ALONE), Pieces(tmp_path, "key")
    for share in (1, 0):
        pieces.fill(evaluation.asked(network, codec, cases, untrained=network), share=share, shares=2)
    monkeypatch.setattr(network, "generate", refuses)
    assert repr(table(pieces)) == repr(alone)


def test_video_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = tiny(heads=2, head_width=16, layers=1)
    monkeypatch.setattr(VideoNetwork, "use", lambda self, name: None)
    evaluator = VideoEvaluator(
        evaluation=VideoEvaluation(
            pairs=2, times=2, generated=2, steps=2, card_noises=2, batch_size=4, guidance=1.0, controls=(), pictures=1,
            violations=("linear",),
        ),
        codec=PixelCodec(scale=5.0), device=torch.device("cpu"), seed=0,
        source=lambda name: ClipSource(seed=0, split="test", scenarios=[name]),
    )  # fmt: skip
    cases, rows = evaluator.sample_cases(), ([BASE], [LORA])

    def found(pieces: Pieces) -> Any:
        result = evaluator.score(network, cases, *rows, pieces=pieces)
        clips = {
            f"{scenario} {row}": made.clips for scenario, many in result.generated.items() for row, made in many.items()
        }
        arrays = {"likelihood": result.likelihood, "card": result.card, "clips": clips}
        return _tensors(arrays)

    alone, pieces = found(ALONE), Pieces(tmp_path, "key")
    for share in (1, 0):
        pieces.fill(evaluator.asked(network, cases, *rows), share=share, shares=2)
    for name in ("losses", "generate"):
        monkeypatch.setattr(network, name, refuses)
    assert same(found(pieces), alone) and alone["likelihood"][BASE]["linear"].isfinite().all()


def _tensors(tree: Any) -> Any:
    return {key: _tensors(value) for key, value in tree.items()} if isinstance(tree, dict) else torch.as_tensor(tree)
