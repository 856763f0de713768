"""Functions of AWS Lambda, Google Cloud, Azure and Knative as runs: one line over the handler.

    import headwater

    @headwater.function(writes=[("snowflake://acme", "raw.orders")])
    def handler(event, context): ...

See `headwater.functions.decorator` for what is promised and `headwater.functions.triggers` for what is understood.
"""
