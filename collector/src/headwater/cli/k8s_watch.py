"""`headwater k8s-watch`: what Kubernetes knows of pods of labelled jobs becomes events."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

import click

from headwater.cli.context import invocation
from headwater.cli.emitting import emitter_of
from headwater.cli.output import note
from headwater.config import DEFAULT_NAMESPACE
from headwater.k8s.watching import PodWatch, core_api
from headwater.kubernetes import NAME_LABEL
from headwater.runtime.errors import UsageError

SELECTOR: Final = f"{NAME_LABEL},headwater.io/lineage=true"

_EPILOG: Final = f"""\b
Examples:
  headwater k8s-watch --namespace shop --kafka broker:9092
  headwater k8s-watch --selector app.kubernetes.io/part-of=shop
  headwater k8s-watch --once --kubeconfig ~/.kube/config

\b
Pods are chosen by --selector [default: {SELECTOR}];
the job is the label {NAME_LABEL}, or the annotation headwater.io/job. Told are the ends that a job
cannot tell: exit codes, kills for memory, evictions, images that cannot be pulled. deploy/k8s-watch.yaml has the role it needs.

\b
Exit codes: 0 stopped, 2 wrong usage or settings, 3 Kubernetes cannot be reached or refuses.
"""


@click.command("k8s-watch", epilog=_EPILOG)
@click.option("--namespace", "-n", metavar="NAME", default="", help="Of Kubernetes.  [default: all of them]")
@click.option("--selector", "-l", metavar="LABELS", default=SELECTOR, help="Which pods.")
@click.option(
    "--job-namespace", metavar="NAME", help="Of jobs whose pods do not say it.  [default: HEADWATER_NAMESPACE]"
)
@click.option("--kubeconfig", type=click.Path(), metavar="FILE", help="Instead of the pod's service account.")
@click.option("--context", "kube_context", metavar="NAME", help="Of the kubeconfig.")
@click.option("--once", is_flag=True, help="Tell of the pods that are there, and end.")
@click.pass_context
def k8s_watch(
    context: click.Context,
    namespace: str,
    selector: str,
    job_namespace: str | None,
    kubeconfig: str | None,
    kube_context: str | None,
    *,
    once: bool,
) -> None:
    """Watch the pods of labelled jobs, so that one that died before it could speak is known."""
    space = job_namespace or os.environ.get("HEADWATER_NAMESPACE", "").strip() or DEFAULT_NAMESPACE
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise UsageError(f"there is no file {kubeconfig}", remedy="kubectl config view  # says which one kubectl reads")
    invocation(context).settings()  # what is wrong in them is said before Kubernetes is asked
    api = core_api(kubeconfig, kube_context)
    signal.signal(signal.SIGTERM, _stop)
    with emitter_of(context, identity="k8s-watch") as emitter, contextlib.suppress(KeyboardInterrupt):
        watching = PodWatch(api, emitter, namespace=namespace, selector=selector, job_namespace=space)
        note(context, f"watching pods {selector} of {namespace or 'all namespaces'} …")
        watching.follow(once=once)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
