"""Run directories: where things lie in one, and how another command finds and reads it.

config.yaml          the resolved configuration        versions.json   commit and library versions
checkpoints/         last.ckpt, best.ckpt              tensorboard/    scalars, GIFs, hyper-parameters
model/               weights (safetensors), network configuration and tokenizer
run.json             state, host, step, heartbeat (state.py)
trained_on.json      scenario types that were learned from, here and before (lineage.py)
metrics.json         final metrics and cost            report.md       the same for people, with pictures/
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from physworld import renamed
from physworld.errors import FormatError, UserError, first_line, suggest
from physworld.io.atomic import replacing
from physworld.io.checksums import refuse_changed, summed
from physworld.io.plain_yaml import load_yaml
from physworld.runs.trusted import trusted
from physworld.settings.program import typed_command

OUTPUTS = Path("outputs")
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = PACKAGE / "pretrained"
# Finished runs without their checkpoints that come with the package, by what run= calls them.
BROUGHT = {"shipped": SHIPPED, "solver": SHIPPED / "solver"}
NAMED = ("last", *BROUGHT)
RESULTS = ("metrics.json", "ranking.json", "report.md", "tensorboard", "model", "checkpoints")  # worth not losing
EXPORTS = ("onnx", "gguf")  # formats that a run's weights are written in
LIBRARIES = (
    "physworld",
    "torch",
    "lightning",
    "hydra-core",
    "omegaconf",
    "pymunk",
    "warp-lang",
    "diffusers",
    "peft",
    "transformers",
    "tokenizers",
    "numpy",
)


def relative(directory: str) -> Path:
    """As one would type it from here."""
    path = Path(directory)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_config(path: Path, config: Any) -> None:
    with replacing(path) as temporary:
        OmegaConf.save(config, temporary)


def write_result(path: Path, value: Any) -> None:
    """JSON whose sum stands in SHA256SUMS beside it: whoever reads it notices damage."""
    with summed(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Commit, interpreter and libraries, for the record."""
    found = {"commit": _commit(), "python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else the repository around it is of something else
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def newest(having: str, beside: str = "", *, outside: Path | None = None) -> Path | None:
    """The directory under outputs/ that got its file `having` last, of those that hold `beside` as well.

    Args:
        outside: a folder in which none is looked for.
    """
    depth = len(Path(having).parts) - 1
    found = [(when, path) for when, path in written(having) if (path.parents[depth] / beside).exists()]
    if outside is not None:
        found = [(when, path) for when, path in found if not path.absolute().is_relative_to(outside.absolute())]
    return max(found)[1].parents[depth] if found else None


def written(name: str) -> Iterator[tuple[float, Path]]:
    """(when it was written, path) of every file of that name, or end of a path, below outputs/; hidden folders are
    left out.

    Other processes make and remove folders there while it looks.
    """
    for place, folders, _ in os.walk(OUTPUTS):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        path = Path(place) / name
        with contextlib.suppress(OSError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                yield found.st_mtime, path


def find_named(name: str) -> Path | None:
    """The folder of a path, of a run's name below outputs/, or of one of NAMED; None where there is none.

    Raises:
        UserError: `last`, and no run is finished.
    """
    if name in NAMED:
        return find_run(name)
    return next((path for path in (Path(name), OUTPUTS / name) if path.is_dir()), None)


def brought_as(run: Path) -> str | None:
    """What a run that comes with the package is called; None of others."""
    return next((name for name, folder in BROUGHT.items() if folder == run), None)


def find_run(run: str | None, option: str = "run", *, outside: Path | None = None) -> Path:
    """A run directory that holds a trained model.

    Args:
        option: what stands before it on the command line; '' where nothing does.
        outside: a folder that `last` does not mean any run of.

    Raises:
        UserError: there is none there.
    """
    if run is None:
        raise UserError(
            f"{option}=DIR is missing; give the directory of a finished run, {option}=last, shipped or solver."
        )
    typed = f"{option}={run}" if option else str(run)
    if run in BROUGHT:
        return BROUGHT[run]
    if run == "last":
        path = newest("metrics.json", beside="model/config.json", outside=outside)
        if path is None:
            raise UserError(
                f"{typed} finds no finished run under {OUTPUTS}/; train one with: {typed_command('train', [])}"
            )
        return path
    path = find_named(str(run)) or Path(str(run))
    if not (path / "config.yaml").is_file() or not (path / "model").is_dir():
        raise UserError(
            f"{typed} is no run directory: it has no config.yaml with a model/ folder beside it."
            f"{suggest(str(run), NAMED)} Give the directory of a finished run, last, shipped or solver."
        )
    return path


def claim(directory: Path, config: Any) -> None:
    """Write configuration and versions of an evaluation into its directory; the same evaluation may go on there.

    Args:
        config: as nested dicts; `run` is written as the directory that it means.

    Raises:
        UserError: results of something else are there.
    """
    if config["run"] is not None:
        several = isinstance(config["run"], list)
        meant = [find_run(run) for run in (config["run"] if several else [config["run"]])]
        found = [brought_as(run) or str(relative(str(run))) for run in meant]
        config = {**config, "run": found if several else found[0]}
    path = directory / "config.yaml"
    if any((directory / name).exists() for name in RESULTS):
        try:
            before: Any = renamed.in_config(load_yaml(path))
        except (OSError, FormatError):
            before = {}
        ours = isinstance(before, dict) and set(before) == set(config)
        # Where it runs and where answers are kept change no result.
        keys = (
            [key for key in differences([before, config]) if not key.startswith(("hardware", "cache"))] if ours else []
        )
        if not ours or keys:
            old, new = (flatten(some).get(keys[0]) for some in (before, config)) if keys else ("", "")
            what = f"results of {keys[0]}={old}, not {keys[0]}={new}" if keys else "results of another command"
            raise UserError(f"{directory} already holds {what}; choose another hydra.run.dir.")
    directory.mkdir(parents=True, exist_ok=True)
    write_config(path, config)
    write_json(directory / "versions.json", versions())


def refuse_a_run(directory: Path) -> None:
    """
    Raises:
        UserError: a run was trained there; answers and data do not go among its files.
    """
    if any((directory / name).exists() for name in ("checkpoints", "model", "trained_on.json")):
        raise UserError(f"{relative(str(directory))} holds a run; choose another hydra.run.dir.")


def first_rank() -> bool:
    """Not a further process of a run on several devices (started by Lightning, torchrun or SLURM)."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


@contextmanager
def held(directory: Path, patience: float = 20.0) -> Iterator[None]:
    """One command at a time writes in a run directory; the system gives it free when the process is killed.

    Args:
        patience: seconds to wait for it; workers of a killed run need up to five to notice that they are alone.

    Raises:
        UserError: another command is still writing there.
    """
    if not first_rank():
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=patience, poll_interval=0.2)
    except Timeout:
        raise UserError(
            f"Another command is writing in {directory}; wait for it, or choose another hydra.run.dir."
        ) from None
    try:
        yield
    finally:
        lock.release()


def kept_checkpoints(directory: Path) -> list[str]:
    """Which of `last` and `best` a run directory has."""
    return [name for name in ("last", "best") if (directory / f"checkpoints/{name}.ckpt").is_file()]


def find_checkpoint(ckpt: str, run_directory: Path, *, named: bool) -> Path:
    """`last` and `best` mean this run directory's, and where the command names no directory, the newest run's.

    Args:
        named: the command says in which directory to go on.

    Raises:
        UserError: there is none.
    """
    if ckpt in ("last", "best"):
        name, kept = f"checkpoints/{ckpt}.ckpt", kept_checkpoints(run_directory)
        if named and ckpt not in kept:
            instead = f"ckpt={kept[0]} is there" if kept else "give ckpt=PATH, or leave ckpt out to begin there"
            raise UserError(f"ckpt={ckpt} finds no {run_directory / name}; {instead}.")
        home = run_directory if ckpt in kept else newest(name)
        if home is None:
            raise UserError(f"ckpt={ckpt} finds no {name} under {OUTPUTS}/; train first, or give ckpt=PATH.")
        return home / name
    if not Path(ckpt).is_file():
        raise UserError(f"ckpt={ckpt} is no file; give last, best or the path of a checkpoint.")
    return Path(ckpt)


def read_config(run: Path) -> dict[str, Any]:
    """The configuration a run was made with; it may come from a stranger, so its classes are checked.

    Raises:
        UserError: not readable, or it names a class from outside physworld.
    """
    try:
        config = load_yaml(run / "config.yaml")
    except (OSError, FormatError) as error:
        raise UserError(f"{run / 'config.yaml'} cannot be read ({first_line(error)}).") from None
    if not isinstance(config, dict):
        raise UserError(f"{run / 'config.yaml'} is no configuration: it holds a {type(config).__name__}.")
    config = renamed.in_config(config)
    written = next(_interpolations(config), None)
    if written is not None:  # a run writes values; a resolver could make a class of anything
        raise UserError(f"{run / 'config.yaml'} holds {written[:60]}, which is no value; only values are used.")
    for value in _targets(config):
        if not trusted(str(value)):
            raise UserError(f"{run / 'config.yaml'} names {value}; only classes from physworld are used.")
    return config


def task_of(run: Path) -> str:
    """The system that a run belongs to; text where its configuration does not say.

    Raises:
        UserError: as `read_config`.
    """
    data = read_config(run).get("data")
    return str(data.get("task", "text")) if isinstance(data, dict) else "text"


def _targets(node: Any) -> Iterator[Any]:
    """Every `_target_` in nested mappings and lists."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield value
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _interpolations(node: Any) -> Iterator[str]:
    """Every text in nested mappings and lists, keys too, that OmegaConf would put something else in the place of."""
    if isinstance(node, str) and "${" in node:
        yield node
    parts = (*node.keys(), *node.values()) if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    for part in parts:
        yield from _interpolations(part)


def read_metrics(run: Path) -> dict[str, Any]:
    """What a run measured; empty while it has not finished."""
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        refuse_changed(run, "metrics.json")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{run / 'metrics.json'} cannot be read ({first_line(error)}).") from None
    return metrics if isinstance(metrics, dict) else {}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(configs: list[dict[str, Any]]) -> list[str]:
    """Dotted keys whose values are not the same in all configurations."""
    flats = [flatten(config) for config in configs]
    keys = sorted({key for flat in flats for key in flat})
    missing = object()
    return [key for key in keys if any(flat.get(key, missing) != flats[0].get(key, missing) for flat in flats)]


def runs_under(paths: list[str]) -> Iterator[Path]:
    """Run directories among or below the given ones, in order.

    Raises:
        UserError: a path holds no run.
    """
    for given in paths:
        root = Path(given)
        if (root / "config.yaml").is_file():
            yield root
            continue
        found = sorted(
            (Path(folder) for folder, _, files in os.walk(root) if "config.yaml" in files and ".hydra" not in folder),
            key=lambda path: [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.parts],
        )
        if not found:
            raise UserError(f"{given} holds no run (a directory with a config.yaml).")
        yield from found
