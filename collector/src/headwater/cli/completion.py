"""`headwater completion`: what makes a shell complete commands, options and names."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import BashComplete, ShellComplete, get_completion_class, split_arg_string

if TYPE_CHECKING:
    from headwater.cli.root import Root

VARIABLE: Final = "_HEADWATER_COMPLETE"
"""What the script of a shell sets when it asks."""

SHELLS: Final = ("bash", "zsh", "fish")

_EPILOG: Final = """\b
Examples:
  eval "$(headwater completion bash)"                                   in ~/.bashrc
  eval "$(headwater completion zsh)"                                    in ~/.zshrc, after compinit
  headwater completion fish > ~/.config/fish/completions/headwater.fish

\b
Names of datasets and jobs are completed where Redis answers within 0.3 s; a name alone is enough where it is the only one.
Exit codes: 0 printed, 2 no such shell.
"""

_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:$COMP_POINT}" kind value cut
    # Bash splits words at colons, and names are full of them: what it has already is cut off.
    cut="${line##* }"
    [[ $cut == *:* && $COMP_WORDBREAKS == *:* ]] && cut="${cut%%"${cut##*:}"}" || cut=""
    while IFS=',' read -r kind value; do
        case $kind in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$cut"}") ;;
        esac
    done < <(COMP_LINE="$line" %(complete_var)s=bash_complete $1)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Bash, with names that hold colons."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        # An open quote belongs to the word, the space behind a word begins the next one.
        incomplete = words.pop() if words and not re.search(r"\s$", line) else ""
        return words, incomplete

    @staticmethod
    def _check_version() -> None:
        """Every bash of the last ten years will do, and looking would start one."""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, files, and names of datasets and jobs."""
    root = context.find_root().command
    sys.stdout.write(_class_of(shell)(root, {}, "headwater", VARIABLE).source().rstrip() + "\n")


def answer(root: Root, instruction: str) -> int:
    """Answer the script of a shell: `instruction` is what it put into `VARIABLE`. Raises nothing; returns the exit code.

    Nobody is there to read a sentence: what cannot be completed has no completions.
    """
    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what != "complete":
        return 1
    quiet = sys.stderr
    try:
        with open(os.devnull, "w", encoding="utf-8") as sys.stderr:  # noqa: PTH123 - a device, not a path of ours
            found = _class_of(shell)(root, {}, "headwater", VARIABLE).complete()
    except Exception:  # noqa: BLE001 - as said above
        return 0
    finally:
        sys.stderr = quiet
    if found:
        sys.stdout.write(f"{found}\n")
    return 0


def _class_of(shell: str) -> type[ShellComplete]:
    found = Bash if shell == "bash" else get_completion_class(shell)
    assert found is not None  # noqa: S101 - click knows all of SHELLS
    return found
