"""Models that roll physics forward, from simulators and seeds."""

__version__ = "0.1.0"
