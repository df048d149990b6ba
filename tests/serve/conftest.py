"""One server for the tests of a file: the tiny base with two adapters."""

import openai
import pytest

from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer
from tests.serve.serving import save_adapters, served


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return save_adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def server(adapters):
    with served(adapters, max_running=8, max_queue=40) as (url, service):
        yield url, service


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def renderer():
    return get_renderer(load_tokenizer("tiny"))
