"""What all system tests share: one set of certificates per run, one broker per file."""

import pytest

from lib.broker import Broker, mosquitto_path
from lib.certs import Certs


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def broker(certs):
    """A running broker with ingest 1 and the operators alice and bob."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed")
    broker = Broker(certs)
    try:
        yield broker.start()
    finally:
        broker.close()
