"""What a run's model/ holds besides weights, where the network is one of physworld's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from physworld.io.atomic import replacing

MODEL_TYPE = "physworld"  # in config.json, as transformers reads it
CLASS, TOKENIZER = "PhysworldForCausalLM", "SceneTokenizer"  # of `citizens`
PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")


def save_folder(network: Any, folder: Path, tokenizer: Any, end_id: int) -> None:
    """Weights, configuration and tokenizer, as transformers knows them after `import physworld` (see `citizens`)."""
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)  # only tokenizer*.json: the network's config.json stays
    mark(folder, type(network).__name__, end_id)


def mark(folder: Path, network: str, end_id: int) -> None:
    """Make a folder, as the network itself saved it, one that transformers knows (with `import physworld`)."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "model_type": MODEL_TYPE, "network": network, "architectures": [CLASS],
        "eos_token_id": end_id, "pad_token_id": config["pad"],
    }  # fmt: skip
    with replacing(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    tokens = folder / "tokenizer_config.json"
    if not tokens.is_file():
        return
    settings = json.loads(tokens.read_text(encoding="utf-8"))
    if settings["tokenizer_class"] in PLAIN and settings.get("unk_token") == settings.get("pad_token"):
        # Words that are not there would be read as padding, which means: not at all.
        settings["tokenizer_class"] = TOKENIZER
        with replacing(tokens) as temporary:
            temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
