"""The OpenLineage gateway: events by HTTP, answered when they are durable.

`application` speaks ASGI and knows nothing of sockets; `serving` puts it behind uvicorn; `durable` is the way to Kafka, with
`spooling` beside it; `access` says who may write what. All of it lives on one event loop's thread.
"""
