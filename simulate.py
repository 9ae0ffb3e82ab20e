"""Make data and pictures: `python simulate.py scenario=billiards count=3 format=gif`."""

from physworld.mains import main

if __name__ == "__main__":
    main("simulate")
