"""A GPT of island text as one block of numbers for the page without a server: what think.c reads, in its order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from physworld.errors import UserError
from physworld.lm.gpt import GPT
from physworld.lm.gpt_blocks import GAIN
from physworld.text.codecs._impulse_words import RECORDS, WORD

SPOKEN = ("self", "link", "tie", "hold", "coil", "drive", "touch", "touch2", "pull", "air")  # records of a document


def check(network: object) -> GPT:
    """
    Raises:
        UserError: think.c is no such network.
    """
    if not isinstance(network, GPT) or network.names is None or network.opaque is not None:
        raise UserError("The page without a server runs text GPTs with relations and numbers by value, as shipped.")
    if network.places_N is not None or network.prompt_end >= 0 or not network.median:
        raise UserError("The page without a server runs GPTs without learned positions, prefix or likeliest tokens.")
    return network


@torch.no_grad()
def weights_of(network: GPT) -> tuple[bytes, dict[str, Any]]:
    """(float32, little-endian: all parts one behind the other; sizes that model.js reads)."""
    state, reader_of = network.state_dict(), {word: k for k, (word, _, _) in enumerate(network.records)}
    words, codes = state["words.weight"], network.codes
    parts = [words, words @ state["partner.weight"].T, state["slot.weight"], codes @ codes.T]
    for name in [*(f"readers.{reader_of[WORD[name]]}" for name in SPOKEN), "alone"]:
        parts += [state[f"{name}.weight"], state[f"{name}.bias"]]
    parts += [state["mix_up.weight"], state["mix_down.weight"]]
    for layer in range(len(network.blocks)):
        own = f"blocks.{layer}"
        parts += [state[f"{own}.{name}.weight"] for name in ("qkv", "out", "up", "down")]
        parts.append(state[f"{own}.relation"].flatten(0, 1).T * GAIN)  # (H, 4): names of the query x of the key
    parts.append(network.output_table())
    numbers = np.concatenate([part.cpu().numpy().astype("<f4").ravel() for part in parts])
    sizes = {
        "width": words.shape[1],
        "heads": network.heads,
        "depth": len(network.blocks),
        "outputs": len(network.outputs),
        "words": len(words),
        "slots": len(state["slot.weight"]),
        "names": len(codes),
        "spoken": list(SPOKEN),
        "counts": [*(RECORDS[name][1] for name in SPOKEN), 1],
    }
    return numbers.tobytes(), sizes
