"""Actions in I-PHYRE's games and what the simulator of physworld makes of them, as JSON for `original.py`.

python experiments/021_planning/actions.py actions.json
"""

import argparse
import json
import zlib
from pathlib import Path

from physworld.seeding import generator
from physworld.text.evaluation.planning import act
from physworld.text.sources.puzzles import iphyre, iphyre_games

EACH = 10  # actions of a game


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="actions.json", type=Path)
    out = parser.parse_args().out
    games, lines = iphyre_games("iphyre"), []
    for boxes in (False, True):
        for puzzle in iphyre("iphyre", boxes=boxes):
            rng = generator(0, "test", zlib.crc32(puzzle.name.encode()))
            game = games[puzzle.name]
            blocks = [k for k in range(len(game["block"])) if not game["dynamic"][k]]  # wall -> block
            for _ in range(EACH):
                action = puzzle.draw(rng)
                outcome = puzzle.goal(act(puzzle, action, puzzle.frames(15.0)))
                seconds = [[blocks[wall], frame * puzzle.scene.dt * puzzle.pace] for frame, wall in action.removed]
                lines.append({"game": puzzle.name, "boxes": boxes, "removed": seconds, "solved": outcome.solved})
    out.write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
