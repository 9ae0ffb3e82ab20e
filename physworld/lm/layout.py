"""Models of transformers are built in many ways: what of the fast paths holds for one is tried, not assumed.

Two paths save most of training's time and memory: examples that stand in one row without padding (see `packing`), and
losses without all scores at once (see `scored_loss`), which takes the output layer for one matrix product. A model may
mix tokens, add a bias, or bend its scores in ways that neither knows. So both are compared with the model's own scores
on two small examples; what differs is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from physworld.lm.packing import Documents, can_pack, prepare, read_packed

LENGTHS = (7, 5)  # of the two examples, in tokens
# Largest difference of two scores, in standard deviations of all scores. A token too many in sight moves them by about
# one; another order of the same sums moves them by far less than this, in full precision and in less.
CLOSE, CLOSE_IN_LESS = 1e-4, 0.2


@dataclass(frozen=True, kw_only=True)
class Checked:
    packs: bool  # examples may stand in one row
    plain_head: bool  # scores are hidden states times the output layer's weight
    notes: tuple[str, ...]  # what is done in another way, one sentence each


@torch.no_grad()
def check(inner: Any, body: Any) -> Checked:
    """Try both paths against the model's own scores; one that can pack has this project's attention afterwards.

    Args:
        inner: the model of transformers, body: what of it is below the output layer.
    """
    training, kind = inner.training, inner.config.model_type
    inner.eval()  # dropout would differ
    try:
        device = next(inner.parameters()).device
        random = torch.Generator().manual_seed(0)
        rows = [torch.randint(inner.get_input_embeddings().num_embeddings, (n,), generator=random) for n in LENGTHS]
        rows = [row.to(device) for row in rows]
        own = torch.cat([inner(input_ids=row[None], use_cache=False).logits[0] for row in rows])
        head = inner.get_output_embeddings().weight
        alone = torch.cat([body(input_ids=row[None], use_cache=False).last_hidden_state[0] for row in rows])
        plain_head = _same(alone @ head.T.to(alone.dtype), own, inner)
        packs = plain_head and can_pack(inner)
        leaks = False
        if packs:
            before = inner.config._attn_implementation
            prepare(inner)
            together = read_packed(body, torch.cat(rows), Documents([*LENGTHS], device))
            leaks = not _same(together @ head.T.to(together.dtype), own, inner)
            if leaks:
                inner.set_attn_implementation(before)
    finally:
        inner.train(training)
    notes = []
    if not plain_head:
        notes.append(
            f"a {kind} model does more to its scores than multiply by the output layer, so it computes its own; "
            f"that takes more memory, and examples are padded, not packed."
        )
    if leaks:
        notes.append(f"examples of a {kind} model are padded, not packed: in one row they would read each other.")
    return Checked(packs=packs and not leaks, plain_head=plain_head, notes=tuple(notes))


def layers(body: nn.Module, config: Any) -> nn.ModuleList:
    """The blocks of a model, whatever it calls them.

    Raises:
        ValueError: there is no such list.
    """
    count = config.get_text_config().num_hidden_layers
    for part in body.modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return part
    raise ValueError(f"a {config.model_type} model has no list of its {count} layers; choose another model")


def _same(scores: Tensor, own: Tensor, inner: nn.Module) -> bool:
    full = all(parameter.dtype in (torch.float32, torch.float64) for parameter in inner.parameters())
    apart = (scores.float() - own.float()).abs().max() / own.float().std()
    return bool(apart < (CLOSE if full else CLOSE_IN_LESS))
