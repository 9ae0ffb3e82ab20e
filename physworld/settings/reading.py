"""What a command reads of its configuration: nothing else that was typed is taken, and nothing else is seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError, suggest
from physworld.settings.messages import explain_key, option_names, options

KINDS = {  # how each main speaks of what it works on
    "train": ("models", "model"),
    "plan": ("models", "model"),
    "evaluate": ("runs", "run"),
    "predict": ("runs", "run"),
    "simulate": ("data", "task"),
}


def refuse_unread(
    overrides: Sequence[str],
    cfg: DictConfig,
    *,
    verb: str,
    system: str,
    reads: Mapping[str, Iterable[str]],
    choices: Iterable[str],
    what: str,
) -> None:
    """Refuse what was typed and would change nothing.

    Args:
        overrides: what was typed.
        reads: top-level groups and keys that each system reads for this verb.
        choices: every group of this main; one that leaves no key behind (debug, experiment) acts while composing.
        what: the typed setting that decides on the system, such as run=shipped.

    Raises:
        UserError: names the setting, and where it belongs.
    """
    known = set().union(*reads.values())
    acting = {name for name in choices if "/" not in name} - known
    many, one = KINDS[verb]
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~").partition("@")[0]
        name = key.replace("/", ".").partition(".")[0]
        if name in acting:
            continue
        if name not in reads[system]:
            owners = [owner for owner in sorted(reads) if name in reads[owner]]
            if not owners:
                raise UserError(f"{name} is unknown.{suggest(name, known)} {verb} reads {_listed(reads[system])}.")
            where = f"{name}= is for {' and '.join(owners)} {many}; {what} is a {system} {one}"
            own = [other for other in reads[system] if other not in ("run", "hardware", "seed", "split")]
            raise UserError(f"{where}, which reads {_listed(own)}." if len(own) <= 6 else f"{where}, leave it out.")
        if override.startswith("+") and "." in key and _plain(cfg, key):
            others = [other for other in overrides if other != override]
            sentence = explain_key(key, verb, others)
            if sentence is not None:
                raise UserError(sentence)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _plain(cfg: DictConfig, key: str) -> bool:
    """Whether no class stands above a key, to whose signature it would be bound."""
    parts = key.split(".")
    above = [OmegaConf.select(cfg, ".".join(parts[:end])) for end in range(1, len(parts))]
    return not any(isinstance(node, DictConfig) and "_target_" in node for node in above)


def only(cfg: DictConfig, names: Iterable[str]) -> DictConfig:
    """The configuration with these groups and keys alone; asking it for another one is an error.

    Raises:
        UserError: a group was set to null.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in cfg:
            options = option_names(name)
            valid = f"choose one of {', '.join(options)}" if options else "give it a value"
            raise UserError(f"{name}=null leaves nothing to read; {valid}.")
    kept: DictConfig = OmegaConf.masked_copy(cfg, wanted)
    OmegaConf.set_struct(kept, True)
    return kept


def own_evaluation(node: Any, system: str) -> Any:
    """This system's evaluation for one that a preset such as debug=smoke chose: of the same size, or its usual one."""
    if belongs(node, system):
        return node
    known = options("evaluation")
    own = {name: option for name, option in known.items() if belongs(option, system)}
    chosen = next((name for name, option in known.items() if option == node), "")
    return own.get(f"{system}_{chosen}", own.get(system, node))


def belongs(node: Any, system: str) -> bool:
    """Whether the class that a node names is one of this system's."""
    return str(node["_target_"]).startswith(f"physworld.{system}.")
