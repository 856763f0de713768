"""Where settings come from. A later one of these wins, key by key:

1. a running `headwater up` or `headwater demo` of this user, only where neither Kafka nor Redis is named elsewhere;
2. one file, TOML or YAML: `--config`, else `HEADWATER_CONFIG`, else `./headwater.toml`, else
   `~/.config/headwater/config.toml`;
3. the environment: `HEADWATER_DOMAIN`, `HEADWATER_REDIS__URL`, `HEADWATER_PROCESSOR__LATENESS_MS` …;
4. flags: `--kafka`, `--redis`, `--domain`, `--set processor.lateness_ms=60000`.

Every librdkafka setting passes through: `[kafka.extra]` in a file, `HEADWATER_KAFKA__SASL_MECHANISM` in the
environment, `--set kafka.sasl.mechanism=PLAIN`. An unknown key is an error that names where it
stands and the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from headwater.config import DOORS, FACTS, KNOWN, PREFIX
from headwater.masking import MASK, is_secret_name, mask
from headwater.runtime import discovery
from headwater.runtime.errors import UsageError
from headwater.runtime.models import OWN_NAMES, KafkaSettings, Settings

_SDK_ONLY: Final = (KNOWN | FACTS) - {f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS", f"{PREFIX}TOPIC_PREFIX", *DOORS}
_NOT_SETTINGS: Final = (f"{PREFIX}CONFIG", f"{PREFIX}OUTPUT", f"{PREFIX}TEST_", f"{PREFIX}UP_")
_ALIASES: Final = {f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers")}

Path_ = tuple[str, ...]
_LISTS: Final[frozenset[Path_]] = frozenset(
    {("policies",)}
    | {("cdc", key) for key in ("connect", "topics", "full", "sources")}
    | {("discover", key) for key in ("topics", "exclude_topics", "groups", "exclude_groups")}
    | {("doors", key) for key in ("fold", "fold_off", "keep")}
)
"""Keys whose values are lists, with commas between in flags and variables."""
_TABLES: Final[frozenset[Path_]] = frozenset({("doors", "namespaces")})
"""Keys whose values are tables of any names: one value, of one source."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was found, and where."""

    value: Any  # Any: whatever TOML or YAML holds; the model checks it
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each key that is no default came from, and the running stack that was used, if any."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)
    running: discovery.Running | None = None


def load(
    *,
    flags: Mapping[str, str] | None = None,
    config: str | Path | None = None,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    discover: bool = True,
) -> Loaded:
    """Find and check the settings.

    Args:
        flags: dotted key to text, as from `--set`.
        config: the file named by `--config`.
        environ: usually `os.environ`.
        cwd: where `headwater.toml` is looked for; the current directory if not given.
        discover: whether a running stack of this user may say where Kafka and Redis are.

    Raises:
        UsageError: a file cannot be read, a key is unknown, a value is not allowed.
    """
    given: dict[Path_, Given] = {}
    file = _file(config, environ, cwd or Path.cwd())
    if file is not None:
        given.update(_from_file(file))
    given.update(_from_environ(environ))
    given.update(_from_flags(flags or {}))
    running = None
    if discover and ("kafka", "bootstrap_servers") not in given and ("redis", "url") not in given:
        running = discovery.find(environ)
        if running is not None:
            given = {**_from_running(running), **given}
    settings = _checked(given)
    return Loaded(settings, {".".join(path): value.origin for path, value in given.items()}, running)


def describe(settings: Settings) -> dict[str, str]:
    """Dotted key to value as text, secrets masked; for people and for `headwater config show`."""
    return dict(_described(settings, ""))


def _described(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, info in type(section).model_fields.items():
        key, value = prefix + (info.alias or name), getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _described(value, f"{key}.")
        elif isinstance(value, dict) and (prefix.rstrip("."), key.rpartition(".")[2]) in _TABLES:
            yield key, " ".join(mask(f"{known}={target}") for known, target in value.items())
        elif isinstance(value, dict):
            for inner, text in value.items():
                yield f"{key}.{inner}", MASK if is_secret_name(inner) else mask(str(text))
        elif isinstance(value, SecretStr):
            yield key, MASK
        elif value is None:
            yield key, ""
        elif isinstance(value, tuple):
            yield key, ", ".join(mask(text) for text in value)
        else:
            yield key, str(value).lower() if isinstance(value, bool) else mask(str(value))


# ---- sources -------------------------------------------------------------------------------------------------------


def _file(config: str | Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    named = config or environ.get(f"{PREFIX}CONFIG")
    if named:
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    candidates = [cwd / "headwater.toml"]
    if home:
        candidates.append(Path(home) / "headwater" / "config.toml")
    return next((path for path in candidates if path.is_file()), None)


def _from_file(path: Path) -> dict[Path_, Given]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the settings in {path}: {said}", remedy="name a readable file") from error
    try:
        tree = yaml.safe_load(text) if path.suffix in {".yaml", ".yml"} else tomllib.loads(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        said = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid {path.suffix.lstrip('.') or 'TOML'}: {said}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path} holds no settings", remedy="write key: value, as in `domain: shop`")
    return {_placed(keys): Given(value, str(path)) for keys, value in _leaves(tree, ())}


def _leaves(tree: Mapping[Any, Any], above: Path_) -> Iterator[tuple[Path_, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and (*above, str(key)) not in _TABLES:
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value


def _from_environ(environ: Mapping[str, str]) -> dict[Path_, Given]:
    found = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _SDK_ONLY or name.startswith(_NOT_SETTINGS):
            continue
        keys = _ALIASES.get(name) or tuple(name.removeprefix(PREFIX).lower().split("__"))
        if len(keys) > 1 and keys[0] == "kafka" and keys[1] not in KafkaSettings.model_fields:
            # The SDK's rule: dots of librdkafka's names are underscores here.
            keys = _placed(("kafka", "extra", ".".join(keys[1:]).replace("_", ".")))
        found[keys] = Given(_split_list(keys, environ[name]), name)
    return found


def _from_flags(flags: Mapping[str, str]) -> dict[Path_, Given]:
    found = {}
    for key, value in flags.items():
        keys = _placed(tuple(key.split(".")))
        found[keys] = Given(_split_list(keys, value), f"--set {key}")
    return found


def _from_running(running: discovery.Running) -> dict[Path_, Given]:
    origin = f"headwater {running.command}, process {running.pid}"
    return {
        ("kafka", "bootstrap_servers"): Given(running.bootstrap_servers, origin),
        ("redis", "url"): Given(running.redis_url, origin),
        ("domain",): Given(running.domain, origin),
        ("topic_prefix",): Given(running.topic_prefix, origin),
    }


def _placed(keys: Path_) -> Path_:
    """The path of a key: what has dots below `kafka` is a librdkafka setting."""
    if len(keys) < 2 or keys[0] != "kafka":
        return keys
    below = ".".join(keys[1:])
    if below.removeprefix("extra.") in OWN_NAMES:  # one place for each, or two sources could not be told by their rank
        return ("kafka", OWN_NAMES[below.removeprefix("extra.")])
    if below.startswith("extra.") or ("." in below and below not in KafkaSettings.model_fields):
        return ("kafka", "extra", below.removeprefix("extra."))
    return keys


def _split_list(keys: Path_, text: str) -> str | list[str]:
    if keys in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


# ---- checks --------------------------------------------------------------------------------------------------------


def _checked(given: Mapping[Path_, Given]) -> Settings:
    tree: dict[str, Any] = {}
    for path, value in given.items():
        if path[0] == "kafka" and not isinstance(value.value, dict | list):
            value = Given(_as_text(value.value), value.origin)
        _put(tree, path, value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _usage_error(error, given) from error


def _put(tree: dict[str, Any], path: Path_, value: Given) -> None:
    for depth, key in enumerate(path[:-1]):
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"{value.origin}: {'.'.join(path[: depth + 1])} is a single value, not a section")
    if isinstance(tree.get(path[-1]), dict):
        raise UsageError(f"{value.origin}: {'.'.join(path)} is a section, not a single value")
    tree[path[-1]] = value.value


def _as_text(value: Any) -> str:  # Any: a TOML or YAML scalar
    return str(value).lower() if isinstance(value, bool) else str(value)


def _usage_error(error: ValidationError, given: Mapping[Path_, Given]) -> UsageError:
    first = error.errors(include_url=False, include_input=False)[0]
    path = tuple(str(part) for part in first["loc"])
    key = ".".join(path)
    origin = next((value.origin for at, value in given.items() if at[: len(path)] == path or path[: len(at)] == at), "")
    where = f" ({origin})" if origin and origin != f"--set {key}" else ""
    if first["type"] in {"model_type", "dict_type"}:
        keys = [name for name in describe(Settings()) if name.startswith(f"{key}.")]
        return UsageError(
            f"setting {key}{where} is a section", remedy=f"set a key of it: {', '.join(keys) or key + '.…'}"
        )
    if first["type"] == "extra_forbidden":
        full = next((at for at in given if at[: len(path)] == path), path)
        key, path = ".".join(full), full
        return UsageError(f"unknown setting {key}{where}", remedy=_nearest(key, path))
    return UsageError(f"setting {key}{where}: {first['msg']}", remedy="headwater config show  # lists every key")


def _nearest(key: str, path: Path_) -> str:
    known = list(describe(Settings()))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not near:
        leaf = difflib.get_close_matches(path[-1], [name.rpartition(".")[2] for name in known], n=1, cutoff=0.75)
        near = [name for name in known if leaf and name.rpartition(".")[2] == leaf[0]][:1]
    return f"did you mean {near[0]}?" if near else "headwater config show lists every key"
