"""Waiting for a condition with a deadline; never for a time."""

import time

SLACK = 3  # for machines that do other things too; what must be fast is measured by its test


def wait_until(condition, timeout, what):
    """Returns the first true value of condition(); fails with what was waited for.

    `what` is a text, or a function that makes one when the time is over, after SLACK times
    `timeout` seconds.
    """
    timeout *= SLACK
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {text}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
