"""Remotes: folders of files elsewhere, on a web server or at Hugging Face.

What they send is a stranger's: it is written to a file of at most so many bytes, and
not read before its hash is checked (`kerasgen.hub`).
"""

import contextlib
import dataclasses
import errno
import functools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from kerasgen.errors import InputError, RunError, one_line
from kerasgen.extras import need
from kerasgen.files import MEBIBYTE

CONNECT, SILENCE = 10.0, 20.0  # seconds until a server answers, and between two bytes
SLOWEST, WINDOW = 1000, 30.0  # bytes a second that must come, over so many seconds
TRIES = 20  # of a file whose connection is cut, each from where the last one ended

Advanced = Callable[[int, int | None], None]  # bytes there are, of how many


class Unreachable(RunError):
    """A remote that doesn't answer, or not as it should, and may do so later."""


def remote(address: str) -> "Web | HuggingFace":
    """The folder of an address: `https://…`, `http://…`, `hf://ORG/REPO[@REVISION]`.

    Raises:
        InputError: for another one.
    """
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?/?", address)
    if found:
        return HuggingFace(*found.groups())
    parts = urlsplit(address)
    if parts.scheme in ("https", "http") and parts.hostname:
        return Web(urlunsplit(parts._replace(path=parts.path.rstrip("/"))))
    raise InputError(
        f"{address} is no address of models: give https://… or hf://ORG/REPO[@REVISION]"
    )


@dataclasses.dataclass(frozen=True)
class Web:
    """A folder that a web server has.

    Args:
        url: its address.
    """

    url: str

    def __str__(self) -> str:
        return _shown(self.url)

    @functools.cached_property
    def _session(self):
        return _session()  # one connection for all files

    @property
    def name(self) -> str:
        """The last part of its address."""
        return urlsplit(self.url).path.rpartition("/")[2] or urlsplit(self.url).hostname

    def fetch(self, name: str, path: Path, most: int, advanced: Advanced) -> None:
        """Write a file to `path`, after its beginning if that is there already.

        Args:
            name: of the file, with slashes.
            path: where it goes.
            most: bytes that it may have.
            advanced: is told how far it is.
        Raises:
            InputError: if there is none.
            RunError: if it can't be had now, or has more bytes.
        """
        import requests
        import urllib3

        for tries in range(TRIES):
            before = _size(path)
            try:
                return self._receive(name, path, most, advanced)
            except requests.RequestException as error:
                failed = error
            except (urllib3.exceptions.HTTPError, ConnectionError) as error:
                failed = error
            if _size(path) <= before or tries == TRIES - 1:
                raise Unreachable(f"{self}/{name}: {_why(failed)}") from failed

    def _receive(self, name, path, most, advanced) -> None:
        """Ask once for what is missing of a file."""
        start = _size(path)
        headers = {"Accept-Encoding": "identity"}  # or sizes are of something else
        if start:
            headers["Range"] = f"bytes={start}-"
        parts = urlsplit(self.url)
        url = urlunsplit(parts._replace(path=f"{parts.path}/{quote(name)}"))
        timeout = CONNECT, SILENCE
        with self._session.get(
            url, headers=headers, stream=True, timeout=timeout
        ) as response:
            if start and response.status_code == 416:  # there is no more of it
                return
            _require_success(f"{self}/{name}", response.status_code)
            if response.status_code != 206:
                start = 0
            elif not response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            ):
                raise Unreachable(f"{self}/{name}: another part came than was asked")
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            with open(path, "ab" if start else "wb") as file:
                for count in _received(response.raw, file, start, f"{self}/{name}"):
                    advanced(count, total)
                    if max(count, total or 0) > most:
                        raise RunError(
                            f"{self}/{name} is refused: it has more than {most:,} "
                            "bytes, the most that it may have"
                        )


def _received(raw, file, count: int, what: str):
    """Write what comes to a file; after each part, and first, -> bytes there are."""
    since, mark = time.monotonic(), count
    yield count
    while part := raw.read1(MEBIBYTE):
        file.write(part)
        count += len(part)
        yield count
        if time.monotonic() > since + WINDOW:
            if count - mark < SLOWEST * WINDOW:
                raise Unreachable(f"{what}: it comes too slowly")
            since, mark = time.monotonic(), count


def _session():
    import requests

    class Session(requests.Session):
        """One that isn't sent from https to http, nor to anything else."""

        def get_redirect_target(self, response):
            target = super().get_redirect_target(response)
            if target is not None:
                here = urlsplit(response.url).scheme
                there = urlsplit(urljoin(response.url, target)).scheme
                if there not in ("https", here):
                    what = f"{_shown(response.url)} is refused"
                    raise RunError(f"{what}: it leads from {here} to {there}")
            return target

    return Session()


def _shown(url: str) -> str:
    """An address without what may be secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))


def _require_success(what: str, status: int) -> None:
    if status in (404, 410):
        raise InputError(f"{what}: there is no such file ({status})")
    if status in (408, 429) or status >= 500:
        raise Unreachable(f"{what}: the server answers {status}; try again later")
    if status not in (200, 206):
        raise InputError(f"{what}: the server refuses it ({status})")


def _why(error: Exception) -> str:
    """What is the matter, in few words: requests tells it in many."""
    import requests

    reasons = {
        requests.exceptions.SSLError: "its certificate can't be trusted",
        requests.Timeout: f"no answer in {SILENCE:g} seconds",
        requests.exceptions.InvalidURL: "that is no address",
        requests.exceptions.ProxyError: "the proxy can't be reached",
        requests.TooManyRedirects: "it leads from one address to another without end",
        requests.ConnectionError: "the server can't be reached",
        requests.RequestException: one_line(str(error)),
    }
    found = [why for kind, why in reasons.items() if isinstance(error, kind)]
    return [*found, "the connection was cut"][0]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """A repository of models at Hugging Face, or at `HF_ENDPOINT`.

    Its own client asks, which knows tokens, mirrors and its stores. Files don't stay in
    that client's cache, where they are links and unchecked, but come to ours.

    Args:
        repo: "ORG/REPO".
        revision: a branch, tag or commit; None: its main one.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def name(self) -> str:
        """That of the repository."""
        return self.repo.rpartition("/")[2]

    def fetch(self, name: str, path: Path, most: int, advanced: Advanced) -> None:
        """As `Web.fetch`; what is there already, the client keeps beside `path`."""
        with _client_errors(f"{self}/{name}"):
            sizes, commit = self._listing
            if name not in sizes:
                raise InputError(f"{self}/{name}: there is no such file")
            if (sizes[name] or 0) > most:
                raise RunError(
                    f"{self}/{name} is refused: it has more than {most:,} bytes, the "
                    "most that it may have"
                )
            kept = path.with_suffix(".hf")
            _client().hf_hub_download(
                self.repo,
                name,
                revision=commit,
                local_dir=kept,
                etag_timeout=CONNECT,
                tqdm_class=_bar(advanced, sizes[name]),
            )
            os.replace(kept / name, path)
            shutil.rmtree(kept)

    @functools.cached_property
    def _listing(self) -> tuple[dict[str, int | None], str]:
        """The sizes of all files, and the commit that has them."""
        about = (
            _client()
            .HfApi()
            .model_info(
                self.repo, revision=self.revision, timeout=CONNECT, files_metadata=True
            )
        )
        return {file.rfilename: file.size for file in about.siblings or ()}, about.sha

    def send(self, folder: Path, names: Sequence[str], title: str) -> None:
        """Make the repository, if there is none, and a commit of files to it.

        Args:
            folder: where the files are.
            names: theirs, with slashes.
            title: of the commit.
        Raises:
            InputError: if that isn't allowed.
            RunError: if it can't be done now.
        """
        with _client_errors(str(self)):
            add, api = _client().CommitOperationAdd, _client().HfApi()
            api.create_repo(self.repo, exist_ok=True)
            files = [add(path_in_repo=n, path_or_fileobj=folder / n) for n in names]
            api.create_commit(
                self.repo, files, commit_message=title, revision=self.revision
            )


def _client():
    """huggingface_hub, which only says what stops it."""
    need("hub")
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()
    return huggingface_hub


@contextlib.contextmanager
def _client_errors(what: str) -> Iterator[None]:
    """The client's errors, of which it has many kinds, as ours."""
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
            raise  # ours
        response = getattr(error, "response", None)
        if response is not None:
            _require_success(what, response.status_code)
        if isinstance(error, ValueError) and response is None:  # names and revisions
            raise InputError(f"{what}: {one_line(str(error))[:300]}") from error
        line = one_line(f"{type(error).__name__}: {error}")[:300]
        raise Unreachable(f"{what} can't be reached: {line}") from error


def _bar(advanced: Advanced, total: int | None) -> type:
    """What the client moves in place of a bar of its own."""

    class Bar(_client().utils.tqdm):
        def __init__(self, *args, initial=0, **kwargs):
            super().__init__(*args, **kwargs | {"disable": True})
            self.count = initial

        def update(self, n=1):
            self.count += int(n)
            advanced(self.count, total)

    return Bar
