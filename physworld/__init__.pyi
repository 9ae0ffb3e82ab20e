# What type checkers and editors see of the names that __init__.py loads when they are asked for.
from physworld.science import *
from physworld.types import *

__version__: str
SCIENCE: tuple[str, ...]
