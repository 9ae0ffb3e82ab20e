"""A whole CogVideoX pipeline folder at toy size: the real classes with random weights, made without a network."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from physworld.video.network import cogvideox_schedule

WIDTH = 32


def make(folder: Path, *, rotary: bool = False) -> Path:
    """Write transformer, vae, scheduler, text_encoder and tokenizer below `folder`."""
    torch.manual_seed(0)
    CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8,
        text_embed_dim=WIDTH, num_layers=2, sample_width=4, sample_height=4, sample_frames=9, patch_size=2,
        max_text_seq_length=8, use_rotary_positional_embeddings=rotary,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 16, 16), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        sample_height=32, sample_width=32,
    ).save_pretrained(folder / "vae")  # fmt: skip
    CogVideoXDDIMScheduler(**cogvideox_schedule()).save_pretrained(folder / "scheduler")
    T5EncoderModel(
        T5Config(
            vocab_size=300, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
        )
    ).save_pretrained(folder / "text_encoder")
    letters = [chr(c) for c in range(32, 127)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in letters)]
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(Unigram(vocabulary, unk_id=2)),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    ).save_pretrained(folder / "tokenizer")
    return folder


def pipeline(folder: Path) -> CogVideoXPipeline:
    """The diffusers pipeline over those parts, for prompt embeddings."""
    return CogVideoXPipeline(
        tokenizer=None, text_encoder=None,
        vae=AutoencoderKLCogVideoX.from_pretrained(folder / "vae"),
        transformer=CogVideoXTransformer3DModel.from_pretrained(folder / "transformer"),
        scheduler=CogVideoXDDIMScheduler.from_pretrained(folder / "scheduler"),
    )  # fmt: skip
