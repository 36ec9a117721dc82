"""The device's disk fills up or turns read-only under the running daemon, with the cloud there: puts
fail with the reason, nothing accepted is lost or doubled, and it goes on when there is room."""

import json
import os
import signal
import subprocess

import pytest

from lib.flow import (HISTORY, PLAIN, TYPED, USER, Ledger, PutWriter, is_long, read_rows, reading,
                      seed_of_run)
from lib.stack import Stack
from lib.wait import wait_until

DEVICE = "edge-001"


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


class Disk:
    """A file system of its own, and files that take its room."""

    def __init__(self, folder, *options, source="tmpfs"):
        folder.mkdir()
        self.folder, self.filler = folder, folder / "filler"
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        result = run("mount", *options, source, folder)
        if result.returncode != 0:
            pytest.skip(f"cannot mount: {result.stderr.strip()}")

    def fill(self):
        """Until not one more byte goes in."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def make_room(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        run("umount", self.folder)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk", "-t", "tmpfs", "-o", "size=6m")
    yield disk
    disk.close()


def make_stack(certs, folder, **values):
    stack = Stack(certs, broker__flap_wait="20ms")
    stack.edge(DEVICE, broker__flap_wait="20ms", agent__state_dir=folder / "state", **values)
    stack.edge().state = folder / "state"
    return stack


@pytest.fixture
def stack(certs, disk):
    stack = make_stack(certs, disk.folder)
    try:
        stack.start()
        stack.ingest.cli("device", "grant", DEVICE, USER)
        stack.edge().start()
        yield stack
    finally:
        stack.close()


def put_marks(stack, ledger, prefix, count, stream=PLAIN):
    marks = [f"{prefix}-{number:03}" for number in range(count)]
    if stream == HISTORY:
        stack.edge().put("history", [{"command_id": mark, "mark": mark} for mark in marks],
                         "--user", USER)
    else:
        stack.edge().put(stream, [reading(stream, mark) for mark in marks])
    ledger.promise(stream, marks)


def refused(stack, code):
    """A put fails with that code, by hand and through the daemon."""
    result = stack.edge().cli("put", PLAIN, json.dumps({"mark": "x" * 5000}), check=False)
    assert result.returncode == 1 and f"[{code}]" in result.stderr, result
    return True


def test_answers_that_cannot_be_written_down_come_again(stack, disk):
    """The disk is full when the cloud's replies come: they settle when there is room."""
    ledger, edge = Ledger(), stack.edge()
    for stream in (PLAIN, TYPED, HISTORY):
        put_marks(stack, ledger, "before", 20, stream)
    stack.wait_settled()
    stack.ingest.proc.signal(signal.SIGSTOP)
    for stream in (PLAIN, TYPED, HISTORY):
        put_marks(stack, ledger, "flying", 200, stream)
    wait_until(lambda: edge.status()["in_flight"] >= 3, 10, "batches on their way")
    disk.fill()
    stack.ingest.proc.signal(signal.SIGCONT)
    wait_until(lambda: read_rows(stack.ingest.database, "SELECT sum(stored + revised) FROM streams")
               == [(660,)], 20, "the commit")
    refused(stack, "disk_full")
    wait_until(lambda: (edge.status()["last_error"] or {}).get("code") == "disk_full", 10,
               lambda: f"the cause shown: {edge.status()}")
    assert edge.status()["pending_count"] == 600 and edge.running()
    disk.make_room()
    stack.wait_settled()
    put_marks(stack, ledger, "after", 20)
    stack.wait_settled()
    ledger.check(stack)
    total = stack.verified()["total"]
    assert total["rows"] == 680 and total["holes"] == total["branched"] == 0
    assert edge.status()["failed_count"] == 0


class UnluckyWriter(PutWriter):
    """Puts while the disk is full half of the time."""

    def put(self, mark, put_id):
        process = self.start_put(*self.command(mark, put_id), stdout=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL)
        _, stderr = process.communicate(timeout=60)
        if process.returncode != 0:
            assert process.returncode == 1 and ("[disk_full]" in stderr or "[io]" in stderr), stderr
            self.failures += 1
        return process.returncode == 0

    failures = 0


def test_a_disk_that_is_full_again_and_again_loses_nothing(stack, disk):
    seed, ledger = seed_of_run(), Ledger()
    writers = [UnluckyWriter(stack.edge(), ledger, seed, stream, kill=0)
               for stream in (PLAIN, TYPED, HISTORY)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(20 if is_long() else 3):
            before = ledger.count()
            wait_until(lambda: ledger.count() >= before + 30, 20, "records")
            failed = [writer.failures for writer in writers]
            disk.fill()
            wait_until(lambda: all(writer.failures > n for writer, n in zip(writers, failed)), 20,
                       "puts to fail")
            assert stack.edge().running()
            disk.make_room()
    finally:
        for writer in writers:
            writer.stopping.set()
    for writer in writers:
        writer.finish()
    stack.wait_settled()
    ledger.check(stack)
    stack.verified()


def test_started_on_a_full_disk_it_goes_on_when_there_is_room(stack, disk):
    ledger, edge = Ledger(), stack.edge()
    stack.ingest.stop()
    put_marks(stack, ledger, "before", 50)
    edge.stop()
    disk.fill()
    edge.launch()
    refused(stack, "disk_full")
    stack.ingest.start()
    disk.make_room()
    if not edge.running():  # it may end with the reason; whoever keeps services running starts it
        assert "disk_full" in edge.log() or "No space" in edge.log(), edge.log()
        edge.launch()
    stack.wait_settled()
    ledger.check(stack)
    stack.verified()


def test_a_full_outbox_takes_again_when_the_cloud_has_taken(certs, tmp_path):
    """[outbox] max_bytes: what was sent makes room by itself."""
    (tmp_path / "own").mkdir()
    stack = make_stack(certs, tmp_path / "own", outbox__max_bytes="1M", outbox__resend_days=0,
                       outbox__purge_interval="1s")
    ledger, edge = Ledger(), stack.edge()
    try:
        stack.broker.start()
        edge.launch()
        for number in range(100):
            record = {"mark": f"m{number}", "text": "x" * 20000}
            if edge.put(PLAIN, record, check=False).returncode != 0:
                break
            ledger.promise(PLAIN, [f"m{number}"])
        assert 20 < ledger.count() < 60
        refused(stack, "disk_full")
        stack.ingest.start()
        stack.wait_settled()
        wait_until(lambda: edge.put(PLAIN, {"mark": "after"}, check=False).returncode == 0, 10,
                   "room")
        ledger.promise(PLAIN, ["after"])
        stack.wait_settled()
        ledger.check(stack)
        stack.verified()
    finally:
        stack.close()


def test_the_clouds_full_disk_leaves_everything_pending(certs, disk, tmp_path):
    """No answer goes out for a commit that did not happen."""
    (tmp_path / "own").mkdir()
    stack, ledger = make_stack(certs, tmp_path / "own"), Ledger()
    ingest, edge = stack.ingest, stack.edge()
    ingest.configure(ingest__state_dir=disk.folder / "cloud")
    ingest.state = disk.folder / "cloud"
    try:
        stack.start()
        edge.start()
        put_marks(stack, ledger, "before", 20)
        stack.wait_settled()
        for number in range(3):
            disk.fill()
            for stream in (PLAIN, TYPED):
                put_marks(stack, ledger, f"full{number}", 20, stream)
            retries = ingest.counters()["commit_failures"] + ingest.counters()["retries"]
            wait_until(lambda: ingest.counters()["commit_failures"] + ingest.counters()["retries"]
                       > retries, 10, lambda: f"a refusal: {ingest.counters()}")
            assert edge.status()["pending_count"] == 40, edge.status()
            disk.make_room()
            stack.wait_settled()
        ledger.check(stack)
        assert stack.verified()["total"]["rows"] == 20 + 3 * 40
    finally:
        stack.close()


@pytest.fixture
def failing_disk(tmp_path):
    """ext4 in a file; fail() does what a disk error does: it is read-only from then on."""
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if run("/usr/sbin/mkfs.ext4", "-q", image).returncode != 0:
        pytest.skip("mkfs.ext4 is not there")
    disk = Disk(tmp_path / "disk", "-o", "loop", source=image)
    disk.image = image
    yield disk
    disk.close()


def test_a_disk_that_turns_read_only_is_named_and_keeps_what_was_accepted(certs, failing_disk):
    disk, stack, ledger = failing_disk, make_stack(certs, failing_disk.folder), Ledger()
    edge = stack.edge()
    try:
        stack.start()
        edge.start()
        put_marks(stack, ledger, "before", 50)
        stack.wait_settled()
        stack.ingest.proc.signal(signal.SIGSTOP)
        put_marks(stack, ledger, "flying", 50)
        wait_until(lambda: edge.status()["in_flight"] >= 1, 10, "a batch on its way")
        if run("mount", "-o", "remount,abort", disk.folder).returncode != 0:
            pytest.skip("the file system cannot be made to fail")
        stack.ingest.proc.signal(signal.SIGCONT)
        wait_until(lambda: read_rows(stack.ingest.database, "SELECT sum(stored) FROM streams")
                   == [(100,)], 20, "the commit")
        result = edge.cli("put", PLAIN, '{"mark":"late"}', check=False)
        assert result.returncode == 1, result
        assert any(f"[{code}]" in result.stderr for code in ("read_only", "io")), result
        assert edge.running()
        edge.stop()
        disk.close()
        assert run("mount", "-o", "loop", disk.image, disk.folder).returncode == 0
        edge.start()
        stack.wait_settled()
        put_marks(stack, ledger, "after", 50)
        stack.wait_settled()
        ledger.check(stack)
        assert stack.verified()["total"]["rows"] == 150
    finally:
        stack.close()
