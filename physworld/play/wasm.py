"""Chipmunk and the model's arithmetic as WebAssembly, compiled from C by emscripten; nothing compiled is committed.

Chipmunk's C is that of the source distribution of the Pymunk that is installed, so the page's simulator is the same
code. What was compiled is kept in the user's cache, by the digest of all that went into it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import pymunk

from physworld.errors import UserError

WEB = Path(__file__).parent / "web"
NAMES = ("truth.wasm", "think.wasm")
# Not needed, and cpHastySpace wants threads.
LEFT_OUT = {"cpHastySpace.c", "cpPolyline.c", "cpMarch.c", "cpSpaceDebug.c"}
COMMON = ["-std=c99", "-DNDEBUG", "-w", "--no-entry", "-sSTANDALONE_WASM", "-sALLOW_MEMORY_GROWTH=1"]
# No fused or reordered arithmetic in either, as in the compiled Pymunk: the truth is equal to the last bit.
TRUTH = ["-O2", "-DCP_OVERRIDE_MESSAGE"]  # pymunk's own definition: messages are ours
THINK = ["-O3", "-msimd128", "-Wl,--export=malloc", "-Wl,--export=free"]
RELEASE = f"pymunk-{pymunk.version}"


def compiled(source: Path | None = None) -> dict[str, bytes]:
    """Each name's WebAssembly.

    Args:
        source: pymunk's source distribution; None = from the cache, or else fetched by pip.

    Raises:
        UserError: a tool is missing, or a step fails; it says what to install.
    """
    emcc = shutil.which("emcc")
    if emcc is None:
        raise UserError(
            "The page without a server needs emcc to compile Chipmunk; install it: apt-get install emscripten."
        )
    version = _run([emcc, "--version"], "emcc --version").splitlines()[0]
    recipe = [
        version,
        RELEASE,
        *COMMON,
        *TRUTH,
        *THINK,
        *((WEB / f"{name}.c").read_text() for name in ("truth", "think")),
    ]
    digest = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "physworld" / f"wasm-{digest}"
    if not all((cache / name).is_file() for name in NAMES):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _compile(emcc, source, Path(work))
            for name in NAMES:
                os.replace(Path(work) / name, cache / name)
    return {name: (cache / name).read_bytes() for name in NAMES}


def _compile(emcc: str, source: Path | None, work: Path) -> None:
    chipmunk = _unpacked(source or _fetched(work), work)
    files = [str(file) for file in sorted((chipmunk / "src").glob("*.c")) if file.name not in LEFT_OUT]
    include = f"-I{chipmunk / 'include'}"
    truth = [emcc, *COMMON, *TRUTH, include, *files, str(WEB / "truth.c"), "-o", str(work / "truth.wasm")]
    _run(truth, "emcc could not compile Chipmunk")
    think = [emcc, *COMMON, *THINK, str(WEB / "think.c"), "-o", str(work / "think.wasm")]
    _run(think, "emcc could not compile the model")


def _fetched(work: Path) -> Path:
    """Pymunk's source distribution from the package index, by pip and checked by it."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--no-build-isolation",
        "--retries",
        "1",
    ]
    wanted = f"pymunk=={pymunk.version}"
    _run(
        [*pip, "--dest", str(work), wanted],
        f"pip could not fetch Chipmunk's source; fetch it with `pip download --no-deps --no-binary :all: {wanted}` and "
        f"give the file with --chipmunk {RELEASE}.tar.gz",
    )
    return work / f"{RELEASE}.tar.gz"


def _unpacked(source: Path, work: Path) -> Path:
    try:
        with tarfile.open(source) as archive:
            archive.extractall(work, filter="data")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(f"{source} cannot be read as pymunk's source distribution ({error}).") from None
    folder = work / RELEASE / "Munk2D"
    if not (folder / "src" / "cpSpaceStep.c").is_file():
        raise UserError(
            f"{source} does not hold Chipmunk's source; give {RELEASE}.tar.gz, the release that is installed."
        )
    return folder


def _run(command: list[str], failure: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UserError(f"{failure} ({told[-1] if told else f'exit code {done.returncode}'}).")
    return done.stdout
