"""Say what a training run would need and cost: `python plan.py --help`."""

from physworld.mains import main

if __name__ == "__main__":
    main("plan")
