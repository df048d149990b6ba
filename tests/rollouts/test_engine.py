"""The engine: requests come and go while others run, and none of them changes what another one draws."""

import signal
import threading
from collections import defaultdict
from itertools import count

import pytest
import torch

from hrm_align.errors import UserError
from hrm_align.models.loading import load_model_and_tokenizer, load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rewards.judge_client import Client
from hrm_align.rollouts.engine import Completion, Decoding, Engine, Request, build_requests, run
from hrm_align.rollouts.http_engine import HttpEngine
from hrm_align.rollouts.local import LocalEngine, sample
from tests.rewards.judge_server import error
from tests.rollouts.vllm_server import VLLMServer

WARM = Decoding(24, temperature=1.2)


@pytest.fixture(scope="module", params=["per_document", "sdpa"])
def tiny(request):
    """With shared prompts, and with a copy for every completion."""
    return load_model_and_tokenizer("tiny", attn_implementation=request.param)


@pytest.fixture(scope="module")
def prompts():
    render = get_renderer(load_tokenizer("tiny"))
    texts = ["copy abc", "Write the words bird, pig and cat backwards, one after the other.", "5 + 6 + 7 = ?", "ab"]
    return [render.prompt(text, "noisy") for text in texts]


class Drawn(defaultdict):
    """Completions by handle and index, filled by the events of an engine."""

    def __init__(self):
        super().__init__(Completion)

    def step(self, engine):
        events = engine.step()
        for event in events:
            completion = self[event.handle, event.index]
            assert completion.finish is None, "nothing follows the last token"
            completion.ids.append(event.token)
            completion.logprobs.append(event.logprob)
            completion.finish = event.finish
        return len(events)


def alone(model, request):
    return run(LocalEngine(model), [request])[0]


def assert_drawn_alike(drawn, expected):
    """The same tokens, and log-probabilities up to rounding: other batch shapes; seen 4e-6, a wrong mask gives 0.1 and more."""
    assert drawn.ids == expected.ids and drawn.finish == expected.finish
    assert torch.allclose(torch.tensor(drawn.logprobs), torch.tensor(expected.logprobs), atol=1e-4)


@pytest.mark.numeric
@pytest.mark.parametrize("captured", [False, True])
def test_one_request_is_cancelled_in_the_middle_and_others_are_added(tiny, prompts, captured):
    """Each of those that go on is completed as if it were alone."""
    model = tiny[0]
    decoding = Decoding(24, temperature=1.2, cuda_graphs=captured)
    requests = [Request(prompt, (7 + place, 70 + place, 700 + place), decoding) for place, prompt in enumerate(prompts)]
    engine, drawn = LocalEngine(model), Drawn()
    first, second = engine.submit(requests[0]), engine.submit(requests[1])
    for _ in range(3):
        assert drawn.step(engine)
    engine.cancel(first)
    third = engine.submit(requests[2])
    for _ in range(2):
        assert drawn.step(engine)
    fourth = engine.submit(requests[3])
    while drawn.step(engine):
        pass
    assert max(len(drawn[first, index].ids) for index in range(3)) == 3, "no token after it was cancelled"
    for handle, request in ((second, requests[1]), (third, requests[2]), (fourth, requests[3])):
        for index, expected in enumerate(alone(model, request)):
            assert_drawn_alike(drawn[handle, index], expected)
    assert engine.step() == [] and engine.step() == [], "and then nothing is left"


@pytest.mark.numeric
def test_a_stream_of_requests_does_not_grow_the_batch(tiny, prompts):
    """Twelve requests, two at a time: what those that have ended took is given back. Each is drawn as if it were alone."""
    model = tiny[0]
    requests = [Request(prompts[n % 4], (n,), Decoding(6 + n % 5, temperature=1.2)) for n in range(12)]
    engine, drawn, handles, widths = LocalEngine(model, max_running=2), Drawn(), [], []
    for request in requests:
        handles.append(engine.submit(request))
        drawn.step(engine)
        widths.append(engine._batches[0]._writer._cache.layers[0].keys.shape[2])
    while drawn.step(engine):
        widths.append(engine._batches[0]._writer._cache.layers[0].keys.shape[2])
    for handle, request in zip(handles, requests, strict=True):
        assert_drawn_alike(drawn[handle, 0], alone(model, request)[0])
    assert max(widths) <= max(map(len, prompts)) + 10, "no wider than one prompt and one completion"


@pytest.mark.numeric
def test_requests_of_one_batch_may_be_drawn_in_different_ways(tiny, prompts):
    model = tiny[0]
    ways = [Decoding(12, greedy=True), Decoding(5, temperature=2.0), Decoding(24, top_k=3), Decoding(24, top_p=0.5)]
    requests = [Request(prompt, (1, 2), way) for prompt, way in zip(prompts, ways, strict=True)]
    for request, drawn in zip(requests, run(LocalEngine(model), requests), strict=True):
        for completion, expected in zip(drawn, alone(model, request), strict=True):
            assert_drawn_alike(completion, expected)


def test_a_group_is_prefilled_once(tiny, prompts):
    model, reads = tiny[0], []
    hook = model.register_forward_pre_hook(
        lambda _, args, given: reads.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    try:
        sample(model, [prompts[0]] * 5 + [prompts[1]] * 3, range(8), WARM)
    finally:
        hook.remove()
    assert reads[0] == (2, max(map(len, prompts[:2]))) and all(shape[1] == 1 for shape in reads[1:])


def test_requests_wait_until_there_is_room(tiny, prompts):
    engine, drawn = LocalEngine(tiny[0], max_running=3), Drawn()
    handles = [engine.submit(Request(prompt, (1, 2), Decoding(3, greedy=True))) for prompt in prompts[:2]]
    assert drawn.step(engine) == 2, "the second one has no room"
    while drawn.step(engine):
        assert {handle for handle, _ in drawn} <= set(handles)
    assert all(drawn[handle, index].finish for handle in handles for index in range(2))
    big = engine.submit(Request(prompts[0], range(5), Decoding(2)))
    assert drawn.step(engine) == 5 and drawn[big, 4].ids, "a request larger than the batch runs alone"
    engine.close()
    engine.close()
    assert engine.step() == []


def test_a_run_that_is_cut_leaves_nothing_behind(tiny, prompts):
    """Ctrl-C in the middle: the engine then has room again, and continues with other weights."""
    engine, steps = LocalEngine(tiny[0], max_running=2), []

    class Cut(LocalEngine):
        def step(self):
            steps.append(1)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return super().step()

    engine = Cut(tiny[0], max_running=2)
    with pytest.raises(KeyboardInterrupt):
        run(engine, [Request(prompts[0], (1, 2), WARM)])
    engine.sync(tiny[0])
    (again,) = run(engine, [Request(prompts[1], (1,), WARM)])
    assert again[0].finish


def test_what_cannot_run_is_refused(tiny, prompts):
    with pytest.raises(UserError, match="0 prompt tokens"):
        LocalEngine(tiny[0]).submit(Request([], (1,), WARM))
    with pytest.raises(UserError, match="0 seeds"):
        LocalEngine(tiny[0]).submit(Request(prompts[0], (), WARM))


def test_the_mode_of_the_model_is_given_back(tiny, prompts):
    model = tiny[0].train()
    engine = LocalEngine(model)
    engine.submit(Request(prompts[0], (1,), WARM))
    engine.step()
    assert model.training
    model.eval()


def test_the_local_engine_keeps_the_protocol(tiny):
    assert isinstance(LocalEngine(tiny[0]), Engine) and not isinstance(tiny[0], Engine)


def test_equal_neighbours_become_one_request():
    rows = [[1, 2], [1, 2], [1, 2], [3], [1, 2]]
    assert [(list(r.prompt_ids), tuple(r.seeds)) for r in build_requests(rows, range(5), WARM, most=2)] == [
        ([1, 2], (0, 1)), ([1, 2], (2,)), ([3], (3,)), ([1, 2], (4,))
    ]  # fmt: skip


@pytest.mark.numeric
def test_requests_to_a_server_come_and_go(prompts, tmp_path, monkeypatch):
    """One request is cancelled, another added; each completion is that of the local engine, and an interruption leaves nothing.

    Signals are handled in the main thread, so no request runs there: its step would end in the middle.
    """
    exchange, threads = Client._exchange, set()

    async def watched(*args):
        threads.add(threading.current_thread())
        return await exchange(*args)

    monkeypatch.setattr(Client, "_exchange", watched)
    requests = [Request(prompt, (7 + place, 70 + place), WARM) for place, prompt in enumerate(prompts)]
    with VLLMServer() as server:
        engine, drawn = HttpEngine(server.url, server.model.generation_config.eos_token_id, tmp_path), Drawn()
        engine.connect(prompts, WARM, server.context, seconds=5, in_float32=True)
        first, second = engine.submit(requests[0]), engine.submit(requests[1])
        assert drawn.step(engine)
        engine.cancel(first)
        third = engine.submit(requests[2])
        while drawn.step(engine):
            pass
        assert engine.step() == [], "and then nothing is left"
        for handle, request in ((second, requests[1]), (third, requests[2])):
            for index, expected in enumerate(alone(server.model, request)):
                assert_drawn_alike(drawn[handle, index], expected)
        assert isinstance(engine, Engine)
        with pytest.raises(UserError, match="invalid request with 0 prompt tokens"):
            engine.submit(Request([], (1,), WARM))

        asked = count()

        def interrupt(path, request):
            if next(asked) == 0:  # several requests are under way, and the clean-up must not be interrupted too
                signal.raise_signal(signal.SIGALRM)
            return error(503)

        server.post = interrupt
        before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        try:
            with pytest.raises(KeyboardInterrupt):
                run(engine, requests)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert engine.step() == []
        engine.close()
    assert threads and threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)
