"""Options of `physworld describe`, `mix` and `listen`, which `--help` shows without loading what they need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def stem_verbs(verbs: argparse._SubParsersAction[Any]) -> None:
    """`describe` and `mix`, which take a folder of stems."""
    describing = verbs.add_parser("describe", help="a folder of stems (WAV, FLAC, AIFF) as a payload, measured")
    mixing = verbs.add_parser("mix", help="a folder of stems as a scene that obeys its rules, and as sound")
    for parser in (describing, mixing):
        parser.add_argument(
            "stems", type=Path, metavar="STEMS", help="folder of WAV, FLAC or AIFF files, mono or stereo"
        )
        parser.add_argument(
            "--style", default="pop", help="club, pop (the default), rock, hiphop, jazz, orchestral, ambient, ..."
        )
        parser.add_argument("--section", default="verse", help="intro, verse, build, drop, chorus, bridge, ...")
        parser.add_argument("--max-objects", type=int, metavar="N", help="most objects; by default one for every stem")
        parser.add_argument(
            "--classes", type=Path, metavar="FILE", help='JSON {"file or id": "class"}, before names and sound'
        )
        parser.add_argument("--rules", type=Path, metavar="FILE", help="JSON list of rules, or a payload that has them")
        parser.add_argument("--out", type=Path, help="where to write; by default beside STEMS")
    describing.add_argument("--target", default="iamf", help="iamf, binaural, 5.1.4 or 7.1.4")
    mixing.add_argument(
        "--target", action="append", metavar="WHAT",
        help="iamf (the default), bed, ambisonics, binaural, adm, rpp, csv or iamf-objects; several with commas",
    )  # fmt: skip
    mixing.add_argument("--run", help="a trained run, or last; without it the rule-based engineer writes the scene")
    mixing.add_argument("--mode", help="how a run answers: raw (the default), schema or pinned; repair follows")
    mixing.add_argument("--sections", type=Path, metavar="FILE", help='JSON [{"section": "verse", "start_s": 0}, ...]')
    mixing.add_argument("--fade", type=float, help="seconds (2), from one section's scene to the next one's")
    mixing.add_argument("--codec", help="of .iamf: flac (the default), opus or pcm")
    mixing.add_argument("--order", type=int, help="of ambisonics, 1-3; given with iamf, it holds ambisonics and no bed")
    mixing.add_argument("--layout", help="of a bed: 7.1.4 (the default) or 5.1.4")
    mixing.add_argument("--hrtf", type=Path, metavar="FILE", help="measured ears for binaural (SOFA); else a sphere")
    mixing.add_argument("--watch", action="store_true", help="render again, over what was, when a scene is edited")


def listen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER",
        help="two mixes of one payload, or two folders with mixes of the same names (physworld mix --target binaural); "
        "with --answers, the test's folder",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="of the page; by default listening_test")
    parser.add_argument("--repeats", type=int, metavar="N", help="how often each song is asked about (1)")
    parser.add_argument("--answers", type=Path, nargs="+", metavar="FILE", help="count what listeners saved")
