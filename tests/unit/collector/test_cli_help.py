"""Every command explains itself: what it does, and examples that parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from headwater.cli.root import root

_EXAMPLE = re.compile(r"^ +((?:[A-Z_]+=\S+ )*headwater .+)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"\s*(?:\|\|?|&&|>>?)\s.*|\s{2,}\S.*")
"""What follows a command on an example's line: a pipe, another command, a file, or a remark."""


def commands(group: click.Group = root, called: str = "headwater") -> Iterator[tuple[str, click.Command]]:
    """Every command with what a person types for it, groups too."""
    yield called, group
    context = click.Context(group, info_name=called)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{called} {name}")
        else:
            yield f"{called} {name}", command


COMMANDS = dict(commands())


def help_of(called: str) -> str:
    context = click.Context(COMMANDS[called], info_name=called, terminal_width=200, max_content_width=200)
    return COMMANDS[called].get_help(context)


def words_of(example: str) -> list[str]:
    """The arguments of an example's command."""
    plain = _ELSEWHERE.sub("", example)
    found = shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )+", "", plain))
    if found[:2] == ["eval", "$(headwater"]:
        found = found[1:]
    return found[1:]


def parsed(arguments: list[str]) -> list[str]:
    """The names of the commands that the arguments call. Runs nothing; raises click.UsageError as the command would."""
    command: click.Command = root
    context = command.make_context("headwater", list(arguments))
    names = []
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            break
        name, inner, rest = command.resolve_command(context, rest)
        assert inner is not None
        assert name is not None
        names.append(name)
        command = inner
        context = command.make_context(name, rest, parent=context)
    return names


@pytest.mark.parametrize("called", COMMANDS)
def test_help_says_what_a_command_does_and_shows_examples_that_parse(
    called: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = help_of(called)
    assert "Usage:" in said
    assert COMMANDS[called].help
    examples = _EXAMPLE.findall(said)
    assert examples, "there is no example"
    own = [names for names in (parsed(words_of(example)) for example in examples) if _is_of(called, names)]
    assert own, "no example is of this command"


def _is_of(called: str, names: list[str]) -> bool:
    return " ".join(["headwater", *names]).startswith(called)


@pytest.mark.parametrize("called", COMMANDS)
def test_every_option_and_choice_has_its_words(called: str) -> None:
    bare = [
        parameter.opts[0]
        for parameter in COMMANDS[called].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not bare, "options without help"


@pytest.mark.parametrize(
    "example",
    [
        "headwater status --no-such-option",
        "headwater graph export --format png",
        "headwater graph diff one.jsonl",
        "headwater completion tcsh",
    ],
)
def test_an_example_that_does_not_parse_would_be_found(example: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(words_of(example))
