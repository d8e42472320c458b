"""The tables of the store.

Samples are little-endian float64, eight bytes each, in the order taken (`numpy.frombuffer(samples, "<f8")`).
Mappings are JSON. `flops` and `traffic` are decimal digits, since a product of extents may pass 64 bits. The
names carry a prefix because a PostgreSQL database is often shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 3
"""Raised by one whenever a table changes in a way that an older dlbench cannot read."""

UPGRADES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("ALTER TABLE dlbench_cases ADD COLUMN flags TEXT NOT NULL DEFAULT ''",),
        2: (
            "ALTER TABLE dlbench_cases ADD COLUMN parameters BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE dlbench_cases ADD COLUMN activations BIGINT NOT NULL DEFAULT 0",
        ),
    }
)
"""What makes each older version the next one, in place."""

# SQLite numbers rows by itself only where the primary key is INTEGER, which there has 64 bits too.
_Id = BigInteger().with_variant(Integer(), "sqlite")

METADATA = MetaData()

SCHEMA = Table("dlbench_schema", METADATA, Column("version", Integer, primary_key=True))

RUNS = Table(
    "dlbench_runs",
    METADATA,
    Column("number", _Id, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, index=True),
    Column("config", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("finished", Text, nullable=False, default=""),
    Column("elapsed", Float, nullable=False, default=0.0),
)

CASES = Table(
    "dlbench_cases",
    METADATA,
    Column("number", _Id, primary_key=True),
    Column("run", _Id, ForeignKey(RUNS.c.number, ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("suite", Text, nullable=False),
    Column("layer", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("layout", Text, nullable=False),
    Column("cache", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("flops", Text, nullable=False),
    Column("traffic", Text, nullable=False),
    Column("flags", Text, nullable=False, server_default=""),
    Column("parameters", BigInteger, nullable=False, server_default="0"),
    Column("activations", BigInteger, nullable=False, server_default="0"),
    Column("verdict", Text),
    Column("reason", Text),
    UniqueConstraint("run", "key"),
)

VISITS = Table(
    "dlbench_visits",
    METADATA,
    Column("case", _Id, ForeignKey(CASES.c.number, ondelete="CASCADE"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("samples", LargeBinary, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("disturbed", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("max_rel_error", Float),
    Column("peak_memory", BigInteger),
    Column("duration", Float, nullable=False),
    Column("conditions", Text, nullable=False),
)
