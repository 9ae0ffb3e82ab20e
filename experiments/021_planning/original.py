"""The same actions in I-PHYRE's own simulator: how often the outcomes agree.

In an environment of its own: pip install iphyre==0.2.3 pymunk==6.11.1 'numpy<2' pygame
python experiments/021_planning/original.py actions.json
"""

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", metavar="actions.json", type=Path)
    actions = parser.parse_args().actions
    from iphyre.games import PARAS  # late: of that environment
    from iphyre.simulator import IPHYRE

    agree: dict[tuple[bool, str], list[bool]] = defaultdict(list)
    solved = defaultdict(list)
    for line in json.loads(actions.read_text()):
        game = PARAS[line["game"]]
        world = IPHYRE(line["game"])
        world.reset()
        clicks = []
        for block, seconds in line["removed"]:
            (ax, ay), (bx, by) = game["block"][block]
            clicks.append([(ax + bx) / 2, (ay + by) / 2, seconds])
        success = bool(world.simulate(clicks)[0])
        moving = "with moving bars" if any(game["dynamic"][: len(game["block"])]) else "balls alone"
        agree[line["boxes"], moving].append(success == line["solved"])
        solved[line["boxes"], moving].append((success, line["solved"]))
    for (boxes, moving), same in sorted(agree.items()):
        theirs, ours = (sum(pair[k] for pair in solved[boxes, moving]) for k in (0, 1))
        print(f"boxes={boxes}, {moving}: {sum(same)} of {len(same)} agree; solved there {theirs}, here {ours}")


if __name__ == "__main__":
    main()
