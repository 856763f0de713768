"""Functions on platforms: the handler, and how each platform is told the variables. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from headwater.connect.guides.parts import (
    HTTP,
    Guide,
    Snippet,
    Wanted,
    about_events,
    about_gateway,
    as_json,
    as_yaml,
    sdk_variables,
)
from headwater.connect.places import Installation

PLATFORMS: Final = ("aws", "gcp", "azure", "knative")

_HANDLERS: Final[Mapping[str, str]] = {
    "aws": """\
import headwater


@headwater.function(writes=[("snowflake://acme", "shop.raw.orders")])
def handler(event, context):
    headwater.current_run().writes("snowflake://acme", "shop.raw.orders", rows=90)   # your code
    return "done"
""",
    "gcp": """\
import functions_framework
import headwater


@functions_framework.cloud_event          # the platform's decorator stays outermost
@headwater.function(writes=[("bigquery", "acme.shop.orders")])
def handler(cloud_event):
    headwater.current_run().writes("bigquery", "acme.shop.orders", rows=90)          # your code
""",
    "azure": """\
import azure.functions as func
import headwater

app = func.FunctionApp()


@app.blob_trigger(arg_name="blob", path="landing/{name}", connection="AzureWebJobsStorage")
@headwater.function(writes=[("mssql://dwh:1433", "shop.raw.orders")])
def load(blob: func.InputStream):
    headwater.current_run().writes("mssql://dwh:1433", "shop.raw.orders", rows=90)   # your code
""",
    "knative": """\
import functions_framework
import headwater


@functions_framework.cloud_event          # or any other server of CloudEvents
@headwater.function(writes=[("s3://lake", "orders/daily")])
def handler(cloud_event):
    headwater.current_run().writes("s3://lake", "orders/daily", rows=90)             # your code
""",
}


def function(place: Installation, wanted: Wanted) -> Guide:
    """`@headwater.function`, for one platform or for all of them."""
    way = wanted.ways[0]
    told = sdk_variables(place, wanted.job, way, in_files=False)
    # Its own name is the better job for a function: one set of settings serves several of them.
    del told["HEADWATER_JOB"]
    snippets = [Snippet("requirements.txt", "text", "headwater\n")]
    for platform in (wanted.platform,) if wanted.platform else PLATFORMS:
        name = _NAMES[platform]
        snippets.append(Snippet(f"{name}: the import, and the line over the handler", "python", _HANDLERS[platform]))
        snippets.append(_SETTINGS[platform](told))
    remarks = [
        "The commands of AWS and Google Cloud replace the variables that are there: add those of the function.",
        "HEADWATER_SPOOL=/tmp/headwater keeps what is not sent within flush_s (2 s), as long as the sandbox lives.",
        "A call that is killed at its timeout says nothing more: leave the platform's timeout two seconds of room.",
        *(about_gateway(place) if way == HTTP else []),
    ]
    if way == HTTP:
        remarks.append("Straight to Kafka, where the function can reach it: --via kafka.")
    else:
        remarks += [
            f"The function has to reach {place.servers}; where it cannot, --via http sends by the gateway.",
            about_events(place),
        ]
    return Guide("A function", tuple(snippets), "A function speaks when it is called: call it.", tuple(remarks))


_NAMES: Final = {"aws": "AWS Lambda", "gcp": "Google Cloud", "azure": "Azure Functions", "knative": "Knative"}


def _aws(told: Mapping[str, str]) -> Snippet:
    given = {"FunctionName": "<function>", "Environment": {"Variables": dict(told)}}
    where = (
        "AWS Lambda: function.json for aws lambda update-function-configuration --cli-input-json file://function.json"
    )
    return Snippet(where, "json", as_json(given))


def _gcp(told: Mapping[str, str]) -> Snippet:
    where = "Google Cloud: env.yaml for gcloud functions deploy <function> --env-vars-file env.yaml"
    return Snippet(where, "yaml", as_yaml(dict(told)))


def _azure(told: Mapping[str, str]) -> Snippet:
    given = [{"name": name, "value": value, "slotSetting": False} for name, value in told.items()]
    where = "Azure Functions: settings.json for az functionapp config appsettings set -n <app> -g <group> --settings @settings.json"
    return Snippet(where, "json", json.dumps(given, indent=2) + "\n")


def _knative(told: Mapping[str, str]) -> Snippet:
    env = [{"name": name, "value": value} for name, value in told.items()]
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "<function>"},
        "spec": {"template": {"spec": {"containers": [{"image": "<image>", "env": env}]}}},
    }
    return Snippet("Knative: its part of the Service", "yaml", as_yaml(service))


_SETTINGS: Final[Mapping[str, Callable[[Mapping[str, str]], Snippet]]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "knative": _knative,
}
