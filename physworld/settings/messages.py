"""What Hydra and OmegaConf complain of, in one plain sentence and exit code 1."""

from __future__ import annotations

import difflib
import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pydoc import locate
from typing import Any, NoReturn, TypeVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError

from physworld import renamed
from physworld.errors import SweepError, UserError, first_line, no_setting, suggest, unwritable
from physworld.settings import folders, signals

Result = TypeVar("Result")
PACKAGE = Path(__file__).resolve().parents[1]
# Inside the package where it was installed from a wheel, beside it in a clone.
CONFIG_DIR = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"


def job(task: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Put between `hydra.main` and the task: Hydra would add a line of its own to an exception that passes through it.

    In a sweep a job's mistake does pass through, so that the other jobs still run; all of them are told at the end.
    """

    @functools.wraps(task)
    def wrapped(cfg: DictConfig) -> Result:
        from hydra.core.hydra_config import HydraConfig

        try:
            _refuse_lists(cfg, HydraConfig.get().overrides.task)
            return task(cfg)
        except UserError as error:
            folders.drop(Path(HydraConfig.get().runtime.output_dir))
            _end_job(error)
        except (HydraException, OmegaConfBaseException) as error:  # building the parts
            folders.drop(Path(HydraConfig.get().runtime.output_dir))
            _end_job(UserError(_plain(error)))
        except (OSError, SafetensorError) as error:
            _leave(unwritable(error, HydraConfig.get().runtime.output_dir))
        except MemoryError as error:
            _end_job(UserError(f"There is too little memory for this ({first_line(error)}); ask for less at once."))

    return wrapped


_failed: list[tuple[int, UserError]] = []  # number of a job of this sweep, in this process, and its mistake


def _end_job(error: UserError) -> NoReturn:
    """Of a sweep this job alone; else the command."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if HydraConfig.get().mode != RunMode.MULTIRUN or isinstance(error, SweepError):
        _leave(str(error))
    _failed.append((int(HydraConfig.get().job.num), error))
    raise error from None


def _of_jobs() -> str:
    """A line for each mistake that jobs of this sweep made."""
    told: dict[str, list[str]] = {}
    for number, mistake in _failed:
        told.setdefault(str(mistake), []).append(str(number))
    return "\n".join(f"Job{'s' * (len(jobs) > 1)} {', '.join(jobs)}: {what}" for what, jobs in told.items())


TOGETHER = ("logger",)  # groups whose options have a key of their own each, so that several stand beside each other


def _refuse_lists(cfg: DictConfig, overrides: Iterable[str]) -> None:
    """Hydra takes a list of a group's options, puts them over one another and so keeps the last, without a word.

    Raises:
        UserError: names the option.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        # A key that holds a list shows it; a group shows the settings of the one option that was kept.
        if value.startswith("[") and group in cfg and isinstance(cfg[group], DictConfig) and group not in TOGETHER:
            several = f"; for several types write scenario.names={value}" if group == "scenario" else ""
            raise UserError(f"{override} is a list, and {group} takes one option{several}.")


def run_main(main: Callable[[], Any], config_name: str) -> None:
    """Call a function decorated by `hydra.main`; say user errors, Hydra's own included, in one sentence."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own account and exits before we see the exception
    _failed.clear()
    try:
        _refuse_nameless(sys.argv[1:])
        with _one_sentence_a_job(), signals.listening():
            main()
    except UserError as error:
        _leave(_of_jobs() if any(mistake is error for _, mistake in _failed) else str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _leave(explain(error, config_name, sys.argv[1:]))
    except ValueError as error:
        if str(error).startswith("Only one of --run"):
            _leave("--cfg and --info show what one job would be, and -m runs several; leave one of them out.")
        if str(error).startswith("The --resolve flag"):
            _leave("--resolve goes with --cfg job.")
        if not str(error).startswith("Config group override must be"):
            raise
        _leave(_no_option(sys.argv[1:]))
    except (KeyboardInterrupt, RuntimeError) as error:
        if (code := signals.exit_code(error)) is not None:
            _leave(signals.said(error), code)
        if (said := of_slurm(str(error))) is None:
            raise
        _leave(said)
    except BrokenPipeError:  # `--help | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _leave(unwritable(error))


def of_slurm(said: str) -> str | None:
    """The sentence for what submitit complains of; None where it is something else."""
    if 'Could not detect "srun"' in said:
        return "This sweep wants SLURM, but there is no srun here; leave hydra/launcher out, or use submitit_local."
    if refused := re.search(r"^sbatch: error: (.*)", said, re.MULTILINE):
        return f"SLURM refuses the jobs ({refused[1].rstrip('.')}); what they ask for is hydra.launcher (--cfg hydra)."
    if lost := re.match(r"Job (\S+) .* with path (.+)_result\.pkl\n.*\(state: (.*)\)", said):
        return f"Job {lost[1]} ended without a result ({lost[3]}); see {lost[2]}_log.err. The same command goes on."
    return None


def rename(arguments: list[str]) -> None:
    """Old names of settings are read as today's, in place, with a line that says so."""
    for place, typed in enumerate(arguments):
        arguments[place] = renamed.in_override(typed)
        if arguments[place] != typed:
            new = arguments[place].partition("=")[0] if typed not in renamed.CHOICES else arguments[place]
            print(f"Note: {typed} is now {new}.", file=sys.stderr)


FLAGS = (  # of Hydra's mains, which takes their beginnings too
    *("--cfg", "--config-dir", "--config-name", "--config-path", "--experimental-rerun", "--help", "--hydra-help"),
    *("--info", "--multirun", "--package", "--resolve", "--run", "--shell-completion", "--version"),
)
LETTERS = ("-c", "-h", "-i", "-m", "-p", "-r", "-sc")


def _refuse_nameless(arguments: Sequence[str]) -> None:
    for argument in arguments:
        flag = argument.partition("=")[0]
        known = any(long.startswith(flag) for long in FLAGS) if flag.startswith("--") else flag.startswith(LETTERS)
        if flag.startswith("-") and not known:
            raise UserError(f"{argument} is no flag. Settings are written as NAME=VALUE, without dashes.")
        if re.match(r"[+~]*=", argument):
            raise UserError(f"{argument} has no name before the =; settings are written as NAME=VALUE.")


def _no_option(arguments: Sequence[str]) -> str:
    """The sentence for a number or a mapping in the place of an option's name."""
    for argument in arguments:
        group = argument.partition("=")[0].lstrip("+")
        names = option_names(group)
        if names and argument.partition("=")[2] not in names:
            return f"{argument} is unknown; choose one of {', '.join(names)}."
    return "A group takes the name of one option."


@contextmanager
def _one_sentence_a_job() -> Iterator[None]:
    """A job of a sweep hands its mistake on through Hydra, whose accessor prints a line of its own before it raises."""
    theirs: Any = JobReturn.return_value

    def value(result: JobReturn) -> Any:
        if result.status == JobStatus.FAILED and isinstance(result._return_value, UserError):
            raise result._return_value
        return theirs.fget(result)

    JobReturn.return_value = property(value, theirs.fset)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        JobReturn.return_value = theirs  # type: ignore[method-assign]


def _leave(sentence: str, code: int = 1) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def explain(error: Exception, config_name: str, arguments: Sequence[str]) -> str:
    """One sentence for an exception that Hydra or OmegaConf raised while composing or building."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={wrong} is unknown.{suggest(wrong, error.options)} Choose one of {', '.join(error.options)}."
    if isinstance(error, ConfigCompositionException):
        key = _refused_key(str(error))
        if key is not None:
            return explain_key(key, config_name, arguments) or _plain(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read as NAME=VALUE{_quoting(error.override) or f': {first_line(error)}'}."
    unknown = re.search(r"Could not load '(\w+)/(\w+)'", str(error))  # in a list of options
    if unknown and (known := option_names(unknown[1])):
        return f"{unknown[1]}={unknown[2]} is unknown.{suggest(unknown[2], known)} Choose among {', '.join(known)}."
    if re.search(r"hardware\.devices.*Value 'auto'", str(error)):
        return (
            "hydra/launcher=slurm asks for devices before there are any, and hardware.devices=auto counts those that "
            "are here; give the number on a node, for example hardware.devices=8."
        )
    several = re.match(r"Ambiguous value for argument '(.*)'", str(error))
    if several:
        name, _, values = several.group(1).partition("=")
        if option_names(name):
            instead = f", or write scenario.names=[{values}] for several types at once" if name == "scenario" else ""
            return f"{several.group(1)} names several options: add -m to run with each of them{instead}."
        return (
            f"{several.group(1)} gives several values: add -m to run with each of them, write {name}=[{values}] for a "
            f"list, or quote one value that has a comma: {quoted(name, values)}."
        )
    return _plain(error)


def _quoting(override: str) -> str:
    """How to write a value that Hydra cannot read as it stands; '' where something else is wrong."""
    name, given, value = override.partition("=")
    if not given or not re.fullmatch(r"[+~]*[\w./@]+", name, re.ASCII) or value.startswith(("[", "{", "'", '"')):
        return ""
    return f"; a value with letters beyond ASCII, brackets or a = needs quotes of its own: {quoted(name, value)}"


def override(name: str, value: str) -> str:
    """NAME=VALUE as Hydra reads it, in quotes only where it must be."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        if OverridesParser.create().parse_override(f"{name}={value}").value() == value:
            return f"{name}={value}"
    except HydraException:
        pass
    return _in_quotes(name, value)


def _in_quotes(name: str, value: str) -> str:
    for_hydra = re.sub(r"(\\+)$", r"\1\1", re.sub(r"(\\*)'", r"\1\1\\'", value))
    return f"{name}='{for_hydra}'"


def quoted(name: str, value: str) -> str:
    """NAME=VALUE in Hydra's quotes, as a shell reads it, whatever is in the value."""
    argument = _in_quotes(name, value)
    return shlex.quote(argument) if re.search(r"""["$`\\!]""", argument) else f'"{argument}"'


def _plain(error: Exception) -> str:
    """The deepest cause of a failed instantiation, without the path that led there."""
    root: BaseException = error
    while type(root).__name__ == "InstantiationException" and root.__cause__ is not None:
        root = root.__cause__
    called = re.search(r"Error in call to target '([\w.]+)'", str(error))
    target: Any = locate(called[1]) if called else None
    known = no_setting(root, target) if target is not None else None
    if known:
        return known
    cause = f" ({first_line(root.__cause__)})" if root.__cause__ is not None else ""
    return f"The configuration is not usable: {first_line(root)}{cause}"


def _refused_key(message: str) -> str | None:
    match = re.search(r"Could not (?:override|append|delete from config\.?) '?([\w./@]+)'?", message)
    return match.group(1).rstrip(".") if match else None


def explain_key(key: str, config_name: str, arguments: Sequence[str]) -> str | None:
    """Name the key, the nearest one that exists, and what its parent holds; None where it does exist."""
    keys = list(_valid_keys(key, config_name, arguments))
    if key in keys:
        return None
    parent, _, leaf = key.rpartition(".")
    siblings = sorted(k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent)
    near = difflib.get_close_matches(leaf, siblings, n=1) or difflib.get_close_matches(key, keys, n=1)
    elsewhere = sorted(k for k in keys if k.rpartition(".")[2] == leaf)  # frames is evaluation.frames
    if elsewhere:
        hint = f" Did you mean {' or '.join(elsewhere[:3])}?"
    elif near:
        prefix = f"{parent}." if parent and near[0] in siblings else ""
        hint = f" Did you mean {prefix}{near[0]}?"
    else:
        hint = ""
    holds = f" {parent or 'The configuration'} has {', '.join(siblings)}." if siblings else ""
    others = _options_with(key)
    where = f" {', '.join(others)} {'has' if len(others) == 1 else 'have'} it." if others else ""
    return f"{key} is unknown.{hint}{where}{holds}"


def _options_with(key: str) -> list[str]:
    """Choices of the key's group, such as codec=islands, that have this setting."""
    from omegaconf import OmegaConf

    group, _, rest = key.partition(".")
    missing = object()
    return [
        f"{group}={name}"
        for name, option in (options(group) if rest else {}).items()
        if OmegaConf.select(option, rest, default=missing) is not missing
    ]


def option_names(group: str) -> list[str]:
    """Choices of a Hydra group, of files and of those that code registers."""
    from hydra.core.config_store import ConfigStore

    files = [path.stem for path in (CONFIG_DIR / group).glob("*.yaml")] if group else []
    try:
        stored = [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
    except OSError:  # code registers none
        stored = []
    return sorted({*files, *stored})


def options(group: str) -> dict[str, Any]:
    """What each choice of a Hydra group puts under the group's name, composed with what it builds upon."""
    from omegaconf import OmegaConf

    found = {}
    for name in [path.stem for path in sorted((CONFIG_DIR / group).glob("*.yaml"))]:
        whole = OmegaConf.create(_raw(group, name))
        found[name] = whole[group] if group in whole and "_target_" not in whole else whole
    return found


def _raw(group: str, name: str) -> Any:
    """One option and, under it, the options of its group that its defaults list names."""
    from omegaconf import OmegaConf

    node: Any = OmegaConf.load(CONFIG_DIR / group / f"{name}.yaml")
    of_everything = (CONFIG_DIR / group / f"{name}.yaml").read_text(encoding="utf-8").startswith("# @package _global_")
    below: Any = OmegaConf.create()
    for entry in node.pop("defaults", []):  # such as `hf` or `hf@model`
        if isinstance(entry, str) and entry != "_self_":
            below = OmegaConf.merge(below, _raw(group, entry.partition("@")[0]))
    if of_everything and below and group not in below:
        below = OmegaConf.create({group: below})
    return OmegaConf.merge(below, node)


def _valid_keys(wrong: str, config_name: str, arguments: Sequence[str]) -> Iterator[str]:
    """Every key of the configuration as composed without the wrong override."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    # Only plain group choices such as model=gpt_small shape which keys exist.
    choices = [a for a in arguments if re.fullmatch(r"[\w/]+=\w+", a) and option_names(a.partition("=")[0])]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose(config_name, [c for c in choices if c.partition("=")[0] != wrong])
    except Exception:
        return  # another mistake on the same line: the key is named, the suggestion is left out
    stack: list[tuple[str, Any]] = [("", OmegaConf.to_container(config))]
    while stack:
        prefix, node = stack.pop()
        if isinstance(node, dict):
            for name, child in node.items():
                if not str(name).startswith("_"):
                    yield f"{prefix}{name}"
                    stack.append((f"{prefix}{name}.", child))
