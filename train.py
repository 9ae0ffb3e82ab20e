"""Train a model on freshly simulated scenes, evaluate it and write its report: `python train.py --help`."""

from physworld.mains import main

if __name__ == "__main__":
    main("train")
