"""OpenLineage JSON into Headwater's events: `convert` for one document, `iter_documents` for a file of them; and back:
`to_openlineage`.

Pure and offline: no schema is fetched, nothing is asked of anybody. Lenient where producers in the field are careless,
strict where guessing would make false lineage.
"""

from __future__ import annotations

from headwater.openlineage.conversion import convert
from headwater.openlineage.documents import iter_documents
from headwater.openlineage.values import Rejected
from headwater.openlineage.writing import to_openlineage

__all__ = ["Rejected", "convert", "iter_documents", "to_openlineage"]
