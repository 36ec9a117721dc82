"""Old copies of a database, made and put back the ways an operator does it."""

import shutil
import sqlite3


def backup(source, target):
    """As `sqlite3 source '.backup target'`: page by page under its locks, in use or not. Onto a
    database in use it is `.restore`."""
    old, new = sqlite3.connect(source, timeout=10), sqlite3.connect(target, timeout=10)
    try:
        old.backup(new)
    finally:
        old.close()
        new.close()


def swap(copy, path):
    """As mv does it: the file gets another inode, its log goes."""
    fresh = path.with_name("fresh.db")
    shutil.copy(copy, fresh)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fresh.rename(path)
