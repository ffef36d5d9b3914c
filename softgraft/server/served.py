"""The domains that a server answers for: each stays open while it is used, and a new version replaces it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from softgraft.domain import Domain, open_domain
from softgraft.errors import KNOWN, UnknownDomainError, UsageError
from softgraft.server.callers import current_caller
from softgraft.server.loading.versions import State, domain_state
from softgraft.server.loading.warm_up import warm_up
from softgraft.settings.domain_file import FILE, read_domain_file
from softgraft.settings.location import DOMAINS, domain_folder

_log = logging.getLogger("softgraft.server")
# A change younger than this may be one of several that belong together.
SETTLED_SECONDS = 1.0


class ServedDomains:
    """Domains by name. Thread-safe.

    `open` yields the current version of a domain and keeps it open until its last user has left. A version that was
    trained or ingested anew serves all later users; the check costs a few calls of `stat`, once per second at most.

    Args:
        folders: name of each domain, and its folder.
        check_seconds: minimum time between two checks for a new version.
        on_loaded: called when all domains are loaded (`preload`), and after each new version.
    """

    def __init__(
        self, folders: Mapping[str, Path], *, check_seconds: float = 1.0, on_loaded: Callable[[], None] = lambda: None
    ) -> None:
        self._on_loaded = on_loaded
        self._closed = False
        self._entries = {name: _Entry(name, folder, check_seconds, on_loaded) for name, folder in folders.items()}

    @property
    def count(self) -> int:
        """Number of all domains, whoever may use them."""
        return len(self._entries)

    def names(self) -> list[str]:
        """The domains that the current caller may use."""
        caller = current_caller()
        return [name for name in self._entries if caller.may_use(name)]

    @contextmanager
    def open(self, name: str, *, load: bool = False) -> Iterator[Domain]:
        """The current version of a domain; it stays open in this context.

        Reading documents and conversations needs no model. With `load`, the chain is ready (`domain.chain`), which
        takes seconds at the first time; use `aopen` for that in a coroutine.

        Raises:
            UnknownDomainError: if there is no such domain, or the caller may not use it.
            DomainError: if domain.yaml has problems.
        """
        version = self._entry(name).enter(load=load)
        try:
            yield version.domain
        finally:
            version.leave()

    @asynccontextmanager
    async def aopen(self, name: str, *, load: bool = True) -> AsyncIterator[Domain]:
        """As `open`, without blocking the event loop."""
        entering = asyncio.ensure_future(asyncio.to_thread(self._entry(name).enter, load=load))
        try:
            version = await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The thread goes on, and enters for nobody.
            entering.add_done_callback(_leave_at_once)
            raise
        try:
            yield version.domain
        finally:
            version.leave()

    def problems(self) -> dict[str, str]:
        """Domains that cannot be loaded, or whose newest version cannot, with the reason."""
        reasons = {name: entry.load_problem or entry.version_problem for name, entry in self._entries.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    @property
    def usable(self) -> int:
        """Number of domains that answer, possibly with an earlier version."""
        return sum(not entry.load_problem for entry in self._entries.values())

    def preload(self) -> None:
        """Load all domains and warm them up, so that no caller has to wait for it.

        A domain that cannot be loaded becomes a problem, until it answers a question. After `close`, no further domain
        is loaded.
        """
        for entry in self._entries.values():
            if self._closed:
                return
            try:
                version = entry.enter(load=True)
                try:
                    warm_up(version.domain)
                finally:
                    version.leave()
            except Exception as error:  # noqa: BLE001 the other domains are served all the same
                entry.load_problem = _reason(error)
                _log_problem(f"domain {entry.name} is not ready", error)
        self._on_loaded()

    def close(self) -> None:
        """Close the domains, each as soon as its last user has left."""
        self._closed = True
        for entry in self._entries.values():
            entry.retire()

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None or not current_caller().may_use(name):
            raise UnknownDomainError(
                found=f"no domain {name!r} on this server",
                expected=f"one of {', '.join(self.names()) or 'no domains for this key'}",
                next_step="list them: GET /v1/models",
            )
        return entry


class _Version:
    """An open domain and the number of its users."""

    def __init__(self, domain: Domain, state: State) -> None:
        self.domain = domain
        self.state = state
        self._users = 0
        self._retired = False
        self._guard = threading.Lock()
        self._loading = threading.Lock()

    def join(self) -> bool:
        """Count one user more; False if the version was closed meanwhile."""
        with self._guard:
            if self._retired and not self._users:
                return False
            self._users += 1
            return True

    def leave(self) -> None:
        with self._guard:
            self._users -= 1
            close = self._retired and not self._users
        if close:
            self.domain.close()

    def retire(self) -> None:
        with self._guard:
            close = not self._retired and not self._users
            self._retired = True
        if close:
            self.domain.close()

    def load(self) -> None:
        # Two threads at once would make two chains.
        with self._loading:
            _ = self.domain.chain


class _Entry:
    """A served domain: its current version, and the search for a newer one."""

    def __init__(self, name: str, folder: Path, check_seconds: float, on_loaded: Callable[[], None]) -> None:
        self.name = name
        self._on_loaded = on_loaded
        # Why the newest version is not used, and why the current one cannot be loaded.
        self.version_problem = ""
        self.load_problem = ""
        self._folder = folder
        self._check_seconds = check_seconds
        self._guard = threading.Lock()
        self._opening = threading.Lock()
        self._current: _Version | None = None
        self._checked = 0.0
        # A state that could not be opened is not tried again.
        self._failed: State | None = None
        self._pending: State | None = None
        self._loaded = False

    def enter(self, *, load: bool) -> _Version:
        """Join the current version; it has to be left again."""
        while True:
            version = self._newest()
            if version.join():
                break
        if load:
            try:
                version.load()
                self.load_problem, self._loaded = "", True
            except BaseException as error:
                version.leave()
                if isinstance(error, Exception):
                    self.load_problem = _reason(error)
                raise
        return version

    def retire(self) -> None:
        with self._guard:
            version, self._current = self._current, None
        if version is not None:
            version.retire()

    def _newest(self) -> _Version:
        with self._guard:
            version = self._current
            if version is not None and time.monotonic() - self._checked < self._check_seconds:
                return version
            self._checked = time.monotonic()
        if version is None:
            with self._opening:
                return self._current or self._replace(self._first())
        state = domain_state(version.domain)
        # One thread opens the new version; the others go on with the old one.
        if state != version.state and self._has_settled(state, version.state) and self._opening.acquire(blocking=False):
            try:
                return self._reopened(version, state)
            finally:
                self._opening.release()
        return version

    def _first(self) -> _Version:
        try:
            version = self._open()
        except Exception as error:
            self.load_problem = _reason(error)
            raise
        self.load_problem = ""
        return version

    def _open(self) -> _Version:
        domain = open_domain(self._folder)
        return _Version(domain, domain_state(domain))

    def _reopened(self, version: _Version, state: State) -> _Version:
        try:
            newer = self._open()
            try:
                if self._loaded:
                    newer.load()
            except BaseException:
                newer.retire()
                raise
        except Exception as error:  # noqa: BLE001 the version before answers all the same
            self._failed, self.version_problem = state, _reason(error)
            _log_problem(f"domain {self.name} keeps its version, the new one cannot be opened", error)
            return version
        self.version_problem = ""
        _log.info("domain %s has a new version", self.name)
        self._replace(newer)
        self._on_loaded()
        return newer

    def _replace(self, version: _Version) -> _Version:
        with self._guard:
            before, self._current = self._current, version
        if before is not None:
            before.retire()
        return version

    def _has_settled(self, state: State, before: State) -> bool:
        if state == self._failed:
            return False
        newest = max((changed for _, _, changed, _ in set(state) - set(before)), default=0) / 1e9
        # The second sight counts too: the clock of a file server may be ahead of ours.
        settled = time.time() - newest >= SETTLED_SECONDS or state == self._pending
        self._pending = state
        return settled


def served_folders(names: Sequence[str]) -> dict[str, Path]:
    """Name and folder of each domain to serve; without names, of all domains under domains/ that answer questions.

    Raises:
        DomainError: if a domain does not exist, or its domain.yaml has problems.
        UsageError: if there is no domain, two have the same name, or one has a task without questions.
    """
    folders: dict[str, Path] = {}
    given = [domain_folder(name) for name in names] or sorted(file.parent for file in DOMAINS.glob(f"*/{FILE}"))
    for folder in given:
        task = read_domain_file(folder).text_task
        name = folder.resolve().name
        if task is not None and names:
            raise UsageError(
                found=f"the task of {folder} is {task}",
                expected="domains with `task: chat` or `extractive-qa`",
                next_step=f"serve the others; for this one run: softgraft ask {name} TEXT",
            )
        if name in folders and folders[name].resolve() != folder.resolve():
            raise UsageError(
                found=f"two domains with the name {name}: {folders[name]} and {folder}",
                expected="domains whose folders have different names",
                next_step="rename one of the folders, or start a server for each",
            )
        if task is None:
            folders[name] = folder
    if not folders:
        raise UsageError(
            found=f"no domain that answers questions under {DOMAINS}/",
            expected="a domain to serve",
            next_step="make one: softgraft new NAME --from FOLDER",
        )
    return folders


def _reason(error: Exception) -> str:
    """The reason in one line; of a bug, its class as well."""
    text = " ".join(str(error).split())
    return text if isinstance(error, KNOWN) else f"{type(error).__name__}: {text}"


def _log_problem(what: str, error: Exception) -> None:
    """A line for an error of ours, a traceback for a bug."""
    if isinstance(error, KNOWN):
        _log.warning("%s: %s", what, _reason(error))
    else:
        _log.error("%s", what, exc_info=error)


def _leave_at_once(entering: asyncio.Future[_Version]) -> None:
    if not entering.cancelled() and entering.exception() is None:
        entering.result().leave()
