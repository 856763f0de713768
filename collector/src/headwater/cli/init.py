"""`headwater init`: the settings of a new project, with comments, and policies to begin with."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import click

from headwater.cli.context import invocation
from headwater.cli.files import write_text
from headwater.cli.output import emit_json, note
from headwater.masking import mask
from headwater.runtime.errors import UsageError
from headwater.runtime.models import Settings
from headwater.runtime.policy_files import read_policies
from headwater.runtime.settings import load

SETTINGS_FILE: Final = "headwater.toml"
POLICIES_FILE: Final = "policies.yaml"
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

_EPILOG: Final = """\b
Examples:
  headwater init                                    asks four things
  headwater init --yes                              asks nothing, takes the defaults
  headwater init deploy/shop --yes --kafka broker:9092 --redis redis://redis:6379/0 --domain shop
  headwater init --yes --no-policies --force        writes headwater.toml again

\b
Exit codes: 0 written, and it loads, 2 wrong usage, or a file is there already (nothing was written), 130 interrupted.
"""


@dataclass(frozen=True, slots=True)
class Project:
    """What a project is told to begin with."""

    kafka: str
    redis: str
    domain: str
    policies: bool


@click.command(epilog=_EPILOG)
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--yes", "-y", is_flag=True, help="Ask nothing: take the defaults, and what --kafka, --redis, --domain say."
)
@click.option(
    "--policies/--no-policies",
    default=None,
    help=f"Whether to write {POLICIES_FILE}, with examples.  [default: asks; yes]",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.pass_context
def init(context: click.Context, folder: Path, yes: bool, policies: bool | None, force: bool) -> None:
    """Write the settings of a new project to FOLDER (here, if none is named): headwater.toml, and example policies.

    What is there already is not touched without --force. At the end both files are read as every command reads them.
    Passwords are not written: they go into variables, as the file says.
    """
    _refuse_to_replace(folder, [SETTINGS_FILE, *([POLICIES_FILE] if policies else [])], force)
    project = _told(context, policies) if yes else _asked(context, policies)
    names = [SETTINGS_FILE, *([POLICIES_FILE] if project.policies else [])]
    _refuse_to_replace(folder, names, force)
    redis, has_password = without_password(project.redis)
    texts = {SETTINGS_FILE: settings_text(project.kafka, redis, project.domain), POLICIES_FILE: POLICIES_TEXT}
    _check_values(project)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}", remedy="name another one") from error
    for name in names:
        write_text(folder / name, [texts[name]])
    _check_files(folder, project)
    if invocation(context).wants_json:
        emit_json({"files": [str(folder / name) for name in names], "password_left_out": has_password})
        return
    for name in names:
        note(context, f"wrote {folder / name}")
    if has_password:
        note(
            context, "The password of Redis was left out: set HEADWATER_REDIS__PASSWORD where commands and workers run."
        )
    note(context, _NEXT if project.policies else _NEXT_WITHOUT_POLICIES)


_NEXT: Final = "Both load. Next: headwater policy validate policies.yaml, headwater topics create, headwater worker"
_NEXT_WITHOUT_POLICIES: Final = "It loads. Next: headwater topics create, headwater worker"


def _told(context: click.Context, policies: bool | None) -> Project:
    flags, usual = invocation(context).flags, Settings()
    return Project(
        kafka=flags.get("kafka.bootstrap_servers", usual.kafka.bootstrap_servers),
        redis=flags.get("redis.url", usual.redis.url),
        domain=flags.get("domain", usual.domain),
        policies=policies is not False,
    )


def _asked(context: click.Context, policies: bool | None) -> Project:
    """Ask for what no flag says; questions go to standard error."""
    usual = _told(context, policies)
    flags = invocation(context).flags

    def ask(key: str, question: str, default: str) -> str:
        if key in flags:
            return default
        return str(click.prompt(question, default=default, err=True, value_proc=lambda text: _checked(key, text)))

    try:
        return Project(
            kafka=ask("kafka.bootstrap_servers", "Kafka's bootstrap servers", usual.kafka),
            redis=ask("redis.url", "Redis", usual.redis),
            domain=ask("domain", "Name of this graph (the domain)", usual.domain),
            policies=policies
            if policies is not None
            else click.confirm(f"Write example policies to {POLICIES_FILE}?", default=True, err=True),
        )
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise UsageError("there is nobody to answer", remedy="headwater init --yes  # takes the defaults") from error


def _refuse_to_replace(folder: Path, names: list[str], force: bool) -> None:
    there = [str(folder / name) for name in names if (folder / name).exists()]
    if there and not force:
        verb = "is" if len(there) == 1 else "are"
        raise UsageError(
            f"{' and '.join(there)} {verb} there already; nothing was written",
            remedy="--force replaces, or name another folder",
        )


def without_password(url: str) -> tuple[str, bool]:
    """The URL without its password, and whether it had one."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return url, False
    if password is None:
        return url, False
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host)), True


def _check_values(project: Project) -> None:
    """Before anything is written. Raises UsageError naming the setting."""
    _check({"kafka.bootstrap_servers": project.kafka, "redis.url": project.redis, "domain": project.domain})


def _checked(key: str, text: str) -> str:
    """An answer that will do; otherwise the question is asked again."""
    text = text.strip()
    try:
        _check({key: text})
    except UsageError as error:
        raise click.UsageError(error.message) from error
    return text


def _check(flags: dict[str, str]) -> None:
    url = flags.get("redis.url", "redis://")
    if urlsplit(url).scheme not in _REDIS_SCHEMES:
        raise UsageError(f"redis.url is no address of a Redis: {mask(url)}", remedy="write it as redis://host:6379/0")
    load(flags=flags, environ={}, cwd=Path("/nonexistent"), discover=False)


def _check_files(folder: Path, project: Project) -> None:
    load(config=folder / SETTINGS_FILE, environ={}, discover=False)
    if project.policies:
        read_policies([folder / POLICIES_FILE])


# --- the texts ------------------------------------------------------------------------------------------------------


def settings_text(kafka: str, redis: str, domain: str) -> str:
    """`headwater.toml` for these addresses, and with what people change most in comments."""
    return _SETTINGS.format(kafka=_toml(kafka), redis=_toml(redis), domain=_toml(domain))


def _toml(text: str) -> str:
    """A basic string of TOML: JSON's, but for the one control character that JSON allows."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_SETTINGS: Final = """\
# Settings of Headwater. Commands and workers find this file where they are started, or by --config and HEADWATER_CONFIG.
# Variables win over it (HEADWATER_REDIS__URL), flags over both (--redis, --set redis.url=…).
# headwater config show --explain lists every key, its value and what it means.

domain = {domain}                      # which graph: one consumer group and one state in Redis each
# topic_prefix = "lineage."             # in front of events, deltas, alerts, policies …

[kafka]
bootstrap_servers = {kafka}
# sasl_mechanism = "SCRAM-SHA-512"      # over TLS, unless security_protocol says otherwise
# sasl_username = "headwater"
# sasl_password_file = "/run/secrets/kafka"   # or the password in HEADWATER_KAFKA__SASL_PASSWORD
# ca_file = "/etc/headwater/ca.pem"     # who signed the brokers' certificates; without it, whom the system trusts
# "queue.buffering.max.ms" = 5          # any other setting of librdkafka, by its own name

[redis]
url = {redis}      # with maxmemory-policy noeviction; the password in HEADWATER_REDIS__PASSWORD

[doors]
# environment = "staging"               # marks hosts and jobs that have the same names in production
# keep = ["s3://lake/census_*"]         # datasets and jobs whose names do not fold, though they hold dates

[metrics]
host = "127.0.0.1"                      # 0.0.0.0 in a container, so that Prometheus and probes get there
port = 9464

[log]
level = "info"                          # debug, info, warning, error
# json = true                           # one JSON object a line

[processor]
# lateness_ms = 300_000                 # how late an event may come before it goes to lineage.late
# unlinked_grace_ms = 900_000           # how long something may hang loose before it is called so
# run_timeout_ms = 21_600_000           # a run that is silent for so long is lost
# domain_grace_ms = 86_400_000          # in its first day nothing of a domain is called loose
"""

POLICIES_TEXT: Final = """\
# What people know and no event says. headwater policy validate checks this file, policy test shows what would hold for
# a dataset and why, policy apply puts it in force. Of the policies that match, the most specific that says something
# wins, field by field; tags add up. Names here are examples.

- dataset: s3://lake orders/*           # namespace, a space, name; * and ? match
  owner: team-lake
  criticality: high                     # none, low, medium, high, critical: high and critical page, all else is a ticket
  max_age: 26h                          # stale when nothing was written for so long; ms, s, m, h, d
  tags: [finance]

- dataset: s3://lake orders/returns     # more specific: wins where both say something
  max_age: 8d
  for: 10m                              # how long it must be overdue before an alert fires
  clear: 5m                             # how long it must be well before it resolves

- dataset: postgres://shop-db:5432 *
  source: true                          # nobody we know writes it, and that is right; likewise sink

# - dataset: kafka://broker-a:9092 orders
#   alias_of: kafka://broker-b:9092 orders      the same dataset under another name

- job: airflow *
  owner: team-airflow
"""
