"""A push is one commit, whole or none, and what goes wrong is one sentence."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import snapshot_download

from hrm_align.export.folder import PUBLICATION
from hrm_align.export.hub import FinalPush, push
from hrm_align.models.loading import load_model, resolve
from hrm_align.trainers.sft_config import parse_sft
from tests.command_line import run
from tests.export.pushes import REPO, contents, exported, published, pushed
from tests.export.runs import ROWS, quickstart, trained
from tests.forks import PLAIN
from tests.trainers.recipe_runs import arguments


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
        (lambda folder: (folder / shard).unlink(), "were changed after the export"),
        (
            lambda folder: (folder / shard).write_bytes((made / shard).read_bytes()[:-1] + b"x"),
            "were changed after the export",
        ),
        (
            lambda folder: (folder / "README.md").write_text("my key is hf_" + "aB3" * 11),
            "README.md:1: a token of the Hub",
        ),
        (lambda folder: edited(folder, parity={"mean_difference": 1.0}), "--force parity"),
        (lambda folder: edited(folder, form="adapter", base_model="tiny"), "Export the run with --merged"),
        (lambda folder: (folder / "export.json").write_text("{}"), "is damaged. Export the run again"),
        (lambda folder: (folder / "export.json").unlink(), "is not an exported folder"),
    ):
        assert said in pushed(capsys, changed(change), code=2)
    for late in (("--merged",), ("--dtype", "bfloat16"), ("--data", "x")):
        assert f"{late[0]} applies to an export" in pushed(capsys, made, *late, code=2)
    assert not signed_in.received
    pushed(capsys, changed(lambda folder: edited(folder, parity={"mean_difference": 1.0})), "--force", "parity")


def test_metadata_that_cannot_be_read_or_that_the_client_refuses_is_one_sentence(signed_in, made, capsys, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    record = json.loads((tmp_path / "copy" / PUBLICATION).read_text())
    (tmp_path / "copy" / PUBLICATION).write_text(json.dumps(record | {"name": "copy"}))  # pushed for the first time
    card = (tmp_path / "copy/README.md").read_text()
    (tmp_path / "copy/README.md").write_text(card.replace("license: apache-2.0", "license: [[["))
    assert "the metadata block is not valid YAML" in pushed(capsys, tmp_path / "copy", code=2)
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
        (409, "POST", "/commit/", "in a conflicting state"),
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
    signed_in.clear_faults()
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
    """At two requests; scripts/export_campaign.py does it at twenty random ones."""
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    environment = os.environ | signed_in.environment(tmp_path / "home", token="hf_good")
    children = []
    for number, place in enumerate((2, 6)):
        repo_id = f"alice/killed-{number}"
        signed_in.on_request = killing(children, place)
        children.append(PLAIN.start(program, "hrm-align", "export", str(made), "--push", repo_id, env=environment))
        assert children[-1].wait() == -9
        signed_in.on_request = None
        repo = signed_in.repos.get(repo_id)
        assert repo is None or len(repo.commits) == 1, "only the commit that made the repository"
        code, _, err = run(capsys, "export", made, "--push", repo_id)
        assert code == 0, err
        files = signed_in.repos[repo_id].files()
        assert {name: data for name, data in files.items() if name != ".gitattributes"} == contents(made)


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [(signal.SIGTERM, -signal.SIGTERM, "stopped by SIGTERM: "), (signal.SIGINT, 130, "interrupted: ")],
)
def test_a_push_that_is_stopped_does_not_wait_for_its_upload(signed_in, made, capsys, tmp_path, number, code, sentence):
    """An upload thread waits for the Hub; the process ends at once, and the same command completes the push."""
    program = (
        "import signal, sys; from hrm_align.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    environment = os.environ | signed_in.environment(tmp_path / "home", token="hf_good")
    uploading, err = threading.Event(), tmp_path / "err"
    signed_in.delay("/storage/", 7, times=1)  # longer than the 5 s in which the process ends
    signed_in.on_request = lambda method, path: "/storage/" in path and uploading.set()
    child = PLAIN.start(program, "hrm-align", "export", str(made), "--push", REPO, env=environment, err=err)
    assert uploading.wait(60), err.read_text()
    start = time.monotonic()
    child.send_signal(number)
    assert child.wait() == code and time.monotonic() - start < 5
    said = err.read_text()
    assert said.count(sentence) == 1 and f"`hrm-align export {made} --push {REPO}`" in said and "Traceback" not in said
    assert len(signed_in.repos[REPO].commits) == 1, "only the commit that made the repository"
    pushed(capsys, made)
    assert published(signed_in) == contents(made)


@pytest.mark.campaign
def test_a_run_that_is_stopped_in_its_upload_is_whole_and_published_by_the_same_command(signed_in, tmp_path):
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    environment = os.environ | signed_in.environment(tmp_path / "home", token="hf_good")
    wish = ("--push_to_hub", "true", "--hub_model_id", REPO, "--max_steps", "1", "--max_new_tokens", "8")
    words = arguments(tmp_path / "run", Path(ROWS), *wish, "--report_to", "none")
    uploading, err = threading.Event(), tmp_path / "err"
    signed_in.delay("/storage/", 7, times=1)
    signed_in.on_request = lambda method, path: "/storage/" in path and uploading.set()
    child = PLAIN.start(program, "hrm-align", "sft", *words, env=environment, err=err)
    assert uploading.wait(60), err.read_text()
    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 75 and time.monotonic() - start < 5
    said = err.read_text()
    assert f"was not published to {REPO}" in said and "Traceback" not in said, said
    assert (tmp_path / "run/model.safetensors").exists() and len(signed_in.repos[REPO].commits) == 1
    again = PLAIN.start(
        program, "hrm-align", "sft", *words, "--resume_from_checkpoint", "latest", env=environment, err=err
    )
    assert again.wait() == 0, err.read_text()
    assert published(signed_in) == contents(tmp_path / "run/export")


def killing(children, place):
    """Kill the last process at its n-th request."""
    seen = []

    def on_request(method, path):
        seen.append(path)
        if len(seen) == place:
            children[-1].kill()

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


@pytest.mark.parametrize(("flags", "private"), [((), True), (("--private",), True), (("--public",), False)])
def test_a_new_repository_is_private_unless_public_is_given(signed_in, made, capsys, flags, private):
    out = pushed(capsys, made, *flags)
    assert signed_in.repos[REPO].private is private
    assert f"visibility: {'private' if private else 'public'}\n" in out


@pytest.mark.parametrize(("private", "flags"), [(False, ()), (True, ("--public",)), (True, ("--private",))])
def test_a_repository_that_exists_keeps_its_visibility(signed_in, made, capsys, api, private, flags):
    api.create_repo(REPO, private=private)
    out = json.loads(pushed(capsys, made, *flags, "--json"))
    assert signed_in.repos[REPO].private is private and published(signed_in) == contents(made)
    assert out["visibility"] == ("private" if private else "public")


def test_private_is_not_public(signed_in, made, capsys, api):
    api.create_repo(REPO, private=False)
    assert "already exists and is public" in pushed(capsys, made, "--private", code=2)
    assert published(signed_in) == {}
    assert "not allowed with argument" in pushed(capsys, made, "--private", "--public", code=2)


def test_a_dry_run_shows_what_a_push_uploads_and_sends_nothing(hub, made, capsys, api, monkeypatch):
    """Without a token, which only the push needs; the folder stays as it is, though a push renames its card."""
    before, received = contents(made), len(hub.received)
    for flags, visibility in (((), "private"), (("--private",), "private"), (("--public",), "public")):
        plan = json.loads(pushed(capsys, made, "--dry_run", "--json", *flags))["dry_run"]
        assert plan["visibility"] == visibility and plan["repository"] == REPO and plan["token"] is False
    printed = pushed(capsys, made, "--dry_run")
    assert contents(made) == before and len(hub.received) == received and not hub.repos
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    pushed(capsys, made)
    uploaded = published(hub)
    assert plan["files"] == {name: len(data) for name, data in uploaded.items()}
    assert plan["bytes"] == sum(plan["files"].values()) and plan["card"] == uploaded["README.md"].decode()
    for name, size in plan["files"].items():
        assert f"  {name} " in printed and f"{size:,} bytes" in printed
    assert "visibility: private" in printed and "hf auth login" in printed and plan["card"] in printed


def test_a_dry_run_of_an_export_writes_and_checks_the_folder(hub, tmp_path, capsys):
    code, out, err = run(capsys, "export", resolve("tiny"), "--to", tmp_path / "e", "--push", "OWNER/NAME", "--dry_run",
                         "--max_new_tokens", "8")  # fmt: skip
    assert code == 0 and not hub.received, err
    assert "parity: 0 of 8 greedy answers differ" in out and "dry run: nothing is uploaded" in out
    assert (tmp_path / "e/model.safetensors").is_file() and 'from_pretrained("OWNER/NAME"' in out


def test_a_dry_run_refuses_what_a_push_refuses(hub, made, tmp_path, capsys):
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy/notes.txt").write_text("mine")
    assert "not part of an export" in pushed(capsys, tmp_path / "copy", "--dry_run", code=2)
    record = json.loads((made / PUBLICATION).read_text())
    (tmp_path / "copy/notes.txt").unlink()
    (tmp_path / "copy" / PUBLICATION).write_text(json.dumps(record | {"form": "adapter", "base_model": "tiny"}))
    assert "Export the run with --merged" in pushed(capsys, tmp_path / "copy", "--dry_run", code=2)
    code, _, err = run(capsys, "export", made, "--dry_run")
    assert code == 2 and "add --push OWNER/NAME" in err
    assert not hub.received


def test_push_to_hub_of_a_recipe_publishes_the_checked_export(signed_in, tmp_path, capsys):
    wish = ("--push_to_hub", "true", "--hub_model_id", REPO, "--max_steps", "1")
    run_folder = trained(tmp_path / "run", *wish, "--max_new_tokens", "8")
    assert published(signed_in) == contents(run_folder / "export")
    assert signed_in.repos[REPO].private, "the end of an unattended run makes nothing public"
    assert f"published in the private repository {REPO}: http" in capsys.readouterr().err
    assert "training_args.bin" not in published(signed_in) and len(signed_in.repos[REPO].commits) == 2


@pytest.mark.parametrize("asked", [None, True, False])
def test_hub_private_repo_of_a_recipe_is_the_visibility_of_its_push(signed_in, made, asked):
    words = [
        "--model_name_or_path",
        "tiny",
        "--output_dir",
        "x",
        "--push_to_hub",
        "true",
        "--hub_model_id",
        REPO,
        "--datasets",
        ROWS,
    ]
    training = parse_sft([*words, *([] if asked is None else ["--hub_private_repo", str(asked).lower()])]).training
    wish = FinalPush.requested(training)
    push(made, wish.repo_id, wish.private)
    assert signed_in.repos[REPO].private is (asked is not False)


def test_a_run_is_not_lost_where_the_hub_is(signed_in, tmp_path, caplog):
    signed_in.fail("GET", "/whoami", 503, times=99)
    wish = ("--push_to_hub", "true", "--hub_model_id", REPO, "--max_steps", "1", "--max_new_tokens", "8")
    run_folder = trained(tmp_path / "run", *wish)
    assert "was not published" in caplog.text and (run_folder / "model.safetensors").is_file()
    assert f"hrm-align export {run_folder / 'export'} --push {REPO}" in caplog.text
