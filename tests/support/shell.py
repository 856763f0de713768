"""A real bash, asked what it completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

HEADWATER: Final = Path(sys.executable).with_name("headwater")


def completed(line: str, folder: Path, environ: dict[str, str]) -> list[str]:
    """What a real bash offers for a line."""
    script = (
        f'export PATH="{HEADWATER.parent}:$PATH"\neval "$(headwater completion bash)"\ncompopt() {{ :; }}\n'
        'COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()\n_headwater_completion headwater\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", line],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "XDG_CONFIG_HOME": str(folder), **environ},
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]
