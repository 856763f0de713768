"""What an installation promises: few dependencies for a job, all commands found, folders as documented."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_a_job_that_emits_installs_three_libraries_and_no_more() -> None:
    assert sorted(name.partition(">")[0] for name in PROJECT["dependencies"]) == [
        "confluent-kafka",
        "fastavro",
        "orjson",
    ]


def test_the_commands_that_are_installed_are_those_of_the_project() -> None:
    installed = {found.name: found.value for found in entry_points(group="headwater.commands")}
    assert PROJECT["entry-points"]["headwater.commands"].items() <= installed.items(), "run: pip install -e '.[dev]'"


def test_every_command_can_be_loaded() -> None:
    for found in entry_points(group="headwater.commands"):
        assert callable(found.load()), found.value


def test_faust_finds_the_transport() -> None:
    (found,) = [found for found in entry_points(group="faust.transports") if found.name == "headwater"]
    assert found.value.startswith("headwater_processor.adapters.")


def test_the_sdk_loads_no_client_and_no_settings() -> None:
    code = (
        "import sys, headwater\n"
        "heavy = ('confluent_kafka', 'fastavro', 'pydantic', 'click', 'redis', 'headwater.runtime', 'headwater.cli')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_top_level_folder_says_what_it_holds() -> None:
    for folder in ("collector", "processor", "schemas", "tests", "deploy", "helm"):
        assert (REPO / folder / "README.md").is_file(), folder
