"""The Hub of these tests against the real client: what it takes, gives back, refuses and breaks is what a Hub would.

What the client does about a fault is written out where it is not obvious, so that a new version of it is noticed.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import get_session

from .hub_server import HubServer

pytestmark = [
    pytest.mark.campaign,  # it tests a part of the tests
    pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning"),  # the client's own call of httpx2
]

WEIGHTS = random.Random(0).randbytes(5000)
FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "ema/model.safetensors": WEIGHTS[::-1],
}
REPO = "alice/name"


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "folder", FILES)


@pytest.fixture
def repo(hub, api):
    """What the Hub keeps of an empty repository."""
    api.create_repo(REPO)
    return hub.repos[REPO]


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def without_attributes(files):
    return {name: content for name, content in files.items() if name != ".gitattributes"}


def status_of(action):
    with pytest.raises(HfHubHTTPError) as caught:
        action()
    return caught.value.response.status_code


def test_a_folder_comes_back_byte_for_byte(hub, api, folder, tmp_path):
    assert api.whoami()["name"] == "alice"
    url = api.create_repo(REPO, private=True)
    assert (url, url.repo_id) == (f"{hub.url}/{REPO}", REPO)
    assert api.create_repo(REPO, exist_ok=True) == url
    first = api.model_info(REPO).sha

    made = api.upload_folder(repo_id=REPO, folder_path=folder, commit_message="first", parent_commit=first)

    repo = hub.repos[REPO]
    assert repo.private and without_attributes(repo.files()) == FILES
    assert [name for name, blob in sorted(repo.head.tree.items()) if blob.lfs] == [
        name for name in sorted(FILES) if "safe" in name
    ]
    assert [(c.title, c.commit_id) for c in api.list_repo_commits(REPO)] == [
        ("first", made.oid),
        ("initial commit", first),
    ]
    assert sorted(api.list_repo_files(REPO)) == sorted(repo.files())
    assert {entry.path for entry in api.list_repo_tree(REPO)} == {*repo.files(), "ema"} - {"ema/model.safetensors"}
    assert api.file_exists(REPO, "config.json") and not api.file_exists(REPO, "other.json")

    back = snapshot_download(REPO, endpoint=hub.url, token="hf_good", local_dir=tmp_path / "back")
    assert back == str(tmp_path / "back") and read(tmp_path / "back") == repo.files()
    old = snapshot_download(REPO, endpoint=hub.url, token="hf_good", revision=first)  # into the cache
    assert sorted(read(Path(old))) == [".gitattributes"]
    assert hub.unknown == []


def test_uploading_a_folder_makes_these_requests_in_this_order(hub, api, repo, folder):
    (folder / "ema" / "model.safetensors").unlink()
    before = len(hub.received)
    api.upload_folder(repo_id=REPO, folder_path=folder)
    oid = repo.head.tree["model.safetensors"].oid
    assert hub.asked()[before:] == [
        "POST /api/validate-yaml",  # README.md: once for the folder
        "POST /api/validate-yaml",  # and once for the commit
        f"POST /api/models/{REPO}/preupload/main",
        f"POST /{REPO}.git/info/lfs/objects/batch",
        f"PUT /storage/{oid}",
        f"POST /{REPO}.git/info/lfs/objects/verify",
        f"POST /api/models/{REPO}/commit/main",
    ]

    before = len(hub.received)
    api.upload_folder(repo_id=REPO, folder_path=folder)  # nothing changed: no object and no commit
    assert not [line for line in hub.asked()[before:] if "PUT" in line or "/commit/" in line]
    assert len(repo.commits) == 2


@pytest.mark.parametrize("size", [2000, 2001])
def test_large_files_are_uploaded_in_parts(online, tmp_path, size):
    with HubServer(tokens={"hf_good": "alice"}, multipart_above=1000) as hub:
        api = HfApi(endpoint=hub.url, token="hf_good")
        api.create_repo(REPO)
        api.upload_folder(repo_id=REPO, folder_path=write(tmp_path / "folder", {"model.safetensors": WEIGHTS[:size]}))
        assert hub.repos[REPO].files()["model.safetensors"] == WEIGHTS[:size]
        assert len(hub.asked("PUT")) == (2 if size == 2000 else 3) and len(hub.asked("POST", "multipart")) == 1


def test_gitattributes_gains_what_is_large_by_content_and_is_never_deleted(hub, api, repo, tmp_path):
    assert b"*.safetensors filter=lfs" in repo.files()[".gitattributes"]
    api.upload_folder(repo_id=REPO, folder_path=write(tmp_path / "a", {"raw.xyz": b"\0" * 2000, "älter.txt": b"old"}))
    assert repo.head.tree["raw.xyz"].lfs and b"\nraw.xyz filter=lfs" in repo.files()[".gitattributes"]

    folder = write(tmp_path / "b", {"new.txt": b"new"})
    api.upload_folder(repo_id=REPO, folder_path=folder, delete_patterns="*")
    assert sorted(repo.files()) == [".gitattributes", "new.txt"]
    assert sorted(repo.commits[1].tree) == [".gitattributes", "raw.xyz", "älter.txt"]  # the past is kept

    with pytest.raises(RemoteEntryNotFoundError):
        api.delete_file("älter.txt", REPO)


def test_a_card_without_metadata_is_warned_of(api, repo, tmp_path):
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_folder(repo_id=REPO, folder_path=write(tmp_path / "folder", {"README.md": b"# Bare\n"}))


def test_a_token_writes_only_where_its_user_may(hub, api, repo, folder):
    def upload(token, repo_id):
        return lambda: HfApi(endpoint=hub.url, token=token).upload_folder(repo_id=repo_id, folder_path=folder)

    def create(token, repo_id):
        return lambda: HfApi(endpoint=hub.url, token=token).create_repo(repo_id)

    assert status_of(lambda: HfApi(endpoint=hub.url, token="hf_bad").whoami()) == 401
    assert status_of(create("hf_bad", "alice/other")) == status_of(upload("hf_bad", REPO)) == 401
    assert status_of(create(False, "alice/other")) == status_of(upload(False, REPO)) == 401
    assert status_of(create("hf_other", "alice/other")) == status_of(upload("hf_other", REPO)) == 403
    assert status_of(create("hf_read", "alice/other")) == status_of(upload("hf_read", REPO)) == 403
    assert status_of(create("hf_good", REPO)) == 409
    assert list(hub.repos) == [REPO] and len(repo.commits) == 1

    # The client hides a 403 when the repository exists: only the upload fails.
    assert HfApi(endpoint=hub.url, token="hf_other").create_repo(REPO, exist_ok=True) == f"{hub.url}/{REPO}"
    assert api.create_repo("lab/name").repo_id == "lab/name"


def test_a_private_repository_is_missing_to_others(hub, api, tmp_path):
    api.create_repo(REPO, private=True)
    api.upload_file(repo_id=REPO, path_or_fileobj=b"{}", path_in_repo="config.json")
    for token, status in ((False, 401), ("hf_other", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            snapshot_download(REPO, endpoint=hub.url, token=token, local_dir=tmp_path / "back")
        assert caught.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(REPO, "config.json", endpoint=hub.url, token=token)
        with pytest.raises(RepositoryNotFoundError):
            HfApi(endpoint=hub.url, token=token).upload_folder(repo_id=REPO, folder_path=tmp_path)
    with open(hf_hub_download(REPO, "config.json", endpoint=hub.url, token="hf_read")) as file:
        assert file.read() == "{}"


@pytest.mark.parametrize("where", ["/storage/", "/commit/"])
def test_a_cut_upload_leaves_nothing_and_a_second_try_works(hub, api, repo, folder, waits, where):
    hub.cut(where, after_bytes=100, times=6)
    with pytest.raises(Exception, match=r"Error while uploading|disconnected|reset|[Bb]roken pipe"):
        api.upload_file(repo_id=REPO, path_or_fileobj=folder / "model.safetensors", path_in_repo="model.safetensors")
    assert waits == ([1, 2, 4, 8, 8] if where == "/storage/" else [])  # an object is sent six times, a commit once
    assert len(repo.commits) == 1 and "model.safetensors" not in repo.files()
    assert {len(request.body) for request in hub.received if not request.complete} == {100}

    hub.clear_faults()
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert without_attributes(repo.files()) == FILES


def test_a_commit_on_another_parent_is_refused(hub, api, repo):
    parent = repo.head.sha
    api.upload_file(repo_id=REPO, path_or_fileobj=b"1", path_in_repo="one.txt")
    late = [CommitOperationAdd("two.txt", b"2")]
    assert status_of(lambda: api.create_commit(REPO, late, commit_message="late", parent_commit=parent)) == 412
    assert "two.txt" not in repo.files()
    api.create_commit(REPO, late, commit_message="in time", parent_commit=repo.head.sha)
    assert [commit.title for commit in repo.commits[2:]] == ["in time"]


def test_the_client_repeats_all_of_an_upload_but_its_commit(hub, api, repo, folder, waits):
    hub.fail("POST", "/preupload/", 429, headers={"Retry-After": "7"})
    hub.fail("POST", r"\.git/info/lfs/objects/batch", 503, times=2)
    hub.fail("PUT", "/storage/", 500)
    hub.fail("POST", "/commit/", 503)
    assert status_of(lambda: api.upload_folder(repo_id=REPO, folder_path=folder)) == 503
    assert waits == [8, 1, 2, 1] and len(repo.commits) == 1
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert len(hub.asked("POST", "/commit/")) == 2 and len(hub.asked("PUT")) == 3  # the objects were there already


def test_an_answer_can_be_late(hub, api):
    hub.delay("/whoami", seconds=0.2, times=1)
    started = time.monotonic()
    api.whoami()
    assert time.monotonic() - started > 0.2


def test_a_commit_whose_answer_is_lost_was_made(hub, api, repo):
    hub.cut_download("/commit/", after_bytes=0)
    with pytest.raises(Exception, match="peer closed connection"):
        api.upload_file(repo_id=REPO, path_or_fileobj=b"1", path_in_repo="one.txt")
    assert repo.files()["one.txt"] == b"1"


def test_a_cut_download_goes_on_where_it_was(hub, api, repo, folder, waits, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB else; an incomplete chunk is requested again
    api.upload_folder(repo_id=REPO, folder_path=folder)
    oid = repo.head.tree["model.safetensors"].oid
    hub.cut_download(f"/storage/{oid}", after_bytes=1234)
    snapshot_download(REPO, endpoint=hub.url, token="hf_good", local_dir=tmp_path / "back")
    assert read(tmp_path / "back") == repo.files() and waits == [1]
    gets = [r for r in hub.received if r.method == "GET" and oid in r.path]
    assert [request.headers.get("Range") for request in gets] == [None, "bytes=1000-"]


def test_requests_that_no_client_should_make_are_refused_and_noted(hub, repo):
    def post(lines):
        url, auth = f"{hub.url}/api/models/{REPO}/commit/main", {"Authorization": "Bearer hf_good"}
        body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        return (
            get_session().post(url, content=body, headers={**auth, "Content-Type": "application/x-ndjson"}).status_code
        )

    header = {"key": "header", "value": {"summary": "s"}}
    good = {"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}}
    lfs = {"path": "a.safetensors", "algo": "sha256", "oid": "0" * 64, "size": 3}
    assert post([header, good, {"key": "lfsFile", "value": lfs}]) == 422  # the object was never uploaded
    assert post([header, good, {"key": "file", "value": {**good["value"], "path": "../a"}}]) == 400
    assert post([header, good, "{"]) == post([good]) == post([header]) == 400
    assert sorted(repo.files()) == [".gitattributes"] and len(repo.commits) == 1
    assert post([header, good]) == 200

    assert get_session().get(f"{hub.url}/api/datasets/{REPO}").status_code == 404
    assert get_session().put(f"{hub.storage_url}/storage/{'0' * 64}", content=b"abc").status_code == 403
    assert hub.unknown == [("GET", f"/api/datasets/{REPO}")] and hub.repos[REPO].head.tree.keys() == {
        ".gitattributes",
        "a.txt",
    }


def test_a_secret_is_found_however_it_was_sent(hub, api, repo, tmp_path):
    secret, other = b"canary-1234567", b"canary-absent"
    files = {"a.txt": b"#" + secret, "b.safetensors": b"##" * 600 + secret, "c.safetensors": secret}
    hub.fail("POST", "/commit/", 503)
    status_of(lambda: api.upload_folder(repo_id=REPO, folder_path=write(tmp_path / "folder", files)))
    kinds = {line.split("/")[1] if "PUT" in line else line.split("/")[-2] for line in hub.saw(secret)}
    assert kinds == {"preupload", "storage", "commit"}
    assert hub.saw(other) == [] and hub.saw(b"hf_good") == []


def test_a_client_killed_at_a_request_leaves_no_commit(hub, api, repo, folder, tmp_path):
    program = "import sys, huggingface_hub as h; h.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2])"
    environment = {**os.environ, **hub.environment(tmp_path / "home", token="hf_good")}
    hub.on_request = lambda method, path: method == "PUT" and (child.kill(), child.wait())
    child = subprocess.Popen(
        [sys.executable, "-c", program, REPO, str(folder)], env=environment, stderr=subprocess.DEVNULL
    )
    assert child.wait(timeout=60) == -9
    assert hub.asked("PUT") and not hub.asked("POST", "/commit/") and len(repo.commits) == 1

    hub.on_request = None
    api.upload_folder(repo_id=REPO, folder_path=folder)
    assert without_attributes(repo.files()) == FILES and hub.unknown == []
