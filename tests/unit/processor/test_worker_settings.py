"""From the settings to what a worker is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.cli.context import Invocation
from headwater.runtime import discovery
from headwater.runtime.models import ProcessorSettings, Settings
from headwater_processor.core.plan import Rules
from headwater_processor.engine.engine import Limits
from headwater_processor.local.worker_cli import arguments_for_children, worker_config


def test_without_settings_a_worker_works_by_the_defaults_of_the_engine() -> None:
    config = worker_config(Settings())
    assert (config.rules, config.limits) == (Rules(), Limits())


@pytest.mark.parametrize(("key", "value"), [("closed_runs_max", 5_000), ("seen_ids_max", 7), ("shards", 3)])
def test_a_setting_becomes_a_rule(key: str, value: int) -> None:
    config = worker_config(Settings(processor=ProcessorSettings.model_validate({key: value})))
    assert getattr(config.rules, key) == value


def test_the_bound_of_the_outboxes_becomes_a_limit() -> None:
    config = worker_config(Settings(processor=ProcessorSettings(outbox_max=6_000)))
    assert config.limits.outbox_max == 6_000


@pytest.mark.parametrize(("domain", "given", "group"), [
    ("default", "", "headwater"), ("shop", "", "headwater-shop"), ("shop", "mine", "mine"),
])  # fmt: skip
def test_each_domain_has_a_consumer_group_of_its_own(domain: str, given: str, group: str) -> None:
    config = worker_config(Settings(domain=domain, processor=ProcessorSettings(group=given)))
    assert (config.group, config.consumer["group.id"]) == (group, group)


def test_children_are_told_where_the_running_stack_is_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    running = discovery.Running(os.getpid(), "127.0.0.1:9", "redis://127.0.0.1:8/0", "shop", "up", "shop.")
    assert arguments_for_children(Invocation()) == ["--output", "table"]
    with discovery.announced(running):
        found = " ".join(arguments_for_children(Invocation({"processor.shards": "4"}, verbosity=-1)))
    assert "--set processor.shards=4" in found
    assert found.endswith("--kafka 127.0.0.1:9 --redis redis://127.0.0.1:8/0 --domain shop --set topic_prefix=shop.")
