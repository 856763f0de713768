"""How commands find the `headwater up` or `headwater demo` that runs on this machine, for this user.

One small file, `<runtime folder>/headwater-<uid>/current.json`; the runtime folder is `$XDG_RUNTIME_DIR`, else the
temporary folder. It counts only while its process lives, and only if it is ours and nobody else may write it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that runs: `command` is `up` or `demo`."""

    pid: int
    bootstrap_servers: str
    redis_url: str
    domain: str
    command: str = "up"
    topic_prefix: str = "lineage."


def current_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the file is, whether it exists or not."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_RUNTIME_DIR") or environ.get("TMPDIR") or tempfile.gettempdir()
    return Path(base) / f"headwater-{os.getuid()}" / "current.json"


def find(environ: Mapping[str, str] | None = None) -> Running | None:
    """The stack that runs, or None. Never raises: a broken file is no stack."""
    path = current_path(environ)
    try:
        if not _ours(path.parent) or not _ours(path):
            return None
        running = Running(**json.loads(path.read_text(encoding="utf-8")))
        return running if _lives(running.pid) else None
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def announced(running: Running, environ: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Announce a stack for as long as the block runs. A later one replaces it and is left alone at the end."""
    path = current_path(environ)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _ours(path.parent):
        # Somebody else made it: saying nothing is better than writing an address where others can change it.
        yield path
        return
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(asdict(running)), encoding="utf-8")
    unfinished.replace(path)
    try:
        yield path
    finally:
        now = find(environ)
        if now is None or now.pid == running.pid:
            path.unlink(missing_ok=True)


def _ours(path: Path) -> bool:
    state = path.lstat()
    writable_by_others = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return state.st_uid == os.getuid() and not stat.S_ISLNK(state.st_mode) and not writable_by_others


def _lives(pid: int) -> bool:
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
