"""What a Hub keeps: accounts, repositories with their commits, and the large objects (LFS) that the commits point to.

No HTTP here: `hub_server` reads requests, calls these methods and turns a `Refusal` into an error response. What is
left out, because no caller needs it: branches and tags, pull requests, `.gitignore`, data sets and spaces.
"""

import base64
import fnmatch
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

# The files that every new repository of the Hub keeps as LFS, by its first .gitattributes.
LFS_PATTERNS = """
    *.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz *.onnx *.ot
    *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm
    *.xz *.zip *.zst *tfevents*
"""
LFS_LINE = "{pattern} filter=lfs diff=lfs merge=lfs -text\n"
LARGEST_REGULAR_FILE = 10 * 1024 * 1024


class Refusal(Exception):
    """An error response. `code` is X-Error-Code: from it the client picks the class of the exception it raises."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}


@dataclass
class Accounts:
    """Who a request comes from and what it may do. `authorization` is the header of that name, or None."""

    tokens: Mapping[str, str]
    orgs: Mapping[str, Collection[str]]
    read_only: Collection[str]

    def user(self, authorization: str | None) -> str | None:
        if authorization is None:
            return None
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return user

    def signed_in(self, authorization: str | None) -> str:
        user = self.user(authorization)
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        return user

    def owns(self, user: str | None, namespace: str) -> bool:
        return user is not None and (user == namespace or user in self.orgs.get(namespace, ()))

    def role(self, authorization: str) -> str:
        return "read" if authorization.removeprefix("Bearer ") in self.read_only else "write"

    def may_write(self, authorization: str, namespace: str) -> bool:
        return self.owns(self.user(authorization), namespace) and self.role(authorization) == "write"

    def whoami(self, authorization: str | None) -> dict:
        user = self.signed_in(authorization)
        orgs = [{"type": "org", "name": org, "roleInOrg": "write"} for org in self.orgs if self.owns(user, org)]
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": self.role(authorization or "")}}
        return {"type": "user", "id": user, "name": user, "fullname": user, "orgs": orgs, "auth": token}


@dataclass(frozen=True)
class Blob:
    """One version of one file. git itself keeps only a pointer of an LFS file; `data` is always the file."""

    data: bytes = field(repr=False)
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def git_oid(self) -> str:
        content = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def oid(self) -> str:
        """What the client compares with its own file to leave an unchanged one out of a commit."""
        return self.sha256 if self.lfs else self.git_oid

    def listed(self, sha256_key: str) -> dict:
        """The `lfs` entry of a listing; its key for the hash is `oid` in a tree and `sha256` among siblings."""
        if not self.lfs:
            return {}
        return {"lfs": {sha256_key: self.sha256, "size": len(self.data), "pointerSize": len(self.pointer)}}


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    description: str
    parent: str | None
    author: str
    date: str
    tree: dict[str, Blob]  # every file, not only those that changed

    def folders(self) -> set[str]:
        parts = [path.split("/")[:-1] for path in self.tree]
        return {"/".join(folders[: n + 1]) for folders in parts for n in range(len(folders))}


@dataclass
class LfsStore:
    """Objects by their sha256. One is in `objects` only when all of it came and its size and hash are right."""

    objects: dict[str, bytes] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)  # sizes that clients named when they asked where to upload
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def put(self, oid: str, data: bytes) -> None:
        if len(data) != self.promised.get(oid) or hashlib.sha256(data).hexdigest() != oid:
            raise Refusal(400, f"{len(data)} bytes do not make the object {oid} of {self.promised.get(oid)} bytes.")
        self.objects[oid] = data

    def put_part(self, oid: str, number: int, data: bytes) -> str:
        self.parts.setdefault(oid, {})[number] = data
        return self.part_etag(data)

    def complete(self, oid: str, listed: list[dict]) -> None:
        parts = self.parts.get(oid, {})
        expected = [{"partNumber": n, "etag": self.part_etag(parts[n])} for n in sorted(parts)]
        if listed != expected:
            raise Refusal(400, f"The parts listed for {oid} are not the parts received.")
        self.put(oid, b"".join(parts[n] for n in sorted(parts)))
        del self.parts[oid]

    @staticmethod
    def part_etag(data: bytes) -> str:
        return f'"{hashlib.md5(data).hexdigest()}"'

    def require(self, oid: str, size: int | None) -> bytes:
        """The object, which must be there; the commit of a copied file names no size."""
        data = self.objects.get(oid)
        if data is None or size not in (None, len(data)):
            raise Refusal(
                422, f"Your push was rejected because an LFS pointer pointed to a file that does not exist: {oid}"
            )
        return data


@dataclass
class Repo:
    id: str
    private: bool = False
    commits: list[Commit] = field(default_factory=list)  # oldest first; the first is the Hub's own

    def __post_init__(self):
        attributes = "".join(LFS_LINE.format(pattern=pattern) for pattern in LFS_PATTERNS.split())
        self._append({".gitattributes": Blob(attributes.encode())}, "initial commit", "", "system")

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def files(self) -> dict[str, bytes]:
        """Every file at head, whole."""
        return {path: blob.data for path, blob in self.head.tree.items()}

    def at(self, revision: str) -> Commit:
        if revision == "main":
            return self.head
        for commit in self.commits:
            if commit.sha == revision:
                return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def is_lfs(self, path: str, size: int, sample: bytes) -> bool:
        """Whether this file must come as an LFS object: by .gitattributes, by its size, or because it is not text."""
        if size == 0:  # the client sends these as regular whatever the server answers
            return False
        return self._tracked(path) or size > LARGEST_REGULAR_FILE or b"\0" in sample

    def _tracked(self, path: str, tree: dict[str, Blob] | None = None) -> bool:
        attributes = (tree or self.head.tree).get(".gitattributes", Blob(b"")).data.decode()
        patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
        return any(fnmatch.fnmatchcase(path if "/" in p else path.rsplit("/", 1)[-1], p) for p in patterns)

    def commit(self, revision: str, body: bytes, author: str, store: LfsStore) -> Commit:
        """One commit from the NDJSON of the client. It is made whole or not at all: `tree` is a copy until the end."""
        if revision != "main":
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        tree = dict(self.head.tree)
        try:
            header, *operations = [json.loads(line) for line in body.splitlines()]
            if header["key"] != "header" or not header["value"]["summary"] or not operations:
                raise ValueError("a header with a summary and at least one operation are needed")
            self._check_parent(header["value"].get("parentCommit"))
            for operation in operations:
                OPERATIONS[operation["key"]](self, tree, store, **operation["value"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(400, f"Malformed commit: {error!r}") from error
        return self._append(tree, header["value"]["summary"], header["value"].get("description", ""), author)

    def _check_parent(self, parent: str | None) -> None:
        if parent is not None and not self.head.sha.startswith(parent):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")

    def _add_regular(self, tree: dict, store: LfsStore, path: str, content: str, encoding: str) -> None:
        if encoding != "base64":
            raise ValueError(f"encoding {encoding}")
        data = base64.b64decode(content, validate=True)
        if self.is_lfs(path, len(data), data[:512]):
            raise ValueError(f"{path} must be uploaded as LFS")
        tree[_safe(path)] = Blob(data)

    def _add_lfs(self, tree: dict, store: LfsStore, path: str, algo: str, oid: str, size: int | None = None) -> None:
        if algo != "sha256":
            raise ValueError(f"algo {algo}")
        tree[_safe(path)] = Blob(store.require(oid, size), lfs=True)
        if not self._tracked(path, tree):  # the Hub tracks by name what came as LFS for its size
            attributes = tree.get(".gitattributes", Blob(b"")).data
            tree[".gitattributes"] = Blob(attributes + LFS_LINE.format(pattern=path).encode())

    def _delete_file(self, tree: dict, store: LfsStore, path: str) -> None:
        if path not in tree:  # these words are what the client looks for
            raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        del tree[path]

    def _delete_folder(self, tree: dict, store: LfsStore, path: str) -> None:
        inside = [file for file in tree if file.startswith(path.rstrip("/") + "/")]
        if not inside:
            raise Refusal(404, f"A folder with this name doesn't exist: {path}", "EntryNotFound")
        for file in inside:
            del tree[file]

    def _append(self, tree: dict[str, Blob], title: str, description: str, author: str) -> Commit:
        parent = self.commits[-1].sha if self.commits else None
        identity = json.dumps(
            [self.id, parent, title, description, {path: blob.git_oid for path, blob in tree.items()}]
        )
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        commit = Commit(hashlib.sha1(identity.encode()).hexdigest(), title, description, parent, author, date, tree)
        self.commits.append(commit)
        return commit

    def info(self, commit: Commit, blobs: bool) -> dict:
        def sibling(path: str, blob: Blob) -> dict:
            if not blobs:
                return {"rfilename": path}
            return {"rfilename": path, "blobId": blob.git_oid, "size": len(blob.data), **blob.listed("sha256")}

        names = {"id": self.id, "modelId": self.id, "author": self.id.split("/")[0], "sha": commit.sha}
        dates = {"createdAt": self.commits[0].date, "lastModified": self.head.date}
        flags = {"private": self.private, "disabled": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
        return {**names, **dates, **flags, "siblings": [sibling(*item) for item in sorted(commit.tree.items())]}

    def listing(self, commit: Commit, paths: Iterable[str]) -> list[dict]:
        """Tree entries of these files and folders; a path that is neither is left out."""
        entries = []
        for path in sorted(paths):
            if blob := commit.tree.get(path):
                entry = {"type": "file", "oid": blob.git_oid, "size": len(blob.data), "path": path}
                entries.append({**entry, **blob.listed("oid")})
            elif path in commit.folders():
                entries.append(
                    {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
                )
        return entries


OPERATIONS = {
    "file": Repo._add_regular,
    "lfsFile": Repo._add_lfs,
    "deletedFile": Repo._delete_file,
    "deletedFolder": Repo._delete_folder,
}


def _safe(path: str) -> str:
    if path.startswith("/") or not path or {"", ".", "..", ".git"} & set(path.split("/")):
        raise ValueError(f"path {path!r}")
    return path
