from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from physworld.errors import UserError
from physworld.runs import lineage


def begun(folder: Path, *names: str, checkpoint: Path | None = None, **settings: Any) -> list[str]:
    """What a run that begins there has learned from."""
    resolved = {"scenario": {"names": list(names)}, **settings}
    (folder / "model").mkdir(parents=True, exist_ok=True)
    for name in ("model/config.json", "metrics.json"):  # as if it had ended
        (folder / name).write_text("{}")
    (folder / "config.yaml").write_text(yaml.safe_dump(resolved))
    lineage.note(folder, names, resolved, checkpoint)
    return lineage.learned(folder)


def test_a_chain_of_runs_keeps_what_the_first_one_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert begun(a, "pong", "tower") == ["pong", "tower"]
    assert begun(b, "tower", init_from=str(a)) == ["tower", "pong"]
    assert begun(c, "orbit", data={"source": {"runs": [str(b)]}}) == ["orbit", "tower", "pong"]
    assert begun(d, "orbit", data={"source": {"run": "shipped"}}).count("orbit") == 1
    assert begun(d, "orbit", weights=str(b / "model")) == ["orbit", "tower", "pong"]
    assert begun(d, "orbit", model={"network": {"base": str(a / "adapter")}}) == ["orbit", "pong", "tower"]
    assert begun(d, "orbit", weights="OWNER/NAME", data={"source": {"errors": str(a)}}) == ["orbit"]


def test_a_run_that_goes_on_with_other_types_keeps_its_first_ones(tmp_path: Path) -> None:
    begun(tmp_path / "a", "pong", init_from="shipped")
    last = tmp_path / "a" / "checkpoints" / "last.ckpt"
    more = begun(tmp_path / "a", "tower", checkpoint=last, init_from=str(tmp_path / "gone"))
    assert {"pong", "tower", "billiards"} <= set(more)
    assert set(begun(tmp_path / "b", "snooker", checkpoint=last)) == {"snooker", *more}  # in a folder of its own
    (tmp_path / "moved").mkdir()
    assert begun(tmp_path / "c", "orbit", checkpoint=tmp_path / "moved" / "x" / "last.ckpt") == ["orbit"]


def test_a_run_of_an_earlier_version_has_the_types_of_its_settings(tmp_path: Path) -> None:
    begun(tmp_path / "a", "pong")
    (tmp_path / "a" / lineage.FILE).unlink()
    (tmp_path / "a" / "SHA256SUMS").unlink()
    assert lineage.learned(tmp_path / "a") == ["pong"] == lineage.of_weights(str(tmp_path / "a" / "model"))
    for exported in ("gguf", "gguf/model.gguf", "onnx"):
        assert lineage.of_weights(str(tmp_path / "a" / exported)) == ["pong"]
    assert lineage.of_weights("OWNER/model") is None and lineage.of_weights(str(tmp_path / "a" / "other")) is None


@pytest.mark.parametrize("content", ["[]", '{"pong": 1}', "[1]", "[", ""])
def test_what_was_changed_is_refused(content: str, tmp_path: Path) -> None:
    begun(tmp_path / "a", "pong")
    path = tmp_path / "a" / lineage.FILE
    assert json.loads(path.read_text()) == ["pong"]
    path.write_text(content)
    with pytest.raises(UserError, match=r"trained_on\.json"):
        lineage.learned(tmp_path / "a")
    if content != "[]":
        (tmp_path / "a" / "SHA256SUMS").unlink()
        with pytest.raises(UserError, match=r"trained_on\.json"):
            lineage.learned(tmp_path / "a")
