"""Models that roll physics forward, from simulators and seeds."""

import logging

__version__ = "0.1.0"

# bitsandbytes, which diffusers and peft load whenever it is installed, reports on many CPUs one optional kernel that it
# does without. That line alone is left out; whatever else it says is heard.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "gemm_4bit_forward from kernels-community" not in record.getMessage()
)
