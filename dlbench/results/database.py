"""Open the store's database: its address, its settings, and what can be wrong with it in words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from dlbench.errors import StoreError
from dlbench.results.schema import METADATA, SCHEMA, UPGRADES, VERSION

ADDRESS_VARIABLE = "DLBENCH_STORE"
BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction; one takes milliseconds, on a loaded disk seconds."""
_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_KNOWN = "a store is a path, sqlite:///path or postgresql://user@host/database"


def default_url() -> str:
    """Return the address in DLBENCH_STORE, or that of runs.db in the user's data folder, made if need be."""
    if address := os.environ.get(ADDRESS_VARIABLE):
        return address
    folder = user_data_path("dlbench", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be made ({error.strerror}); "
            f"name another store with --store or {ADDRESS_VARIABLE}"
        ) from error
    return str(folder / "runs.db")


class Database:
    """A connection to the store's database, its tables made on first use.

    SQLite runs with a write-ahead log and `synchronous=NORMAL`: what is committed survives the death of the
    process; a power cut may cost the last commits, never the file.
    """

    def __init__(self, address: str | Path) -> None:
        """Take a path or a URL. Raises StoreError when it is no store that this version can use."""
        self.url = _url(address)
        self.name = (
            self.url.database if _is_sqlite(self.url) and self.url.database else self.url.render_as_string()
        )
        _check_path(self.url)
        with self._explained():
            self._engine = _engine(self.url)
            self._writer = self._engine.execution_options(dlbench_writes=True)
        try:
            self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database."""
        with self._explained(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed when the block ends, and dropped when it raises."""
        with self._explained(), self._writer.begin() as connection:
            yield connection

    def _prepare(self) -> None:
        with self.reading() as connection:
            version = self._version(connection)
        if version is None:
            with self.writing() as connection:
                version = self._version(connection)  # another process may have been quicker
                if version is None:
                    METADATA.create_all(connection)
                    connection.execute(insert(SCHEMA).values(version=VERSION))
                    version = VERSION
        if version in UPGRADES:
            version = self._upgraded()
        if version != VERSION:
            raise StoreError(
                f"{self.name}: the store has schema version {version}, this dlbench reads version {VERSION}; "
                + (
                    "update dlbench"
                    if version > VERSION
                    else "export its runs with the dlbench that wrote it"
                )
                + ", or name another store with --store"
            )

    def _upgraded(self) -> int:
        """Bring the tables of an older version up to date, step by step, and return the version they have then."""
        with self.writing() as connection:
            version = self._version(connection) or VERSION  # another process may have been quicker
            while version in UPGRADES:
                for statement in UPGRADES[version]:
                    connection.execute(text(statement))
                version += 1
                connection.execute(update(SCHEMA).values(version=version))
            return version

    def _version(self, connection: Connection) -> int | None:
        """Return the schema version, None for a database that is still empty."""
        tables = inspect(connection).get_table_names()
        if SCHEMA.name in tables:
            version: int | None = connection.execute(select(SCHEMA.c.version)).scalar()
            return -1 if version is None else version
        if tables and _is_sqlite(self.url):
            raise StoreError(
                f"{self.name}: is a database of something else (tables {', '.join(sorted(tables)[:3])}); "
                "name another store with --store"
            )
        return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the database raises, or what it holds that cannot be read, into one line."""
        try:
            yield
        except DBAPIError as error:
            raise StoreError(f"{self.name}: {_explanation(error)}") from error
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{self.name}: {error.name} is missing; pip install 'dlbench[postgres]'"
            ) from error
        except (SQLAlchemyError, OverflowError, ValueError) as error:
            raise StoreError(f"{self.name}: {str(error).splitlines()[0]}") from error


def _url(address: str | Path) -> URL:
    text = str(address)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"`{text}` is not a database URL; {_KNOWN}") from error
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    if not _is_sqlite(url):
        raise StoreError(f"`{url.drivername}` is no database that dlbench knows; {_KNOWN}")
    return url


def _is_sqlite(url: URL) -> bool:
    return url.drivername in ("sqlite", "sqlite+pysqlite")


def _in_memory(url: URL) -> bool:
    return _is_sqlite(url) and url.database in (None, "", ":memory:")


def _check_path(url: URL) -> None:
    """Raise StoreError for a path that cannot be a database file, in better words than SQLite has."""
    if not _is_sqlite(url) or _in_memory(url) or not url.database:
        return
    path = Path(url.database)
    if path.is_dir():
        raise StoreError(f"{path}: is a folder; name a file in it, such as {path / 'runs.db'}")
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        raise StoreError(f"{path}: cannot be read and written by this user; name another store with --store")


def _engine(url: URL) -> Engine:
    try:
        if not _is_sqlite(url):
            return create_engine(url)
        pool = {"poolclass": StaticPool} if _in_memory(url) else {}
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, **pool)
    except NoSuchModuleError as error:
        raise StoreError(f"`{url.drivername}` is no database that dlbench knows; {_KNOWN}") from error
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    try:
        for pragma in ("foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        _use_write_ahead_log(connection)
    except sqlite3.Error:
        connection.close()
        raise


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the log on, waiting for others: SQLite's own wait does not cover this one statement."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                or time.monotonic() > end
            ):
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where something is written: a read lock upgraded later cannot wait."""
    writes = connection.get_execution_options().get("dlbench_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explanation(error: DBAPIError) -> str:
    text = " ".join(str(error.orig).split()) or type(error.orig).__name__
    if "not a database" in text:
        return "is not a SQLite database; name another store with --store"
    if "database is locked" in text:
        return f"locked by another process for {BUSY_SECONDS:.0f} s; end that one or name another store"
    if "malformed" in text:
        return f"the file is damaged ({text}); `sqlite3 FILE .recover` saves what can be saved"
    return f"{text}; check that the database can be reached and written"
