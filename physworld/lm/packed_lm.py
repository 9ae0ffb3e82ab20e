"""Any causal language model of transformers as a network to train: whole, with LoRA, or with LoRA on 4-bit weights.

What is trained on is packed without padding (see `packing`), and scores are computed only where labels are (see
`scored_loss`). In the loss every example counts the same, whatever its length, so a batch that is split over passes and
devices in whatever way has the same loss and the same gradient; or, by choice, every scored token does.

Shapes: B examples, L places, N real tokens, M scored tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric.utilities.rank_zero import rank_zero_only
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from physworld.lm.generator import CachedGenerator, switched
from physworld.lm.kv_cache import check_cache
from physworld.lm.layout import Checked, check, layers
from physworld.lm.packing import Documents, prepare, read_packed
from physworld.lm.parts import flops, linear_names, plain_names, plain_state, random_lm
from physworld.lm.scored_loss import scored_loss
from physworld.lm.value_rows import FILE, check_numbers, functions, is_by_value, read_by_value, with_tables
from physworld.lm.weights import (
    check_tuning,
    find_adapter,
    load_network,
    note_base,
    refuse_damage,
    refuse_gaps,
    tunable,
    whole_weights,
)
from physworld.protocols import Guide, Noise
from physworld.types import Vocabulary

IGNORE = -100


class Scored(NamedTuple):
    loss: Tensor  # () nats
    losses: Tensor  # (M,) nats
    right: Tensor  # (M,) bool
    place: Tensor  # (M,) of each label in the flat (B, L)
    computed: int  # tokens that went through the network
    real: int  # of them, those of examples


class PackedLM(nn.Module):
    """`lm` is the model of transformers, or PEFT's around it; both are saved and loaded as these libraries do."""

    def __init__(
        self,
        lm: Any,
        *,
        pad_id: int,
        weights: str | None = None,
        tuning: str = "full",
        max_length: int = 8192,
        repetition_penalty: float = 1.0,
        reuse_cache: bool = True,
        static_cache: bool | str = "auto",
        fused_attention: bool | str = "auto",
    ) -> None:
        super().__init__()
        self.lm, self.pad, self.weights, self.tuning = lm, pad_id, weights, tuning
        longest = getattr(lm.config, "max_position_embeddings", max_length)
        self.max_length: int = min(max_length, longest)
        self.repetition_penalty, self.reuse_cache, self.static_cache = repetition_penalty, reuse_cache, static_cache
        switched("static_cache", static_cache, auto=False)
        self.fused_attention = switched("fused_attention", fused_attention, auto=True)
        self.base_is_saved = weights is None  # beside the adapter, since nobody else has it
        self._checked: Checked | None = None
        self._reader: CachedGenerator | None = None

    @classmethod
    def for_vocabulary(
        cls,
        vocabulary: Vocabulary,
        *,
        weights: str | None,
        architecture: Mapping[str, Any] | None = None,
        base: str | None = None,
        tuning: str = "lora",
        numbers: str = "digits",
        rank: int = 32,
        alpha: int = 64,
        dropout: float = 0.05,
        targets: Sequence[str] | None = None,
        gradient_checkpointing: bool = True,
        compile_layers: bool = False,
        max_length: int = 8192,
        repetition_penalty: float = 1.0,
        reuse_cache: bool = True,
        static_cache: bool | str = "auto",
        fused_attention: bool | str = "auto",
    ) -> PackedLM:
        """A network for a codec's tokens.

        Args:
            weights: as `load_network` takes them; None = random weights of `architecture`.
            architecture: `model_type` and settings of its configuration, for random weights.
            base: of an adapter; None = the one it names.
            tuning: lora = low-rank updates of every linear layer but the last; qlora = the same on 4-bit weights;
                full = all weights.
            numbers: digits = spelled as the weights know them; value = one token each (see `value_rows`).
            rank, alpha, dropout: of LoRA.
            targets: ends of the names of the layers that LoRA is put on; None = every linear layer but the last.
            gradient_checkpointing: keep one state per layer and compute the rest again in the backward pass.
            compile_layers: torch.compile each layer; pays on a GPU.
            max_length, repetition_penalty, reuse_cache, static_cache: of answers (see CachedGenerator).
            fused_attention: of packed examples in one kernel, on CUDA in half precision; on = not without CUDA.

        Raises:
            ValueError: unknown settings, or weights that do not fit.
        """
        check_tuning(tuning)
        check_numbers(numbers, tuning=tuning, weights=weights, vocabulary=vocabulary)
        if (
            fused_attention != "auto"
            and switched("fused_attention", fused_attention, auto=True)
            and not torch.cuda.is_available()
        ):
            raise ValueError("fused_attention=on needs an NVIDIA GPU, and none is visible here; give auto or off")
        if weights is None:
            if tuning == "qlora":
                raise ValueError("qlora quantises given weights; give weights=FOLDER_OR_REPO, or choose lora or full")
            lm = random_lm(vocabulary, architecture)
        else:
            lm = load_network(weights, base, four_bit=tuning == "qlora")
            refuse_damage(lm, None, weights)
        check_cache(lm)
        if numbers == "digits" and lm.get_input_embeddings().num_embeddings < vocabulary.size:
            raise ValueError(f"{weights} has fewer embeddings than the codec has tokens ({vocabulary.size})")
        lm = tunable(
            lm, tuning=tuning, rank=rank, alpha=alpha, dropout=dropout,
            targets=linear_names(lm) if targets is None else targets, gradient_checkpointing=gradient_checkpointing,
        )  # fmt: skip
        network = cls(
            lm, pad_id=vocabulary.pad, weights=weights, tuning=tuning, max_length=max_length,
            repetition_penalty=repetition_penalty, reuse_cache=reuse_cache, static_cache=static_cache,
            fused_attention=fused_attention,
        )  # fmt: skip
        if numbers == "value":  # after LoRA, which is for the body alone
            read_by_value(network.inner, vocabulary)
        changed = base is not None or (weights is not None and find_adapter(weights) is not None)
        network.base_is_saved = weights is None or changed or network.by_value
        for note in network.checked().notes:
            rank_zero_only(print)(f"Note: {note}")
        if compile_layers:
            for layer in network.blocks:
                layer.compile(dynamic=True)
        return network.train()

    # --- parts

    @property
    def inner(self) -> Any:
        """The model of transformers."""
        from peft import PeftModel

        return self.lm.get_base_model() if isinstance(self.lm, PeftModel) else self.lm

    @property
    def body(self) -> Any:
        """Everything below the output layer."""
        return getattr(self.inner, self.inner.base_model_prefix)

    @property
    def by_value(self) -> bool:
        """Whether numbers are read and said by value."""
        return is_by_value(self.inner)

    @property
    def blocks(self) -> Any:
        return layers(self.body, self.inner.config)

    def checked(self) -> Checked:
        """What of the fast paths gives the model's own scores, tried once on two small examples."""
        if self._checked is None:
            self._checked = check(self.inner, self.body)
        return self._checked

    def lower_base(self, dtype: torch.dtype) -> None:
        """Frozen weights in `dtype`; adapters stay as they are."""
        for parameter in self.parameters():
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)

    def unsharded(self) -> PackedLM:
        """A network of the same shape, whole on one device; its weights are to be loaded."""
        from transformers import AutoModelForCausalLM

        lm: Any = AutoModelForCausalLM.from_config(copy.deepcopy(self.inner.config))
        if self.tuning != "full":
            from peft import get_peft_model

            lm = get_peft_model(lm, copy.deepcopy(self.lm.peft_config["default"]))
        other = PackedLM(
            lm, pad_id=self.pad, weights=self.weights, tuning=self.tuning, max_length=self.max_length,
            repetition_penalty=self.repetition_penalty, reuse_cache=self.reuse_cache, static_cache=self.static_cache,
            fused_attention=self.fused_attention,
        )  # fmt: skip
        other.base_is_saved = self.base_is_saved
        if self._checked is not None:
            other._checked = self._checked
            if other._checked.packs:
                prepare(other.inner)
        return other

    # --- training

    def forward(self, ids_BL: Tensor, labels_BL: Tensor) -> Tensor:
        return self.token_losses(ids_BL, labels_BL).loss

    def scored(self, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits (M, V), target (M,), flat place in (B, L)) of every scored label of right-padded rows."""
        # No mask is needed: no real token sees what stands behind it.
        b, i = (labels_BL != IGNORE).nonzero(as_tuple=True)
        if self.checked().plain_head:
            hidden_BLD = self.body(input_ids=ids_BL, use_cache=False).last_hidden_state
            logits_MV = self.inner.get_output_embeddings()(hidden_BLD[b, i - 1])
        else:
            logits_MV = self.inner(input_ids=ids_BL, use_cache=False).logits[b, i - 1]
        return logits_MV, labels_BL[b, i], b * labels_BL.shape[1] + i

    def token_losses(self, ids_BL: Tensor, labels_BL: Tensor, *, mean_over: str = "examples") -> Scored:
        """Losses of every scored label of right-padded examples, each of which ends with a scored one.

        All logits are never there at once (see `scored_loss`), and only `loss` has a gradient.

        Args:
            mean_over: examples (of the mean over their scored tokens), or tokens.
        """
        B, L = ids_BL.shape
        index_L = torch.arange(L, device=ids_BL.device)
        asked_BL = labels_BL != IGNORE
        length_B = torch.where(asked_BL, index_L + 1, 0).amax(dim=1)
        lengths = length_B.tolist()
        if min(lengths) == 0:
            raise ValueError("an example of a batch has no scored token: its answer was cut off, or is missing")
        b, i = asked_BL.nonzero(as_tuple=True)
        share_M = 1.0 / (B * asked_BL.sum(dim=1).float())[b]
        if mean_over == "tokens":
            share_M = torch.full_like(share_M, 1.0 / len(share_M))
        checked, target_M, longest = self.checked(), labels_BL[b, i], max(lengths)
        # Where rows are padded, no real token sees what stands behind it.
        computed = sum(lengths) if checked.packs else B * longest
        if not checked.plain_head:
            logits_MV = self.inner(input_ids=ids_BL[:, :longest], use_cache=False).logits[b, i - 1].float()
            losses = F.cross_entropy(logits_MV, target_M, reduction="none")
            right = logits_MV.argmax(dim=-1) == target_M
            return Scored((losses * share_M).sum(), losses.detach(), right, b * L + i, B * longest, sum(lengths))
        if checked.packs:
            real_BL = index_L < length_B[:, None]
            documents = Documents(lengths, ids_BL.device, fused=self.fused_attention)
            hidden_ND = read_packed(self.body, ids_BL[real_BL], documents)
            first_B = length_B.cumsum(0) - length_B
            hidden_MD = hidden_ND[first_B[b] + i - 1]
        else:
            hidden_MD = self.body(input_ids=ids_BL[:, :longest], use_cache=False).last_hidden_state[b, i - 1]
        head, barred = self.inner.get_output_embeddings(), None
        if self.by_value:
            products, target_M, barred = head.products(hidden_MD), head.column[target_M], head.barred
        else:
            products = [(hidden_MD, head.weight)]
        loss, losses, right = scored_loss(products, target_M, share_M, barred=barred)
        return Scored(loss, losses, right, b * L + i, computed, sum(lengths))

    def flops(self, tokens: int, attended: int, scored: int) -> float | None:
        """Operations of training (see `parts.flops`)."""
        return flops(self.inner, tokens, attended, scored)

    # --- answering

    def train(self, mode: bool = True) -> PackedLM:
        self._reader = None  # what it keeps was read by weights that may change
        super().train(mode)
        return self

    @torch.no_grad()
    def generate(
        self,
        prompts: list[np.ndarray],
        max_new_tokens: list[int],
        end_id: int,
        guide: Guide | None = None,
        *,
        noise: Noise | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """Answers without the prompt, up to and including `end_id`."""
        if self._reader is None:
            self.checked()
            self.lm.eval()
            self._reader = CachedGenerator(
                self.lm, pad_id=self.pad, max_length=self.max_length, repetition_penalty=self.repetition_penalty,
                reuse_cache=self.reuse_cache, static_cache=self.static_cache,
            )  # fmt: skip
        return self._reader.generate(prompts, max_new_tokens, end_id, guide, noise=noise, rows=rows)

    # --- on disk

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PackedLM:
        """Whole weights, as a run leaves them in model/; an adapter that an earlier version left there is merged."""
        lm = load_network(str(folder), dtype="auto" if torch.cuda.is_available() else torch.float32)
        pad = lm.config.pad_token_id
        penalty = getattr(lm.generation_config, "repetition_penalty", None) or 1.0
        return cls(lm, pad_id=0 if pad is None else pad, weights=str(folder), repetition_penalty=penalty)

    def save_run(self, run: Path, tokenizer: Any, end_id: int) -> None:
        """model/ with whole weights; where adapters were trained, adapter/ as PEFT has it, and base/ if it is ours.

        Each folder is loaded by transformers or PEFT alone, and holds the tokenizer.
        """
        self._mark(self.inner, end_id)
        folders = [run / "model"]
        if self.tuning == "full":
            self._save_plain(run / "model")
        else:
            base = str(run / "base") if self.base_is_saved else str(self.weights)
            if self.base_is_saved:
                folders.append(run / "base")
                self._save_plain(run / "base")
            folders.append(run / "adapter")
            self.lm.peft_config["default"].base_model_name_or_path = note_base(run, base)
            self.lm.save_pretrained(run / "adapter", save_embedding_layers=False)
            dtype = torch.float32 if self.tuning == "qlora" else next(self.parameters()).dtype
            merged = load_network(str(run / "adapter"), base, dtype=dtype)
            self._mark(merged, end_id)
            merged.save_pretrained(run / "model")
        for folder in folders:
            tokenizer.save_pretrained(folder)

    def _save_plain(self, folder: Path) -> None:
        """The model of transformers without adapters, as that library has it."""
        state = plain_state(self.inner)
        if self.by_value:
            state = with_tables(self.inner, state)
        self.inner.save_pretrained(folder, state_dict=state)
        if self.by_value:
            save_file(functions(self.inner), folder / FILE)

    def _mark(self, lm: Any, end_id: int) -> None:
        """Where answers end, and how they are generated, for whoever loads the weights."""
        for settings in (lm.config, lm.generation_config):
            settings.eos_token_id, settings.pad_token_id = end_id, self.pad
        lm.generation_config.repetition_penalty = self.repetition_penalty

    def start_from(self, run: Path) -> None:
        """Take over the adapter of a finished run.

        Raises:
            ValueError: it was trained in another way, or on other weights.
        """
        from peft import set_peft_model_state_dict

        theirs = find_adapter(str(run / "adapter")) if (run / "adapter").is_dir() else None
        ours = self.lm.peft_config["default"]
        if theirs is None or (theirs.r, theirs.lora_alpha) != (ours.r, ours.lora_alpha):
            raise ValueError(f"init_from={run} has no adapter of rank {ours.r} and alpha {ours.lora_alpha}")
        if self.by_value != (run / "base" / FILE).is_file():
            ways = ("value", "digits") if self.by_value else ("digits", "value")
            raise ValueError(f"this network has model.network.numbers={ways[0]}, and init_from={run} {ways[1]}")
        if (run / "base").is_dir() and self.base_is_saved:
            names = plain_names(self.inner)
            theirs_state = load_network(str(run / "base")).state_dict()
            if self.by_value:
                names, theirs_state = self._numbers_of(run, names, theirs_state)
            refuse_gaps(f"init_from={run}", names.keys() - theirs_state.keys(), theirs_state.keys() - names.keys())
            self.inner.load_state_dict({names[name]: value for name, value in theirs_state.items()}, strict=False)
        else:
            before, ours_lie_in = whole_weights(str(run / "adapter"), None), whole_weights(str(self.weights), None)
            if ours_lie_in != before and Path(ours_lie_in).resolve() != Path(before).resolve():
                raise ValueError(f"init_from={run} was trained on {before}, not on {self.weights}")
        found = set_peft_model_state_dict(self.lm, load_file(run / "adapter" / "adapter_model.safetensors"))
        lacks = [name for name in found.missing_keys if ".lora_" in name]  # the base is not in an adapter's file
        refuse_gaps(f"init_from={run}", lacks, found.unexpected_keys)

    def _numbers_of(
        self, run: Path, names: dict[str, str], state: dict[str, Tensor]
    ) -> tuple[dict[str, str], dict[str, Tensor]]:
        """(our names, a run's weights) with the functions that its tables were written from in their place."""
        tables = with_tables(self.inner, {}).keys()
        theirs = {name: value for name, value in state.items() if name not in tables}
        theirs |= load_file(run / "base" / FILE)
        # Rows of tokens that the weights had are the weights', which are ours too.
        return {plain: name for plain, name in names.items() if not plain.endswith(".plain.weight")}, theirs
