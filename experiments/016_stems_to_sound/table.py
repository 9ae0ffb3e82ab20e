"""The table of `study.py`'s rows: python experiments/016_stems_to_sound/table.py OUT"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

# row of the table: (what is wanted, key, how the songs' values become one, digits)
ROWS = (
    ("stems", "", "stems", "range", 0),
    ("classes from names right, %", "100", "classes", "least", 2),
    ("band that holds most energy right, %", "100", "bands", "least", 2),
    ("least onset strength of a drum", "-", "percussive", "least", 2),
    ("tempo off, bpm", "-", "bpm_off", "most", 2),
    ("largest error of a stem's LUFS, against ffmpeg", "-", "stem_lufs_error", "most", 2),
    ("violations of the payload's rules", "0", "violations", "most", 0),
    ("bed: LU from the scene's target", "0.5", "bed_lu_off", "most", 2),
    ("bed: true peak, dBTP", "-1", "bed_dbtp", "largest", 2),
    ("binaural: LU from the scene's target", "0.5", "binaural_lu_off", "most", 2),
    ("binaural: true peak, dBTP", "-1", "binaural_dbtp", "largest", 2),
    ("FLAC in .iamf: samples that differ", "0", "flac_wrong", "most", 0),
    ("loudest sample that ffmpeg's reader leaves out at the end", "0", "missing_loudest", "most", 6),
    ("Opus: largest difference of an octave, dB (within 60 dB of the loudest)", "1", "opus_db", "most", 2),
    ("iamf-sentinel: exit", "0", "sentinel", "most", 0),
    ("ambisonics file: energy vector from the object's direction, °", "3", "ambisonic_deg", "most", 2),
    ("... of objects that stand still", "", "ambisonic_objects", "range", 0),
    ("ADM through ear-render: channels", "12", "ear", "least", 0),
    ("... LU from the loudness that the file says", "-", "ear_lu_off", "most", 2),
    ("five outlets, s", "-", "seconds", "most", 1),
)


def main(out: Path) -> None:
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row["bpm_off"] = (row["bpm"] or 0) - row["bpm_true"]
        row |= {"classes": 100 * row["classes"], "bands": 100 * row["bands"]}
    print(f"| over {len(rows)} songs | wanted | worst | by song |\n| :-- | --: | --: | :-- |")
    for name, wanted, key, how, digits in ROWS:
        values = [row[key] for row in rows if row[key] is not None]
        if not values:
            continue
        worst = {"least": min, "largest": max, "most": lambda v: max(map(abs, v)), "range": min}[how](values)
        shown = f"{min(values)}-{max(values)}" if how == "range" else f"{worst:.{digits}f}"
        print(f"| {name} | {wanted} | {shown} | {' '.join(f'{value:.{digits}f}' for value in values)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    main(parser.parse_args().out)
