"""What several files of this folder share beyond the services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.kube_api import KubeApi


@pytest.fixture
def api() -> Iterator[KubeApi]:
    """An API server of Kubernetes that replays what it is given."""
    api = KubeApi()
    yield api
    api.close()
