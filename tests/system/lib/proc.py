"""A program that runs in the background, with its output in a file."""

import re
import signal
import subprocess

from lib.wait import wait_until

# No program outlives a test run that is itself killed. It execs: the pid is the program's own.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]


class Proc:
    """Starts at once. Only ever signals the process it started."""

    def __init__(self, args, log, env=None, cwd=None, user=None, group=None):
        self.args = [str(arg) for arg in args]
        self.log_path = log
        with open(log, "ab") as out:
            self._log_start = out.tell()
            self._popen = subprocess.Popen(
                _DIE_WITH_PARENT + self.args, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env=env, cwd=cwd, user=user, group=group,
                extra_groups=None if user is None else [])

    @property
    def pid(self):
        return self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def returncode(self):
        """None while it runs; minus the signal's number when one ended it."""
        return self._popen.poll()

    def log(self):
        """What this process has written so far (not what an earlier one wrote to the file)."""
        with open(self.log_path, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def wait_for_log(self, pattern, timeout=5):
        """Waits for a line that the regular expression is found in; returns the match."""

        def found():
            ended = not self.running()
            match = re.search(pattern, self.log(), re.MULTILINE)
            if ended and not match:
                raise AssertionError(f"{self._name()} ended with {self.returncode()} before it "
                                     f"wrote {pattern!r}:\n{self._tail()}")
            return match

        return wait_until(found, timeout,
                          lambda: f"{pattern!r} in the log of {self._name()}:\n{self._tail()}")

    def kill(self):
        """kill -9, and waits for the end."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def _heeds(self, number):
        """Whether it has begun to look after that signal (until then it would just end)."""
        with open(f"/proc/{self.pid}/status") as status:
            masks = re.findall(r"^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$", status.read(), re.MULTILINE)
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    def terminate(self, timeout=5):
        """SIGTERM; returns the exit status. Fails, having killed it, after the timeout."""
        wait_until(lambda: not self.running() or self._heeds(signal.SIGTERM), timeout,
                   lambda: f"{self._name()} to heed SIGTERM:\n{self._tail()}")
        self._signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self._name()} did not end within {timeout} s of SIGTERM:\n{self._tail()}"
            ) from None

    def signal(self, number):
        assert self.running(), f"{self._name()} has ended"
        self._signal(number)

    def _signal(self, number):
        # Popen does not signal a process it has already waited for, whose pid may be another's.
        self._popen.send_signal(number)

    def _name(self):
        return f"{self.args[0]} (pid {self.pid})"

    def _tail(self):
        return "\n".join(self.log().splitlines()[-30:])
