# mypy: ignore-errors
"""The protocol: answers that a program writes itself, channels that it breaks, the runner's own memory."""


def writes_its_own_answer(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": ["forged", "twice"]}')
    os._exit(0)


def writes_noise(t):
    import os

    os.write(3, bytes(range(256)) * 20)
    os._exit(0)


def writes_the_heads_of_messages(t):
    import os

    for descriptor in (0, 1, 2, 3):
        os.write(descriptor, b'{"id": "')
    os._exit(0)


def speaks_for_the_zygote(t):
    import json
    import os

    answer = '{"kind": "returned", "message": "", "values": ["forged"]}'
    reply = {"end": "exited", "status": 0, "seconds": 0.0, "reason": "", "written": answer}
    line = json.dumps(reply).encode() + b"\n"
    for descriptor in range(64):
        try:
            os.write(descriptor, line * 3)
        except OSError:
            continue
    os._exit(0)


def speaks_for_the_next_job(t):
    import os

    for descriptor in range(64):
        try:
            os.write(descriptor, b'{"kind": "returned", "message": "", "values": ["forged"]}\n' * 50)
        except OSError:
            continue


def hears_the_next_job(t):
    import os

    found = []
    for descriptor in range(64):
        try:
            os.set_blocking(descriptor, False)
            found.append(os.read(descriptor, 10_000).decode(errors="replace"))
        except OSError:
            continue
    return found


def says_it_was_lost(t):
    import os

    os.write(3, b'{"kind": "lost", "message": "", "values": []}')
    os._exit(0)


def says_it_was_not_confined(t):
    import os

    os.write(3, b"[Errno 1] Operation not permitted")
    os._exit(1)


def answers_with_what_json_has_not(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [NaN]}')
    os._exit(0)


def answers_with_infinity(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [1e999]}')
    os._exit(0)


def answers_with_a_huge_number(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [' + b"9" * 900_000 + b"]}")
    os._exit(0)


def answers_with_deep_lists(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": ' + b"[" * 500_000 + b"]" * 500_000 + b"}")
    os._exit(0)


def answers_with_deep_lists_that_can_be_read(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [' + b"[" * 500 + b"]" * 500 + b"]}")
    os._exit(0)


def answers_with_broken_text(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": ["\xff\xfe\xed\xa0\x80"]}')
    os._exit(0)


def answers_with_half_a_letter(t):
    return "\ud800"


def fails_with_half_a_letter(t):
    raise ValueError("\ud800\x1b[2J\x00\u202e")


def answers_something_else(t):
    import os

    os.write(3, b'[1, 2, {"values": {}}]')
    os._exit(0)


def answers_with_other_types(t):
    import os

    os.write(3, b'{"kind": ["returned"], "message": {}, "values": {"0": 1}}')
    os._exit(0)


def answers_with_too_many_values(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [' + b"1," * 400_000 + b"1]}")
    os._exit(0)


def answers_twice(t):
    import os

    os.write(3, b'{"kind": "returned", "message": "", "values": [1]}')
    return 1


def leaves_without_an_answer(t):
    import os

    os._exit(0)


def leaves_with_an_exit_code(t):
    import sys

    sys.exit(0)


def leaves_when_its_class_is_read(t):
    class Value(int):
        def __class__(self):
            raise SystemExit(0)

    return Value(1)


def interrupts(t):
    raise KeyboardInterrupt


def raises_what_is_no_error(t):
    class Odd(BaseException):
        def __init__(self):
            self.args = None

        def __str__(self):
            raise self

        __repr__ = __str__

    raise Odd


def breaks_the_writer_of_json(t):
    import json

    json.dumps = lambda *_, **__: '{"kind": "returned", "message": "", "values": [1, 2, 3]}'
    return "x"


def breaks_the_builtins(t):
    import builtins

    for name in ("type", "isinstance", "len", "print", "exec", "memoryview", "str", "BaseException", "MemoryError"):
        setattr(builtins, name, None)
    return "x"


def breaks_the_runner(t):
    import sys

    for name, module in list(sys.modules.items()):
        if name.startswith("inside"):
            for attribute in list(vars(module)):
                setattr(module, attribute, lambda *_, **__: b"x")
    return "x"


def becomes_a_second_zygote(t):
    import sys

    sys.modules["inside.zygote"].main()


def loosens_the_limits(t):
    import gc
    import sys

    for found in gc.get_objects():
        if type(found).__name__ == "Limits":
            for name in vars(found):
                object.__setattr__(found, name, 10**9)
    sys.modules["inside.confinement"].confine([], None, 0)
    return open(t["secret"]).read()


def walks_the_frames(t):
    import sys

    frame, found = sys._getframe(), []
    while frame:
        found.append({name: repr(value)[:2000] for name, value in frame.f_locals.items() if name != "t"})
        frame = frame.f_back
    return repr(found)[:100_000]


def searches_all_objects(t):
    import gc

    texts = [found for found in gc.get_objects() if isinstance(found, dict)]
    return repr([repr(found)[:200] for found in texts])[:200_000]


def leaves_when_it_is_collected(t):
    import os

    class Last:
        def __del__(self):
            os.write(3, b"forged")
            os._exit(0)

    Last()
    return 1


def leaves_from_a_hook(t):
    import os
    import sys

    def leave(*_):
        os.write(3, b'{"kind": "returned", "message": "", "values": [1, 1, 1]}')
        os._exit(0)

    sys.settrace(leave)
    sys.setprofile(leave)
    return 1
