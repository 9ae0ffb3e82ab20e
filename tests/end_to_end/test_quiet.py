"""quiet=true on whole commands."""

from __future__ import annotations

from pathlib import Path

from commands import ended


def test_a_quiet_command_writes_its_file_and_says_nothing(tmp_path: Path) -> None:
    arguments = ("scenario=projectile", "count=1", "frames=2", "out=made")
    done = ended(tmp_path, "simulate.py", *arguments, "quiet=true")
    assert done.returncode == 0 and done.stdout == done.stderr == ""
    assert len(list((tmp_path / "made").rglob("*.jsonl"))) == 1
    wrong = ended(tmp_path, "simulate.py", "format=jpg", "quiet=true")
    assert wrong.returncode == 1 and wrong.stdout == "" and "format=jpg is unknown" in wrong.stderr
    other = ended(tmp_path, "simulate.py", "quiet=ture")
    assert other.returncode == 1 and "quiet" in other.stderr and "Traceback" not in other.stderr
