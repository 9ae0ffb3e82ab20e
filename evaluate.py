"""Score a finished run on fresh scenes: `python evaluate.py run=outputs/DATE/TIME`."""

from physworld.mains import main

if __name__ == "__main__":
    main("evaluate")
