"""The hot path compiled by mypyc: the same source, two to three times as fast (processor/decisions/0008).

`HEADWATER_COMPILE=1 pip install .` and wheels built so hold compiled modules; they need a C compiler and Python's headers.
`python hatch_build.py` (`make compile`) compiles in place, beside the sources; `--clean` removes that again. Without any of
it everything runs as plain Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
PACKAGES = {
    "headwater_processor": "processor/src/headwater_processor",
    "headwater_schemas": "schemas/src/headwater_schemas",
}
MODULES = {
    "headwater_processor": (
        "core/batch core/cadence core/decode core/desk core/freshness core/judge core/judge_domain core/judge_settings "
        "core/knowledge core/lattice core/pack core/pieces core/plan core/plan_values core/policies core/runs core/seen "
        "core/template core/unlinked core/wording "
        "engine/engine engine/facts engine/histories engine/images engine/intake engine/judging engine/names engine/owned "
        "engine/publishing engine/stats engine/waking state/layout"
    ),
    "headwater_schemas": "deltas ids walker wire wire_delta",
}
GROUP = "headwater"
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))


def sources() -> list[Path]:
    """The modules that are compiled."""
    return [ROOT / PACKAGES[package] / f"{name}.py" for package, names in MODULES.items() for name in names.split()]


def products() -> list[Path]:
    """What compiling leaves behind: a module beside each source, and the library they share."""
    return [source.with_name(source.stem + SUFFIX) for source in sources()] + [shared_library()]


def shared_library() -> Path:
    """Where the compiled modules find each other: at the root of the path."""
    return ROOT / "processor" / "src" / f"{GROUP}__mypyc{SUFFIX}"


def compile_in_place() -> None:
    """Compile beside the sources. Raises CalledProcessError if the compiler fails; it has said why."""
    clean()
    subprocess.run([sys.executable, __file__, "--setup", "build_ext", "--inplace"], cwd=ROOT, check=True)  # noqa: S603 - ourselves
    shutil.rmtree(ROOT / "build", ignore_errors=True)


def clean() -> None:
    """Back to plain Python."""
    shared_library().unlink(missing_ok=True)
    for where in PACKAGES.values():
        for product in (ROOT / where).rglob(f"*{SUFFIX}"):
            product.unlink()


def run_setup() -> None:
    """The build itself, as setuptools wants it: in a process of its own."""
    from mypyc.build import mypycify
    from setuptools import setup

    os.environ["MYPYPATH"] = os.pathsep.join(str(ROOT / part / "src") for part in ("collector", "processor", "schemas"))
    paths = [str(source.relative_to(ROOT)) for source in sources()]
    # Any: mypyc speaks of distutils' Extension, which setuptools replaces
    extensions: Any = mypycify(["--config-file", str(ROOT / "pyproject.toml"), *paths], opt_level="3", group_name=GROUP)
    setup(
        name="headwater",
        packages=[],
        py_modules=[],
        package_dir={"": "processor/src", **PACKAGES},
        ext_modules=extensions,
    )


class CompileHook(BuildHookInterface[Any]):
    """Compiles into the wheel when HEADWATER_COMPILE=1 asks for it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs beyond hatchling."""
        return ["mypy>=1.15", "setuptools>=77"] if _asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name what has to be packed."""
        if not _asked():
            return
        compile_in_place()
        if version == "editable":
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for product in products():
            package = next((p for p, where in PACKAGES.items() if product.is_relative_to(ROOT / where)), None)
            inside = product.name if package is None else f"{package}/{product.relative_to(ROOT / PACKAGES[package])}"
            build_data["force_include"][str(product)] = inside

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave the sources as they were."""
        if _asked() and version != "editable":
            clean()


def _asked() -> bool:
    return os.environ.get("HEADWATER_COMPILE") == "1"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--setup"]:
        del sys.argv[1]
        run_setup()
    elif sys.argv[1:] == ["--clean"]:
        clean()
    else:
        compile_in_place()
