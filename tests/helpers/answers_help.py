"""Runs each script that is named with --help, in one process; prints what went wrong, one line a script."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path


def answer(script: Path) -> str:
    """'' where it ends with exit code 0 and says how it is used."""
    said, code, own = io.StringIO(), None, list(sys.path)
    sys.argv, sys.path[:] = [str(script), "--help"], [str(script.parent), *own]  # as `python SCRIPT` has it
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        sys.path[:] = own
        for name, module in list(sys.modules.items()):  # scripts of two folders may have one name
            if str(script.parent) == str(Path(getattr(module, "__file__", None) or "/").parent):
                del sys.modules[name]
    helped = "usage: " in said.getvalue() or "--help NODE" in said.getvalue()  # argparse's, or a main's
    return "" if helped and code in (None, 0) else f"exit code {code}, {said.getvalue()[:200]!r}"


if __name__ == "__main__":
    for path in sys.argv[1:]:
        if wrong := answer(Path(path)):
            print(path, wrong)
