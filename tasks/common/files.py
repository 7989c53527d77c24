"""Files that are whole at every moment: written beside the old ones, and renamed when they are complete.

Read next: options.py, the options of the commands.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from data import BadInput


def write(path: Path, content: str | bytes) -> None:
    """Write one file. A reader sees either the old content or the new content, never a part of it."""
    write_all(path.parent, {path.name: content})


def write_all(folder: Path, files: dict[str, str | bytes], mark: str | None = None) -> None:
    """Write several files into a folder, which is made if it does not exist.

    files   {name: content}
    mark    the last of these names; its file says that the others are complete. An old one is removed before the
            first of the others is replaced, so that a mixture of old and new files never looks complete.

    All contents are on the disk, with `.tmp` behind their names, before the first file is renamed: a full disk changes
    nothing. Raises BadInput if the folder cannot be written.
    """
    beside = {name: folder / f"{name}.tmp" for name in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, content in files.items():
                with open(beside[name], "wb") as file:
                    file.write(content.encode() if isinstance(content, str) else content)
                    file.flush()
                    os.fsync(file.fileno())
            if mark:
                (folder / mark).unlink(missing_ok=True)
            for name in files:
                os.replace(beside[name], folder / name)
            if os.name == "posix":  # a rename is on the disk only when the folder is
                number = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
        finally:
            for path in beside.values():
                path.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); what was saved before is as it was") from None


def as_json(content: dict) -> str:
    """The text of a JSON file. Raises ValueError for a number that is not finite, which JSON does not have."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
