"""`python -m tests.support.session`: a fresh clone is installed, the demo runs, and every command is tried on it.

Every line ends with the exit code that is documented, nothing ends in a traceback, and every command that is printed as a hint is
pasted: it must be understood. What was typed and said is written to a file. Exit codes: 0 all as it must be, 1 not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from tests.support.processes import wait_until
from tests.support.session.hints import has_a_hole, hints_in, in_sentences
from tests.support.session.lines import FILES, LINES, Line

ROOT: Final = Path(__file__).resolve().parents[3]
UNDERSTOOD: Final = frozenset((0, 1, 3, 4))
"""A hint may find nothing; that it is no command, or a wrong one, or a bug, is what must not be."""
LINE_WITHIN_S: Final = 60
STAYS: Final = re.compile(
    r"^headwater(?: -\S+)* (?:demo|up|top|worker(?! resume| --check)|bench|status .*--watch|bridge|cdc|discover|k8s-watch"
    r"|gateway(?! token)|connect(?!.* --no-wait))"
)
"""Commands that go on until they are told to stop: whether they are understood is asked with --help."""


@dataclass(slots=True)
class Session:
    """A shell in a folder, its transcript, and what was wrong so far."""

    folder: Path
    environment: dict[str, str]
    transcript: TextIO
    wrong: list[str] = field(default_factory=list)
    pasted: set[str] = field(default_factory=set)
    holes: set[str] = field(default_factory=set)

    def shell(self, text: str, within_s: float = LINE_WITHIN_S) -> tuple[int, str]:
        """Type a line; its exit code (that of the first in a pipe that fails) and all that was said."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text],
            cwd=self.folder, env=self.environment, timeout=within_s, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.transcript.write(f"$ {text}\n{done.stdout}[{done.returncode}]\n\n")
        self.transcript.flush()
        return done.returncode, done.stdout

    def play(self, line: Line) -> None:
        """Type a line, look at the answer, paste its hints."""
        code, said = self.shell(line.text)
        if code != line.code:
            self.wrong.append(f"{line.text}: exit code {code}, expected {line.code}:\n{said[-800:]}")
        self.wrong += [f"{line.text}: does not say {word!r}:\n{said[-800:]}" for word in line.says if word not in said]
        self._look(line.text, said)
        for hint in hints_in(said):
            self.paste(hint)

    def paste(self, hint: str) -> None:
        """Run what was printed as a thing to try, once."""
        if hint in self.pasted or has_a_hole(hint):
            self.holes |= {hint} if has_a_hole(hint) else set()
            return
        self.pasted.add(hint)
        code, said = self.shell(f"{hint.partition('#')[0].strip()} --help" if STAYS.match(hint) else hint)
        if code not in UNDERSTOOD:
            self.wrong.append(f"pasted {hint!r}: exit code {code}:\n{said[-800:]}")
        self._look(hint, said)

    def _look(self, text: str, said: str) -> None:
        if "Traceback (most recent" in said or "error: a bug in Headwater" in said:
            self.wrong.append(f"{text}: a traceback:\n{said[-2000:]}")


def main() -> int:
    """Play the session; returns the exit code."""
    asked = _arguments()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headwater-session-") as scratch, asked.transcript.open("w") as transcript:
        session = _installed(Path(scratch), transcript, asked.here)
        with (Path(scratch) / "demo.log").open("wb") as log:
            demo = subprocess.Popen(
                ["make", "demo"] if not asked.here else ["headwater", "demo"],
                cwd=session.folder, env=session.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                wait_until(lambda: _goes_wrong(session), within_s=120, what="the demo goes wrong")
                for line in LINES:
                    session.play(line)
                for remedy in _remedies(session):
                    for hint in in_sentences(remedy):
                        session.paste(hint)
            finally:
                os.killpg(demo.pid, signal.SIGINT)
                code = demo.wait(30)
        said = (Path(scratch) / "demo.log").read_text(errors="replace")
        transcript.write(f"$ make demo\n{said}[{code}]\n")
        if "Traceback (most recent" in said:
            session.wrong.append(f"the demo: a traceback:\n{said[-2000:]}")
    _tell(session, asked.transcript, time.monotonic() - began)
    return 1 if session.wrong else 0


def _installed(scratch: Path, transcript: TextIO, here: bool) -> Session:
    """A clone of its own with everything installed, as the README says; `here`: what is installed already."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HEADWATER_", "VIRTUAL_ENV", "MAKE", "MFLAGS"))
    }
    home = scratch / "home"
    home.mkdir()
    environment = kept | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(scratch), "COLUMNS": "120"}
    folder = ROOT
    if not here:
        folder = scratch / "headwater"
        subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", str(folder)], check=True)
    session = Session(folder, environment, transcript)
    if not here:
        code, said = session.shell("make setup", within_s=600)
        if code:
            raise SystemExit(f"make setup failed:\n{said}")
    environment["PATH"] = f"{folder / '.venv' / 'bin'}:{environment['PATH']}"
    session.folder = scratch / "work"
    session.folder.mkdir()
    for name, text in FILES.items():
        (session.folder / name).write_text(text)
    if not here:
        (session.folder / "Makefile").write_text(f"demo:\n\t@$(MAKE) --no-print-directory -C {folder} demo\n")
    return session


def _goes_wrong(session: Session) -> bool:
    """Whether the demo has come to where a table is stale and a topic hangs loose."""
    asked = subprocess.run(
        ["headwater", "--output", "json", "status"],
        env=session.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        return False
    datasets = json.loads(asked.stdout)["datasets"]
    return any(each["state"] == "STALE" for each in datasets) and any(each.get("candidates") for each in datasets)


def _remedies(session: Session) -> list[str]:
    """What the alerts tell to do."""
    code, said = session.shell("headwater tail alerts --from beginning --no-follow --output json 2>/dev/null")
    alerts: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [alert.get("remedy", "") for alert in alerts] if code == 0 else []


def _tell(session: Session, transcript: Path, seconds: float) -> None:
    out = sys.stdout
    out.write(
        f"{len(LINES)} lines typed, {len(session.pasted)} hints pasted in {seconds:.0f} s; transcript: {transcript}\n"
    )
    if session.holes:
        out.write("hints with a hole to fill: " + "; ".join(sorted(session.holes)) + "\n")
    for wrong in session.wrong:
        out.write(f"WRONG {wrong}\n")
    out.write("all as it must be\n" if not session.wrong else f"{len(session.wrong)} things are not as they must be\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.session", description=__doc__)
    parser.add_argument("--here", action="store_true", help="use what is installed here instead of a fresh clone")
    parser.add_argument("--transcript", type=Path, default=Path("session.txt"), help="where to write what was said")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
