"""Every method as a pure function on plain tensors: `equipoise.functional.nash_mtl(gram)`.

A short way to `equipoise.balancing.functional`.
"""

from equipoise.balancing.functional import *  # noqa: F403
from equipoise.balancing.functional import __all__  # noqa: F401
