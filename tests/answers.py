"""The official answers of all assignments."""

from functools import lru_cache

import assignments

TASKS = assignments.every_task()


@lru_cache
def answer(name, source=None):
    return TASKS[name].namespace(source)[TASKS[name].function]
