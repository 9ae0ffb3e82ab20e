"""Roll a given scene forward with a finished run: `python predict.py run=DIR input=scene.jsonl frames=100`."""

from physworld.mains import main

if __name__ == "__main__":
    main("predict")
