"""What a task is: the encoding of its labels, its loss, its metric, its width in a network and how it is drawn.

Every kind of task is one file of this folder, named after the kind; a new kind is a new file and no edit elsewhere.
"""

from equipoise.tasks.base import Output, Task
from equipoise.tasks.registry import available, create, kind

__all__ = ["Output", "Task", "available", "create", "kind"]
