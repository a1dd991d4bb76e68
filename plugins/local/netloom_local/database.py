"""The store file: one SQLite database in WAL mode that several agents of one machine share.

Every change takes the next *revision* of the whole store. A deleted key leaves a *tombstone* (a row without value),
so that whoever asks "what changed since revision N" hears of it; tombstones older than HISTORY revisions are
removed, and who comes later than that is given everything anew. A store file has a *generation*, a random name:
when it differs, the file was replaced and revisions mean nothing any more.

All methods block, and are called from one thread.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from netloom.model.errors import Invalid, StoreError
from netloom.plugins import Entry

APPLICATION_ID = 0x4C4F4F4D
"""``LOOM`` in the file's header: nobody else's database is touched."""
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 3.0
"""How long to wait for another writer; below the default hooks.timeout_s, so that the caller hears why."""
HISTORY = 10_000
"""Revisions for which deletions are remembered."""
LAST_CODE_POINT = chr(0x10FFFF)

_SCHEMA = (
    "CREATE TABLE store (generation TEXT NOT NULL, revision INTEGER NOT NULL)",
    "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX entries_by_revision ON entries (revision)",
    "CREATE INDEX tombstones ON entries (revision) WHERE value IS NULL",
    "INSERT INTO store VALUES (lower(hex(randomblob(8))), 0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_HINTS = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {BUSY_TIMEOUT_S:g} s: see who with `fuser -v`",
    sqlite3.SQLITE_READONLY: "it is read-only: give the agent write access to the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "give the agent write access to its directory",
    sqlite3.SQLITE_IOERR: "the disk failed: see the kernel's log",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restart an agent, which sets it aside and begins a new one",
    sqlite3.SQLITE_NOTADB: "it is damaged: restart an agent, which sets it aside and begins a new one",
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has followed the store."""

    generation: str
    revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What there is to tell since a cursor."""

    cursor: Cursor
    """Where to go on."""
    whole: bool
    """Whether ``entries`` are everything there is, so that what is missing is gone."""
    entries: tuple[Entry, ...]
    deleted: tuple[str, ...]


def upper_bound(prefix: str) -> str | None:
    """The least text above every text that begins with ``prefix``; None when there is none.

    SQLite compares text by its UTF-8 bytes, which is the order of code points.
    """
    head = prefix.rstrip(LAST_CODE_POINT)
    if not head:
        return None
    following = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


class Database:
    """One process's hold on the store file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_path = path.with_name(path.name + ".lock")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def open(self) -> None:
        """Open the file, made if need be. A damaged file is set aside first. Raises StoreError."""
        with self._translated("opened"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._exclusive():
                try:
                    self._connect()
                except sqlite3.DatabaseError as error:
                    if _primary_code(error) not in _DAMAGED:
                        raise
                    self._set_aside(error)
                    self._connect()

    def close(self) -> None:
        """Let go of the file; no error when it is not open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        with self._opened("read") as connection:
            row = connection.execute(
                "SELECT key, value, revision FROM entries WHERE key = ? AND value IS NOT NULL", (key,)
            ).fetchone()
        return Entry(*row) if row else None

    def items(self, prefix: str) -> tuple[Entry, ...]:
        """Entries whose key begins with ``prefix``, by key."""
        with self._opened("read") as connection:
            return _live(connection, prefix)

    def put(self, key: str, value: bytes) -> int:
        """Write; returns the new revision."""
        with self._opened("written") as connection, _transaction(connection):
            return _write(connection, key, value)

    def put_all(self, values: Mapping[str, bytes]) -> bool:
        """Write all or none; says whether there was something to write."""
        with self._opened("written") as connection, _transaction(connection):
            for key, value in values.items():
                _write(connection, key, value)
            return bool(values)

    def compare_and_swap(self, key: str, expected_revision: int, value: bytes) -> bool:
        """Write if the key is at that revision (0: does not exist); says whether it did."""
        with self._opened("written") as connection, _transaction(connection):
            row = connection.execute(
                "SELECT revision FROM entries WHERE key = ? AND value IS NOT NULL", (key,)
            ).fetchone()
            if (row[0] if row else 0) != expected_revision:
                return False
            _write(connection, key, value)
            return True

    def delete(self, key: str) -> bool:
        """Remove; says whether there was something."""
        with self._opened("written") as connection, _transaction(connection):
            query = "SELECT 1 FROM entries WHERE key = ? AND value IS NOT NULL"
            if connection.execute(query, (key,)).fetchone() is None:
                return False
            revision = _write(connection, key, None)
            connection.execute("DELETE FROM entries WHERE value IS NULL AND revision <= ?", (revision - HISTORY,))
            return True

    def changes(self, prefix: str, since: Cursor | None) -> Changes:
        """What happened below ``prefix`` since the cursor; everything when that cannot be told."""
        with self._opened("read") as connection, _transaction(connection, "BEGIN"):
            now = Cursor(*connection.execute("SELECT generation, revision FROM store").fetchone())
            if since is None or since.generation != now.generation or now.revision - since.revision > HISTORY:
                return Changes(now, whole=True, entries=_live(connection, prefix), deleted=())
            if since == now:
                return Changes(now, whole=False, entries=(), deleted=())
            rows = connection.execute(
                "SELECT key, value, revision FROM entries INDEXED BY entries_by_revision WHERE revision > ?"
                " ORDER BY revision",
                (since.revision,),
            ).fetchall()
        changed = [Entry(*row) for row in rows if row[0].startswith(prefix)]
        return Changes(
            now,
            whole=False,
            entries=tuple(entry for entry in changed if entry.value is not None),
            deleted=tuple(entry.key for entry in changed if entry.value is None),
        )

    @contextmanager
    def _opened(self, done: str) -> Iterator[sqlite3.Connection]:
        """The connection to the file that stands now; failures become StoreErrors."""
        with self._translated(done):
            yield self._follow_file()

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = _HINTS.get(_primary_code(error), "see the path and its permissions")
            raise StoreError(f"store {self.path} cannot be {done}: {error}; {hint}") from error
        except UnicodeEncodeError as error:
            raise Invalid(f"key {error.object!r:.80} cannot be kept in the store: {error.reason}") from error
        except OSError as error:
            where = error.filename or self.path
            raise StoreError(f"store {self.path} cannot be {done}: {where}: {error.strerror}") from error

    def _follow_file(self) -> sqlite3.Connection:
        """Open anew when the file at the path is not the one that is open: another agent set it aside."""
        if self._connection is None:
            raise StoreError(f"store {self.path} is not open")
        try:
            found = self.path.stat().st_ino
        except FileNotFoundError:
            found = 0
        if found != self._inode:
            structlog.get_logger().warning("store.replaced", path=str(self.path))
            self.close()
            self.open()
        return self._connection

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock under which a file is made, or set aside."""
        fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _connect(self) -> None:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._inode = self.path.stat().st_ino

    def _prepare(self, connection: sqlite3.Connection) -> None:
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and found != [APPLICATION_ID, SCHEMA_VERSION]:
            whose = f"version {found[1]}" if found[0] == APPLICATION_ID else "somebody else's database"
            raise StoreError(
                f"store {self.path} is {whose}, expected a store of version {SCHEMA_VERSION}; give another path"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit survives the agent, not a power cut: after a boot every agent publishes anew anyway.
        connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            with _transaction(connection):
                for statement in _SCHEMA:
                    connection.execute(statement)
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise _damaged(verdict)

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"
        kept = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
        structlog.get_logger().warning("store.set_aside", path=str(self.path), kept=str(kept), error=str(error))


def _damaged(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """All or nothing. Writers begin IMMEDIATE, so that none finds at its end that it may not write."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _write(connection: sqlite3.Connection, key: str, value: bytes | None) -> int:
    query = "UPDATE store SET revision = revision + 1 RETURNING revision"
    ((revision,),) = connection.execute(query).fetchall()
    connection.execute("REPLACE INTO entries VALUES (?, ?, ?)", (key, value, revision))
    return int(revision)


def _live(connection: sqlite3.Connection, prefix: str) -> tuple[Entry, ...]:
    query = "SELECT key, value, revision FROM entries WHERE value IS NOT NULL AND key >= ?"
    bound = upper_bound(prefix)
    if bound is None:
        rows = connection.execute(f"{query} ORDER BY key", (prefix,))
    else:
        rows = connection.execute(f"{query} AND key < ? ORDER BY key", (prefix, bound))
    return tuple(Entry(*row) for row in rows)
