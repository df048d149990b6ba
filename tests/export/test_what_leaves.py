"""What must not leave does not: secrets, paths, logs, and files or names that are no part of an export."""

import json
import shutil

import pytest

from hrm_align.export.folder import findings
from tests.command_line import run
from tests.export.pushes import REPO, published, pushed
from tests.export.runs import ASKED, trained

HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "alice/../bob", "alice/..", "../alice/mine", "alice//mine", "alice/mine/../../x", "~/mine",
    "alice/mine\n", "alice/mi ne", "alice/mine?x=1", "alice/mine#x", "alice/%2e%2e", "alice\\mine", "file:///etc/passwd",
    "http://127.0.0.1/alice/mine", "alice/mine.git", "alice/-mine", "alice/.mine", "alice/mine\x00", "$(id)/mine", "alice/`id`",
    "a" * 100 + "/mine", "alice/" + "b" * 100, "alice", "alice/mine/tree", "..", ".", "/", "alice/;rm", "alice/|", "alice/<b>",
]  # fmt: skip
STRANGE = [
    "training_args.bin", "optimizer.pt", ".env", "id_rsa", "metrics.jsonl", "trainer_state.json", "model.safetensors.bak",
    "evil.py", "modeling_evil.py", ".git", "..data", "a\nb", "tokenizer.model", "rows.jsonl", "samples.jsonl", "core", "x.pkl",
    "MODEL.SAFETENSORS",
]  # fmt: skip


def test_hostile_names_are_refused_before_anything_is_sent(signed_in, made, capsys, tmp_path):
    """Fifty names of repositories and of files; nothing appears outside the folder either."""
    assert len(HOSTILE) + len(STRANGE) == 50
    before = {path for path in tmp_path.parent.rglob("*") if path.parent == tmp_path.parent}
    for name in HOSTILE:
        code, _, err = run(capsys, "export", made, "--push", name)
        assert code == 2 and "OWNER/NAME" in err, (name, err)
    for name in STRANGE:
        folder = tmp_path / "copy"
        shutil.copytree(made, folder)
        (folder / name).write_text("x")
        code, _, err = run(capsys, "export", folder, "--push", REPO)
        assert code == 2 and "not part of an export" in err, (name, err)
        shutil.rmtree(folder)
    (tmp_path / "linked").mkdir()
    shutil.copytree(made, tmp_path / "linked", dirs_exist_ok=True)
    (tmp_path / "linked/model.safetensors").symlink_to("/etc/hostname")
    assert "not part of an export" in pushed(capsys, tmp_path / "linked", code=2)
    assert not signed_in.received and not [*tmp_path.glob("copy*")]
    assert {path for path in tmp_path.parent.rglob("*") if path.parent == tmp_path.parent} == before


CANARIES = {
    "environment": ("MY_SERVICE_KEY", "canary-env-1f0c9e"),
    "environment of a tracker": ("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567"),
    "run name": "canary-run-name-7d3a", "output folder": "canary-folder-55ab", "prompt": "canary-prompt-91c2",
    "answer": "canary-answer-18fe", "replay prompt": "canary-replay-4b77", "metrics": "canary-metrics-aa01",
    "samples": "canary-samples-bb02", "held-out answer": "canary-held-out-cc03",
}  # fmt: skip


def test_ten_canaries_leave_in_no_byte(signed_in, capsys, tmp_path, monkeypatch):
    """Planted in the environment, the settings, the logs and the data of a run; then it is exported and pushed."""
    assert len(CANARIES) == 10
    for name, value in (CANARIES["environment"], CANARIES["environment of a tracker"]):
        monkeypatch.setenv(name, value)
    rows = tmp_path / "rows.jsonl"
    row = {"prompt": f"a {CANARIES['prompt']}", "response": f"b {CANARIES['answer']}"}
    rows.write_text((json.dumps(row) + "\n") * 40)
    replay = tmp_path / "replay.jsonl"
    replay.write_text(json.dumps({"prompt": CANARIES["replay prompt"], "response": "x"}) + "\n")
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps({"prompt": "Add 1 and 2.", "response": CANARIES["held-out answer"]}) + "\n")
    source = tmp_path / CANARIES["output folder"]
    mixed = ("--replay_datasets", str(replay), "--replay_fraction", "0.1", "--datasets", str(rows))
    trained(source, *mixed, "--run_name", CANARIES["run name"], "--max_steps", "1")
    with (source / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"x": CANARIES["metrics"]}) + "\n")
    (source / "samples.jsonl").write_text(json.dumps({"x": CANARIES["samples"]}) + "\n")
    asked = ("--data", held_out, "--max_new_tokens", "8")
    code, _, err = run(capsys, "export", source, "--to", tmp_path / "mine", *asked, "--push", REPO)
    assert code == 0, err
    assert len(published(signed_in)) == 9
    everything = b"".join(published(signed_in).values())
    for canary in CANARIES.values():
        value = canary[1] if isinstance(canary, tuple) else canary
        assert signed_in.saw(value.encode()) == [] and value.encode() not in everything, value
    assert signed_in.saw(b"hf_good") == [], "nor the token, but in its header"
    assert signed_in.saw(str(tmp_path).encode()) == []
    assert signed_in.saw(b"replay.jsonl"), "what the net is to catch would be seen"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hf_" + "aB3" * 11, "a token of the Hub"),
        ("sk-proj-" + "a1" * 12, "a key of OpenAI"),
        ("AKIA" + "ABCD" * 4, "a key of AWS"),
        ("ghp_" + "a1B2" * 9, "a token of GitHub"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("postgres://me:secret1@db/x", "a password in an address"),
        ("redis://:pw@host", "a password in an address"),
        ("HTTPS://a:b@c", "a password in an address"),
        ("see /home/someone/runs/3", "a path of a machine"),
        ("see /fsx/me/rows", "a path of a machine"),
        ("see host:/data1/me", "a path of a machine"),
        (r"see C:\\Users\\me\\x", "a path of a machine"),
        ("see C:/Users/me/x", "a path of a machine"),
        ("canary-env-1f0c9e", "the value of $MY_SERVICE_KEY"),
    ],
)
def test_a_secret_in_what_would_leave_is_named_and_not_repeated(tmp_path, text, kind):
    (tmp_path / "README.md").write_text(f"one\ntwo {text} three\n")
    (found,) = {
        (item.file, item.line): item for item in findings(tmp_path, {"MY_SERVICE_KEY": "canary-env-1f0c9e"})
    }.values()
    assert (found.file, found.line) == ("README.md", 2) and found.kind.startswith(kind) and text not in str(found)


def test_what_is_no_secret_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text(
        "see https://github.com/sapientinc/HRM-Text, H/L, data/sql/test.jsonl, and/or 1/2/3, </think>, hrm_align/models/tiny\n"
    )
    (tmp_path / "tokenizer.json").write_text('{"/usr/lib/x": 1, "password": 2}')
    assert not [*findings(tmp_path, {"AUTH_TYPE": "password", "GIT_AUTHOR_NAME": "sapientinc", "DB_PASS": "password"})]


def test_a_secret_of_several_lines_is_found_as_json_writes_it(tmp_path):
    key = 'one"line\nand another'
    (tmp_path / "config.json").write_text(json.dumps({"a": 1, "b": f"see {key}"}, indent=1))
    (found,) = findings(tmp_path, {"DEPLOY_KEY": key})
    assert (found.line, found.kind) == (3, "the value of $DEPLOY_KEY")


def test_an_export_with_a_secret_is_not_written(tmp_path, capsys):
    """It came in the name of a data set."""
    rows = tmp_path / ("hf_" + "aB3" * 11) / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text('{"prompt": "a", "response": "b"}\n' * 8)
    source = trained(tmp_path / "run", "--datasets", str(rows), "--max_steps", "1")
    capsys.readouterr()  # the run names the file that it reads
    code, _, err = run(capsys, "export", source, "--to", tmp_path / "mine", *ASKED)
    assert code == 2 and "README.md:" in err and "a token of the Hub" in err and "aB3aB3" not in err
    assert not (tmp_path / "mine").exists()
