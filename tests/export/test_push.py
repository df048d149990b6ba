"""A push is one commit, whole or none; what goes wrong is one sentence; and nothing leaves that should stay."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import snapshot_download

from hrm_align.export import push as pushing
from hrm_align.export.folder import PUBLICATION
from hrm_align.export.scan import findings
from hrm_align.models.loading import load_model, resolve
from recipes.export import main as export
from tests.command_line import run
from tests.export.runs import ASKED, ROWS, quickstart, trained

REPO = "alice/mine"


def exported(folder, *flags):
    """An export of the tiny base."""
    with redirect_stdout(StringIO()):
        export([resolve("tiny"), "--to", str(folder), "--max_new_tokens", "8", *flags])
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("made") / "mine", "--max_shard_size", "1MB")


@pytest.fixture
def signed_in(hub, waits, monkeypatch):
    """A Hub, a good token where the client looks for one, and a push that does not sleep between its tries."""
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    monkeypatch.setattr(pushing, "time", SimpleNamespace(sleep=waits.append))
    return hub


def pushed(capsys, folder, *flags, code=0) -> str:
    found, out, err = run(capsys, "export", folder, "--push", REPO, *flags)
    assert found == code and "Traceback" not in err and err.count("error: ") == bool(code), err
    return err if code else out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def published(hub):
    return {name: data for name, data in hub.repos[REPO].files().items() if name != ".gitattributes"}


def test_a_push_a_download_and_a_load_give_the_same_bytes(signed_in, made, tmp_path, capsys):
    pushed(capsys, made, "--private")
    repo = signed_in.repos[REPO]
    assert published(signed_in) == contents(made) and repo.private and signed_in.unknown == []
    assert [commit.title for commit in repo.commits[1:]] == ["Export by hrm_align"], "one commit"
    snapshot_download(REPO, local_dir=tmp_path / "back", endpoint=signed_in.url)
    assert {k: v for k, v in contents(tmp_path / "back").items() if k != ".gitattributes"} == contents(made)
    here, back = load_model(str(made)).state_dict(), load_model(str(tmp_path / "back")).state_dict()
    assert all(torch.equal(here[name], back[name]) for name in here)


def test_what_is_pushed_later_loads_by_the_name_of_its_repository(signed_in, made, tmp_path, capsys):
    pushed(capsys, made)
    snapshot_download(REPO, local_dir=tmp_path / REPO, endpoint=signed_in.url)
    assert quickstart(tmp_path / REPO, "Add 12 and 30.", beside=tmp_path) == "42"
    text = (tmp_path / REPO / "README.md").read_text()
    assert "\n# mine\n" in text and f'from_pretrained("{REPO}")' in text and 'from_pretrained("mine")' not in text


def test_a_card_that_is_renamed_is_the_card_of_that_name(signed_in, tmp_path, capsys):
    """Title, metadata and quickstart, whatever the folder was called; a number as a name, too."""
    folder = exported(tmp_path / "123", "--data", ROWS, "--limit", "4")
    assert "- name: '123'\n" in (folder / "README.md").read_text()
    pushed(capsys, folder)
    named = tmp_path / "mine"
    code, _, err = run(capsys, "export", resolve("tiny"), "--to", named, "--max_new_tokens", "8", "--push", "alice/mine",
                       "--data", ROWS, "--limit", "4")  # fmt: skip
    assert code == 0, err
    assert (folder / "README.md").read_text() == (named / "README.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["123", "mine"]


def test_from_inside_the_folder_and_over_what_a_kill_has_left(signed_in, tmp_path, capsys, monkeypatch):
    folder = exported(tmp_path / "made")
    monkeypatch.chdir(folder)
    pushed(capsys, ".")
    whole = contents(folder)
    assert published(signed_in) == whole and b"\n# mine\n" in whole["README.md"] and not list(folder.glob("*.bak"))
    (folder / ".README.md.partial").write_text("half a ca")
    pushed(capsys, ".")
    assert published(signed_in) == whole


def test_only_what_was_proven_is_pushed(signed_in, made, tmp_path, capsys):
    """Weights that were exchanged, a card that was edited, a folder outside the tolerance, a record that is damaged."""

    def changed(change):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
        change(folder)
        return folder

    def edited(folder, **parts):
        record = json.loads((folder / "export.json").read_text())
        record["parity"] |= parts.pop("parity", {})
        (folder / "export.json").write_text(json.dumps(record | parts))

    shard = min(path.name for path in made.glob("model-*.safetensors"))
    for change, said in (
        (lambda folder: (folder / shard).unlink(), "not those that were proven"),
        (
            lambda folder: (folder / shard).write_bytes((made / shard).read_bytes()[:-1] + b"x"),
            "not those that were proven",
        ),
        (
            lambda folder: (folder / "README.md").write_text("my key is hf_" + "aB3" * 11),
            "README.md:1: a token of the Hub",
        ),
        (lambda folder: edited(folder, parity={"mean_difference": 1.0}), "--force parity"),
        (lambda folder: edited(folder, form="adapter", base_model="tiny"), "export it with --merged"),
        (lambda folder: (folder / "export.json").write_text("{}"), "is damaged: export again"),
        (lambda folder: (folder / "export.json").unlink(), "is no exported folder"),
    ):
        assert said in pushed(capsys, changed(change), code=2)
    for late in (("--merged",), ("--dtype", "bfloat16"), ("--data", "x")):
        assert f"{late[0]} is for the export" in pushed(capsys, made, *late, code=2)
    assert not signed_in.received
    pushed(capsys, changed(lambda folder: edited(folder, parity={"mean_difference": 1.0})), "--force", "parity")


def test_metadata_that_cannot_be_read_or_that_the_client_refuses_is_one_sentence(signed_in, made, capsys, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    record = json.loads((tmp_path / "copy" / PUBLICATION).read_text())
    (tmp_path / "copy" / PUBLICATION).write_text(json.dumps(record | {"name": "copy"}))  # pushed for the first time
    card = (tmp_path / "copy/README.md").read_text()
    (tmp_path / "copy/README.md").write_text(card.replace("license: apache-2.0", "license: [[["))
    assert "its metadata is no YAML" in pushed(capsys, tmp_path / "copy", code=2)
    (tmp_path / "copy/README.md").write_text(card.replace("license: apache-2.0", "license: mine"))
    assert "client refuses" in pushed(capsys, tmp_path / "copy", code=1)
    assert published(signed_in) == {}


def test_files_of_an_earlier_export_go_in_the_same_commit_and_those_of_people_stay(
    signed_in, made, tmp_path, capsys, api
):
    pushed(capsys, made)
    api.upload_file(repo_id=REPO, path_or_fileobj=b"mine", path_in_repo="notes.txt")
    other = exported(tmp_path / "other")
    pushed(capsys, other)
    assert published(signed_in) == contents(other) | {"notes.txt": b"mine"}
    assert len(signed_in.repos[REPO].commits) == 4
    pushed(capsys, other)
    assert len(signed_in.repos[REPO].commits) == 4, "nothing has changed, so there is nothing to commit"


@pytest.mark.parametrize(
    ("status", "method", "path", "said"),
    [
        (401, "GET", "/whoami", "hf auth login"),
        (403, "POST", "/repos/create", "write access"),
        (403, "POST", "/commit/", "write access"),
        (409, "POST", "/commit/", "in another state"),
        (412, "POST", "/commit/", "somebody else"),
        (413, "PUT", "", "max_shard_size"),
    ],
)
def test_a_refusal_is_one_sentence_and_is_not_repeated(signed_in, made, capsys, waits, status, method, path, said):
    signed_in.fail(method, path or "/storage/", status, times=99)
    err = pushed(capsys, made, code=2 if status in (401, 403) else 1)
    assert said in err and REPO in err and "hf_good" not in err and not waits
    assert not signed_in.repos or published(signed_in) == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_for(signed_in, made, capsys, waits, status):
    signed_in.fail("POST", "/commit/", status, times=2, headers={"Retry-After": "9"} if status == 429 else {})
    pushed(capsys, made)
    assert published(signed_in) == contents(made) and waits == ([9, 9] if status == 429 else [1, 4])


def test_a_hub_that_stays_away_leaves_the_folder_and_says_how_to_go_on(signed_in, made, capsys, waits):
    signed_in.fail("POST", "/commit/", 503, times=99)
    err = pushed(capsys, made, code=1)
    assert f"push again with `hrm-align export {made} --push {REPO}`" in err and waits == [1, 4, 15]
    signed_in.mend()
    pushed(capsys, made)
    assert published(signed_in) == contents(made)


@pytest.mark.parametrize("path", ["/storage/", "/preupload/", "/commit/"])
def test_a_connection_that_is_cut_is_taken_up_again(signed_in, made, capsys, path):
    signed_in.cut(path, after_bytes=300)
    pushed(capsys, made)
    assert published(signed_in) == contents(made) and len(signed_in.repos[REPO].commits) == 2


def test_a_commit_whose_answer_is_lost_is_not_made_twice(signed_in, made, capsys):
    signed_in.cut_download("/commit/", after_bytes=0)
    pushed(capsys, made)
    assert published(signed_in) == contents(made) and len(signed_in.repos[REPO].commits) == 2


def test_a_push_that_is_killed_leaves_nothing_half_and_succeeds_again(signed_in, made, capsys, tmp_path):
    """At three requests; scripts/export_campaign.py does it at twenty random ones."""
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    environment = os.environ | signed_in.environment(tmp_path / "home", token="hf_good")
    for number, place in enumerate((2, 5, 7)):
        repo_id = f"alice/killed-{number}"
        command = [sys.executable, "-c", program, "export", str(made), "--push", repo_id]
        child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        signed_in.on_request = killing(child, place)
        assert child.wait(timeout=120) == -9
        signed_in.on_request = None
        repo = signed_in.repos.get(repo_id)
        assert repo is None or len(repo.commits) == 1, "only the one that made the repository"
        code, _, err = run(capsys, "export", made, "--push", repo_id)
        assert code == 0, err
        files = signed_in.repos[repo_id].files()
        assert {name: data for name, data in files.items() if name != ".gitattributes"} == contents(made)


def killing(child, place):
    """Kill a process at its n-th request."""
    seen = []

    def on_request(method, path):
        seen.append(path)
        if len(seen) == place:
            child.kill()
            child.wait()

    return on_request


def test_what_somebody_else_has_just_written_is_not_written_over(signed_in, made, capsys, api):
    api.create_repo(REPO)

    def slip_in(method, path):
        if "/commit/" in path:
            signed_in.on_request = None
            api.upload_file(repo_id=REPO, path_or_fileobj=b"theirs", path_in_repo="config.json")

    signed_in.on_request = slip_in
    assert "somebody else" in pushed(capsys, made, code=1)
    assert published(signed_in) == {"config.json": b"theirs"}


def test_without_a_token_nothing_is_sent(hub, made, capsys):
    assert "hf auth login" in pushed(capsys, made, code=2)
    assert not hub.repos


def test_private_is_not_public(signed_in, made, capsys, api):
    api.create_repo(REPO, private=False)
    assert "is there already, and public" in pushed(capsys, made, "--private", code=2)
    assert published(signed_in) == {}


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
        assert code == 2 and "no part of an export" in err, (name, err)
        shutil.rmtree(folder)
    (tmp_path / "linked").mkdir()
    shutil.copytree(made, tmp_path / "linked", dirs_exist_ok=True)
    (tmp_path / "linked/model.safetensors").symlink_to("/etc/hostname")
    assert "no part of an export" in pushed(capsys, tmp_path / "linked", code=2)
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
    code, _, err = run(capsys, "export", source, "--to", tmp_path / "mine", *ASKED)
    assert code == 2 and "README.md:" in err and "a token of the Hub" in err and "aB3aB3" not in err
    assert not (tmp_path / "mine").exists()


def test_push_to_hub_of_a_recipe_publishes_the_checked_export(signed_in, tmp_path):
    wish = ("--push_to_hub", "true", "--hub_model_id", REPO, "--hub_private_repo", "true", "--max_steps", "1")
    run_folder = trained(tmp_path / "run", *wish, "--max_new_tokens", "8")
    assert published(signed_in) == contents(run_folder / "export") and signed_in.repos[REPO].private
    assert "training_args.bin" not in published(signed_in) and len(signed_in.repos[REPO].commits) == 2


def test_a_run_is_not_lost_where_the_hub_is(signed_in, tmp_path, caplog):
    signed_in.fail("GET", "/whoami", 503, times=99)
    wish = ("--push_to_hub", "true", "--hub_model_id", REPO, "--max_steps", "1", "--max_new_tokens", "8")
    run_folder = trained(tmp_path / "run", *wish)
    assert "was not published" in caplog.text and (run_folder / "model.safetensors").is_file()
    assert f"hrm-align export {run_folder / 'export'} --push {REPO}" in caplog.text
