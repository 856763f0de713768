"""What is typed in the session, and the exit code it must have: right and wrong input for every command."""

from __future__ import annotations

from typing import Final, NamedTuple

INTERRUPTED: Final = 130


class Line(NamedTuple):
    """A command line, its exit code, and words that must be in what it prints."""

    text: str
    code: int = 0
    says: tuple[str, ...] = ()


FILES: Final = {
    "events.jsonl": (
        '{"eventType": "COMPLETE", "eventTime": "2026-01-05T12:00:00Z", "producer": "https://example.com/job/1",'
        ' "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",'
        ' "run": {"runId": "01941e24-0000-7000-8000-000000000001"}, "job": {"namespace": "shop", "name": "nightly"},'
        ' "inputs": [{"namespace": "s3://lake", "name": "raw/orders"}],'
        ' "outputs": [{"namespace": "s3://lake", "name": "daily/orders"}]}\n'
    ),
    "broken.jsonl": '{"eventType": "COMPLETE"}\nnot json\n',
    "policies.yaml": "- dataset: s3://lake daily/*\n  owner: team-lake\n  criticality: high\n  max_age: 26h\n",
    "wrong-policies.yaml": "- dataset: s3://lake daily/*\n  ownr: team-lake\n",
    "wrong.toml": "[processor]\nlatenes_ms = 1\n",
}
"""What lies in the folder."""

LINES: Final[tuple[Line, ...]] = (
    Line("headwater", 2, ("Usage:", "Commands:")),
    Line("headwater --help", 0, ("Examples:", "Exit codes:")),
    Line("headwater --version", 0, ("headwater",)),
    Line("headwater statsu", 2, ("did you mean headwater status?",)),
    # what is there
    Line("headwater status", 0, ("DATASET", "snowflake://acme-shop")),
    Line("headwater status --output json | python3 -m json.tool > status.json"),
    Line("headwater status --state STALE --fail", 1, ("inventory_levels",)),
    Line("headwater status --unlinked", 0, ("ordres", "orders")),
    Line("headwater status --job k8s://shop/order-enricher", 0, ("pod", "OutOfMemoryError")),
    Line("headwater status --emitter debezium", 4, ("no emitter",)),
    Line("headwater status --job k8s://shop/order-enrichre", 4, ("order-enricher",)),
    Line("headwater status --state ROTTEN", 2, ("stale",)),
    Line("headwater status --redis redis://127.0.0.1:1/0", 3, ("127.0.0.1:1",)),
    Line("headwater trace orders --downstream --depth 1", 0, ("order-enricher", "offsets")),
    Line("headwater trace orders --output json | python3 -m json.tool > trace.json"),
    Line("headwater trace kafka://broker.shop:9092/odrers", 4, ("kafka://broker.shop:9092/orders",)),
    Line("headwater trace", 2, ("Missing argument",)),
    Line("headwater trace orders --depth 0", 2),
    Line("headwater status --sort deadline --name 'orders' --limit 5", 0, ("DATASET",)),
    Line("headwater status --tag nobody-has-this", 0, ("No dataset passes",)),
    Line("timeout --preserve-status --signal INT 10 headwater status --watch 1", 0, ("DATASET",)),
    Line("headwater status --watch 0", 2),
    # the graph
    Line("headwater graph export --to yesterday.jsonl", 0, ("yesterday.jsonl",)),
    Line("headwater graph export --dataset orders --depth 1 --format dot", 0, ("digraph", "order-enricher")),
    Line("headwater graph export --job k8s://shop/order-enricher --format mermaid", 0, ("flowchart",)),
    Line("headwater graph export --dataset odrers", 4, ("orders",)),
    Line("headwater graph export --to graph.png", 2, ("--format",)),
    Line("headwater graph diff yesterday.jsonl live"),
    Line("headwater graph diff yesterday.jsonl yesterday.jsonl --fail", 0, ("no difference",)),
    Line("headwater graph diff broken.jsonl live", 4, ("broken.jsonl",)),
    Line("headwater graph diff nowhere.jsonl live", 2, ("nowhere.jsonl",)),
    Line("headwater top", 2, ("needs a terminal",)),
    Line("headwater top --picture top.svg"),
    Line("headwater top --picture nowhere/top.svg", 2, ("nowhere/top.svg",)),
    # what is on the topics
    Line("headwater tail alerts --from beginning --no-follow", 0, ("ReadNeverWritten",)),
    Line(
        "headwater tail deltas --from -3 --no-follow --output json"
        " | python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]'"
    ),
    Line("headwater tail deltas --from beginning | head -n 1 > /dev/null"),
    Line("timeout --preserve-status --signal INT 8 headwater tail alerts", INTERRUPTED),
    Line("headwater tail events", 2),
    Line("headwater tail alerts --from noon", 2, ("beginning",)),
    # what fires, and who is on it
    Line("headwater alerts list --all", 0, ("ReadNeverWritten",)),
    Line("headwater alerts list --output json | python3 -m json.tool > alerts.json"),
    Line("headwater alerts show ffffffff", 4, ("headwater alerts list --all",)),
    Line("headwater alerts silence 's3://lake/*' --for 2h --reason upgrade", 0, ("silenced until",)),
    Line("headwater alerts unsilence 's3://lake/*'", 0, ("no more",)),
    Line("headwater alerts unsilence 's3://lake/*'", 4, ("headwater alerts list",)),
    Line("headwater alerts silence '*' --for soon --reason x", 2, ("15m",)),
    # what could not be read
    Line("headwater deadletter list"),
    Line("headwater deadletter list --output json | python3 -m json.tool > letters.json"),
    Line("headwater deadletter list --since yesterday", 2, ("2h",)),
    Line("headwater deadletter show 0:99999", 4, ("headwater deadletter list",)),
    Line("headwater deadletter show here", 2, ("0:120",)),
    Line("headwater deadletter replay --dry-run", 0, ("would be sent",)),
    # whether it is set up right
    Line("headwater doctor", 0, ("embedded broker",)),
    Line("headwater doctor --output json | python3 -m json.tool > doctor.json"),
    Line("headwater doctor --redis redis://127.0.0.1:1/0", 3, ("127.0.0.1:1",)),
    Line("headwater doctor --timeout 0", 2),
    # what others have to be told
    Line("headwater connect debezium --no-wait", 0, ("openlineage.integration.enabled", "headwater cdc")),
    Line("headwater connect job --no-wait --output json | python3 -m json.tool > connect.json"),
    Line("headwater connect function --platform aws --via http --no-wait", 0, ("HEADWATER_HTTP_URL",)),
    Line("headwater connect airflow --no-wait --gateway lineage.acme", 2, ("--gateway",)),
    Line("headwater connect job --wait soon", 2, ("15m",)),
    Line("headwater connect debezum", 2, ("debezium",)),
    Line("headwater connect job --job shop/nobody --wait 2s", 4, ("No event of shop/nobody",)),
    Line("headwater connect job --kafka 127.0.0.1:1", 3, ("127.0.0.1:1",)),
    # what one says
    Line("headwater emit --job shop/nightly --reads s3://lake raw/orders --writes s3://lake daily/orders --rows 90"),
    Line("headwater emit --openlineage events.jsonl", 0, ("1",)),
    Line("headwater emit --openlineage - < events.jsonl"),
    Line("headwater emit --openlineage broken.jsonl", 4, ("line 2",)),
    Line("headwater emit --openlineage nowhere.jsonl", 2, ("nowhere.jsonl",)),
    Line("headwater emit", 2, ("--openlineage",)),
    Line("headwater emit --job nightly --writes s3://lake x", 2, ("namespace/name",)),
    Line("headwater emit --job a/b --writes s3://lake x --kafka 127.0.0.1:1", 3, ("127.0.0.1:1",)),
    Line("headwater emit run --job shop/load --writes s3://lake daily/loaded -- sh -c 'exit 7'", 7),
    Line("headwater emit run --job shop/load -- no-such-command", 127, ("no-such-command",)),
    Line("headwater emit run", 2, ("COMMAND",)),
    # the doors
    Line("timeout --preserve-status --signal INT 12 headwater gateway --port 0", 0, ("/api/v1/lineage",)),
    Line("headwater gateway --port 99999", 2, ("gateway.port",)),
    Line("headwater gateway --tokens nowhere.yaml --port 0", 2, ("nowhere.yaml",)),
    Line("headwater gateway token --name airflow --namespace 'shop-*'", 0, ("sha256",)),
    Line("headwater gateway token --name airflow --scope everything", 2, ("lineage:write",)),
    Line("timeout --preserve-status --signal INT 12 headwater bridge", 0, ("lineage.openlineage",)),
    Line("headwater bridge --kafka 127.0.0.1:1", 3, ("127.0.0.1:1",)),
    Line(
        "headwater cdc --topic headwater-demo.public.reviews --once --dry-run | python3 -m json.tool --json-lines > cdc.json"
    ),
    Line("headwater cdc --topic headwater-demo.public.reviews --once", 0, ("shop.public.reviews",)),
    Line("headwater cdc --connect http://127.0.0.1:1 --once", 3, ("127.0.0.1:1",)),
    Line("headwater cdc --topic x --source shop", 2, ("PREFIX=",)),
    Line("headwater cdc", 2, ("--connect",)),
    Line("headwater k8s-watch --kubeconfig nowhere.yaml", 2, ("nowhere.yaml",)),
    Line("headwater policy validate policies.yaml"),
    Line("headwater policy apply policies.yaml"),
    Line("headwater policy validate wrong-policies.yaml", 4, ("did you mean 'owner'?",)),
    Line("headwater policy apply nowhere.yaml", 2, ("nowhere.yaml",)),
    Line("headwater policy show", 0, ("team-lake",)),
    Line("headwater policy test s3://lake/daily/orders", 0, ("team-lake",)),
    Line("headwater policy test 's3://lake daily/orders' --file policies.yaml --offline --output json > /dev/null"),
    Line("headwater policy test s3://lake/daily/orders --file wrong-policies.yaml", 4, ("did you mean 'owner'?",)),
    Line("headwater policy test", 2, ("DATASET",)),
    # what Kafka itself knows
    Line("headwater discover --once", 2, ("cannot list consumer groups", "--group NAME")),
    Line("headwater discover --once --group reviews-search", 0, ("UNTOLD",)),
    Line("headwater discover --once --kafka 127.0.0.1:1", 3, ("127.0.0.1:1",)),
    Line("headwater discover --orphans", 2, ("--once",)),
    Line("headwater discover --once --set discover.window=1", 2, ("discover.window",)),
    # how it is set up
    Line("headwater init project --yes", 0, ("headwater.toml",)),
    Line("headwater init project --yes", 2, ("headwater.toml",)),
    Line("headwater init other --yes --redis http://localhost:6379", 2, ("redis://host:6379/0",)),
    Line('eval "$(headwater completion bash)" && complete -p headwater'),
    Line("headwater completion tcsh", 2, ("bash",)),
    Line("headwater config show"),
    Line("headwater config show --explain --output json | python3 -m json.tool > config.json"),
    Line("headwater config show --config wrong.toml", 2, ("did you mean processor.lateness_ms?",)),
    Line("headwater config show --set processor.shards=many", 2, ("processor.shards",)),
    Line("headwater topics create --dry-run"),
    Line("headwater topics create --partitions 0", 2),
    Line("headwater worker --check", 0),
    Line("headwater worker resume 0", 4, ("not stopped",)),
    Line("headwater worker --processes 0", 2),
    Line("headwater bench sdk", 4, ("name a real one",)),
    Line("headwater bench --workload tall", 2),
    Line("headwater demo --workers 9", 2),
    Line("headwater up --nope", 2),
)
