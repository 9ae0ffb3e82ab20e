"""`physworld judge` stopped in the middle: one sentence, and the same command goes on to the same report."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np

from physworld.cli import main
from physworld.io.images import write_mp4
from physworld.seeding import generator

from commands import start


def _clips(folder: Path, count: int) -> None:
    """Discs that fall over a scene of noise, which takes a while to judge."""
    times = np.arange(60) / 30
    scene = generator(0, "test").uniform(90, 150, (180, 240, 3))
    columns, rows = np.arange(240)[None] + 0.5, np.arange(180)[:, None] + 0.5
    for k in range(count):
        frames = np.repeat(scene[None], len(times), 0)
        for t, y in enumerate(20 + 35 * times**2):
            frames[t, (columns - 30 - 20 * k) ** 2 + (rows - y) ** 2 < 64] = (240, 30, 30)
        write_mp4(folder / f"{k}.mp4", frames.astype(np.uint8), 30)


def _stopped(words: list[str], journal: Path, lines: int, how: signal.Signals) -> tuple[int, str]:
    """(exit code, stderr) of the command, stopped when so many clips are judged."""

    def judged() -> bool:
        return journal.exists() and sum(line.endswith("}") for line in journal.read_text().splitlines()) >= lines

    command = start(journal.parents[1], "physworld", *words)
    command.wait_until(judged)
    assert command.process.pid is not None
    os.kill(command.process.pid, how)
    done = command.end()
    return done.returncode, done.stderr


def test_a_stopped_command_goes_on(tmp_path: Path) -> None:
    folder, out, whole = tmp_path / "clips", tmp_path / "out", tmp_path / "whole"
    _clips(folder, 4)
    words = ["judge", str(folder), "--controls", "1", "--pictures", "1", "--out"]
    journal = out / "judged.jsonl"
    code, said = _stopped([*words, str(out), "--workers", "2"], journal, 1, signal.SIGINT)
    assert code == 130 and said.strip().splitlines()[-1].endswith("of 4 clips; the same command goes on from there.")
    assert "Traceback" not in said
    code, _ = _stopped([*words, str(out), "--workers", "1"], journal, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    kept = journal.read_text()
    journal.write_text(kept + '{"key": "cut off in the midd')
    assert main([*words, str(out), "--workers", "1"]) == 0
    assert main([*words, str(whole), "--workers", "1"]) == 0
    assert (out / "clips.json").read_text() == (whole / "clips.json").read_text()
    rows = [json.loads((each / "summary.json").read_text())["rows"] for each in (out, whole)]
    assert rows[0] == rows[1]
    assert not journal.exists()
