"""Benchmarks and experiments, which nothing else runs: each loads, answers --help, and reads the options it has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from commands import ended
from repository import ROOT

SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("experiments/*/*.py"), *ROOT.glob("docs/*_picture*.py")])
TAKES_NOTHING = {"families.py"}  # what a study imports


def declared(tree: ast.AST) -> set[str]:
    """Names of the options that a script declares."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            words = [str(word.value) for word in node.args if isinstance(word, ast.Constant)]
            long = [word for word in words if word.startswith("--")] or words
            dest = [
                key.value.value for key in node.keywords if key.arg == "dest" and isinstance(key.value, ast.Constant)
            ]
            found.add(str((dest or long)[0]).lstrip("-").replace("-", "_"))
    return found


def read(tree: ast.AST) -> set[str]:
    """Attributes of what `parse_args` gives, in whichever function; of `main(**vars(...))`, what main takes."""

    def parses(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "parse_args"

    names = {"options"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and parses(node.value):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.arg) and node.annotation is not None and "Namespace" in ast.unparse(node.annotation):
            names.add(node.arg)
    handed_on = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(k.arg is None and ast.unparse(k.value)[:5] == "vars(" for k in node.keywords)
    }
    taken = {
        argument.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in handed_on
        for argument in (*node.args.args, *node.args.kwonlyargs)
    }
    return taken | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (parses(node.value) or (isinstance(node.value, ast.Name) and node.value.id in names))
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_options_are_declared_and_read(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    if "argparse" in ast.unparse(tree):
        assert read(tree) == declared(tree)


def test_a_stale_option_is_seen() -> None:
    tree = ast.parse(
        "parser.add_argument('--new-name')\nparser.add_argument('-n', '--count')\noptions = parser.parse_args()\n"
        "def f(o: argparse.Namespace): return o.old_name\nprint(options.count, parser.parse_args().x)"
    )
    assert (declared(tree), read(tree)) == ({"new_name", "count"}, {"old_name", "count", "x"})


@pytest.mark.slow
def test_every_script_loads_and_answers_help(tmp_path: Path) -> None:
    scripts = [str(path) for path in SCRIPTS if path.name not in TAKES_NOTHING]
    done = ended(tmp_path, "tests/helpers/answers_help.py", *scripts)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []
