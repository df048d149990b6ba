"""A local Hub, a client that is let out of the offline mode of the other tests, but only to this machine, and an export."""

from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download, hf_api
from huggingface_hub.utils import _http, close_session

from hrm_align.export import hub as pushing
from hrm_align.export import parity

from . import stock_process
from .hub_server import HubServer
from .pushes import exported


@pytest.fixture(autouse=True, scope="session")
def _stock_is_imported_once():
    """See stock_process.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "subprocess", SimpleNamespace(run=stock_process.run))
        yield


@pytest.fixture
def online(monkeypatch, tmp_path):
    """`tests/conftest.py` sets HF_HUB_OFFLINE before the import that reads it. The client looks the constant up at each
    request, so it can be set back for one test. No token, cache or proxy of the machine comes in."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # why: see hub_server
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # with it on, the user agent is looked up online
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    close_session()  # the client reads proxies when it is made
    yield
    close_session()


@pytest.fixture
def waits(monkeypatch):
    """The seconds for which the client would have slept between its tries; it does not."""
    seconds: list[float] = []
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=seconds.append))
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def hub(online, monkeypatch):
    """alice and bob write under their names, alice also under `lab`; `hf_read` is alice's too, but only reads. It is the
    Hub of every call that names no `endpoint`, as HF_ENDPOINT would make it in a process of its own."""
    tokens = {"hf_good": "alice", "hf_read": "alice", "hf_other": "bob"}
    with HubServer(tokens=tokens, orgs={"lab": ["alice"]}, read_only=["hf_read"]) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hf_api.api, "endpoint", server.url)  # behind `huggingface_hub.upload_folder` and the like
        yield server


@pytest.fixture
def api(hub):
    return huggingface_hub.HfApi(endpoint=hub.url, token="hf_good")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("made") / "mine", "--max_shard_size", "1MB")


@pytest.fixture
def signed_in(hub, waits, monkeypatch):
    """A Hub, a good token where the client looks for one, and a push that does not sleep between its tries."""
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    monkeypatch.setattr(pushing, "time", SimpleNamespace(sleep=waits.append))
    return hub
