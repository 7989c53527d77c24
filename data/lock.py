"""One process at a time in a folder. The lock is the system's, so that it ends with its process, also by `kill -9`.

Read next: faces.py, the images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import portalocker

from data import BadInput

NAME = ".in-use"  # holds the number of the process; beside it is .in-use.lock, which is what the system locks


@contextmanager
def locked(folder: Path, log: Callable[[str], None] | None = None) -> Iterator[None]:
    """Inside, no other process is in such a block for this folder. The folder is made if it does not exist, and removed
    again if nothing was written into it.

    log     wait until the other process has finished, and say so; without it, that the folder is in use raises BadInput

    Where the file system has no locks (some network drives), the block is entered without one.
    """
    lock, said = portalocker.PidFileLock(folder / NAME), False
    try:
        while True:
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
                break
            except portalocker.AlreadyLocked:
                holder = f"process {lock.read_pid() or 'of unknown number'}"
                if log is None:
                    raise BadInput(f"{folder}: is in use by {holder}: wait until it has finished, or choose another "
                                   "folder") from None
                if not said:
                    log(f"Waiting for {holder}, which works in {folder}")
                said = True
                time.sleep(0.2)
            except portalocker.LockException:
                break
            except FileNotFoundError:  # the other process has just removed the folder that it had made
                pass
        for stale in folder.glob(f"{NAME}.*.tmp"):  # left by a process that was killed as it took the lock
            stale.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
        for path in made:
            with suppress(OSError):  # not empty
                path.rmdir()


def is_lock(path: Path) -> bool:
    """Whether a file in a folder belongs to the lock. A process that is killed leaves such files behind."""
    return path.name.startswith(NAME)
