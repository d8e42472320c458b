from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from platformdirs import user_data_path
from run_strategies import runs
from runs import failed, measured, record, run_of, save, steady
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from dlbench.errors import SelectionError, StoreError
from dlbench.results.measurement import Run, Visit
from dlbench.results.schema import CASES, RUNS, VERSION, VISITS
from dlbench.results.store import RunSummary, Store, default_url

A, B = record("numba:naive"), record("torch:library")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs.db")


def _begin(
    store: Store, run_id: str = "a-1", name: str = "a", started: str = "2026-01-01T00:00:00+00:00"
) -> None:
    store.create_run(run_id, name, {}, {}, started)
    store.add_cases(run_id, [A, B])


@settings(max_examples=60, deadline=None)
@given(run=runs())
def test_every_run_comes_back_equal(run: Run) -> None:
    with Store("sqlite://") as memory:
        save(memory, run)
        assert memory.load(run.id) == run


def test_finished_runs_are_found_by_how_their_name_begins_the_newest_first(store: Store) -> None:
    for number, (run_id, name) in enumerate([("a", "aa-x"), ("b", "aa-y"), ("c", "xaa-"), ("d", "aa-z")]):
        _begin(store, run_id, name, f"2026-01-0{number + 1}T00:00:00+00:00")
        if run_id != "d":
            store.finish_run(run_id, "2026-01-09T00:00:00+00:00", 1.0)
    assert store.finished("aa-") == ["b", "a"]
    assert store.finished("none") == []


def test_measurements_come_back_in_the_order_in_which_their_cases_were_added(store: Store) -> None:
    _begin(store)
    store.add_cases("a-1", [record("numpy:im2col")])
    store.add_visit("a-1", B.key, steady(1e-3), 1.0)
    found = [measurement.case.implementation for measurement in store.load("a-1").measurements]
    assert found == ["numba:naive", "torch:library", "numpy:im2col"]


def test_a_second_visit_of_a_round_takes_the_place_of_the_first(store: Store) -> None:
    _begin(store)
    store.add_visit("a-1", A.key, steady(1e-3, 1), 1.0)
    store.add_visit("a-1", A.key, steady(2e-3, 1), 2.0)
    assert store.load("a-1").measurements[0].visits == (steady(2e-3, 1),)


def test_visits_come_back_by_round_whatever_the_order_in_which_they_ended(store: Store) -> None:
    _begin(store)
    for number in (3, 1, 2):
        store.add_visit("a-1", A.key, steady(1e-3, number), 1.0)
    assert [visit.round for visit in store.load("a-1").measurements[0].visits] == [1, 2, 3]


def test_a_visit_says_how_long_the_run_has_measured(store: Store) -> None:
    _begin(store)
    store.add_visit("a-1", A.key, steady(1e-3), 12.5)
    assert store.load("a-1").elapsed == 12.5


def test_a_case_without_a_verdict_was_interrupted_after_its_rounds(store: Store) -> None:
    _begin(store)
    store.add_visit("a-1", A.key, steady(1e-3, 1), 1.0)
    store.add_visit("a-1", A.key, steady(1e-3, 2), 1.0)
    run = store.load("a-1")
    assert [(m.verdict, m.reason) for m in run.measurements] == [
        ("unconverged", "the run has not ended, 2 rounds so far"),
        ("unconverged", "the run has not ended, 0 rounds so far"),
    ]


def test_a_case_without_a_verdict_whose_last_visit_failed_has_that_verdict(store: Store) -> None:
    _begin(store)
    store.add_visit("a-1", A.key, steady(1e-3, 1), 1.0)
    store.add_visit("a-1", A.key, Visit(2, verdict="crashed", reason="SIGSEGV"), 1.0)
    found = store.load("a-1").measurements[0]
    assert (found.verdict, found.reason) == ("crashed", "SIGSEGV")


def test_a_visit_makes_the_verdict_over_the_earlier_visits_void(store: Store) -> None:
    _begin(store)
    store.set_verdicts("a-1", {A.key: ("unconverged", "the budget ran out")})
    store.add_visit("a-1", A.key, steady(1e-3), 1.0)
    assert store.load("a-1").measurements[0].reason == "the run has not ended, 1 round so far"


def test_a_text_that_no_database_keeps_is_kept_with_replacement_characters(store: Store) -> None:
    odd = record("numba:naive", layer="a\0b\ud800")
    store.create_run("a-1", "a", {"layer": odd.layer}, {}, "2026")
    store.add_cases("a-1", [odd])
    store.add_visit("a-1", odd.key, Visit(1, verdict="failed", reason="\udcff"), 1.0)
    run = store.load("a-1")
    assert run.measurements[0].case.layer == "a\ufffdb\ufffd"
    assert run.measurements[0].reason == "\ufffd"
    assert run.config == {"layer": odd.layer}


def test_a_number_that_is_not_finite_is_kept_as_unknown(store: Store) -> None:
    _begin(store)
    store.add_visit(
        "a-1", A.key, steady(1e-3, conditions={"load": float("nan"), "steal": [float("inf"), 1.0]}), 1.0
    )
    assert store.load("a-1").measurements[0].visits[0].conditions == {"load": None, "steal": [None, 1.0]}


def test_the_environment_can_be_completed_once_the_workers_have_started(store: Store) -> None:
    _begin(store)
    store.set_environment("a-1", {"backends": {"torch": {"version": "2"}}})
    assert store.load("a-1").environment == {"backends": {"torch": {"version": "2"}}}


class TestReferences:
    @pytest.fixture(autouse=True)
    def _runs(self, store: Store) -> None:
        _begin(store, "conv-1-aa", "conv", "2026-01-01T00:00:00+00:00")
        _begin(store, "conv-2-bb", "conv", "2026-01-03T00:00:00+00:00")
        _begin(store, "matmul-1-cc", "matmul", "2026-01-02T00:00:00+00:00")
        store.finish_run("conv-2-bb", "2026-01-03T00:01:00+00:00", 60.0)

    @pytest.mark.parametrize(
        ("reference", "found"),
        [
            ("conv-1-aa", "conv-1-aa"),
            ("conv-1", "conv-1-aa"),
            ("conv", "conv-2-bb"),
            ("matmul", "matmul-1-cc"),
            ("latest", "conv-2-bb"),
        ],
    )
    def test_a_run_is_found_by_id_beginning_name_or_latest(
        self, store: Store, reference: str, found: str
    ) -> None:
        assert store.load(reference).id == found

    def test_a_beginning_that_several_runs_share_is_refused_with_their_ids(self, store: Store) -> None:
        with pytest.raises(SelectionError, match=r"^2 runs begin with `conv-`: conv-1-aa, conv-2-bb$"):
            store.load("conv-")

    def test_a_name_with_a_slip_gets_the_nearest(self, store: Store) -> None:
        with pytest.raises(SelectionError, match=r"no run `matmull` in .*runs\.db; did you mean `matmul`\?$"):
            store.load("matmull")

    @pytest.mark.parametrize("reference", ["", "%", "conv-_"])
    def test_no_character_is_a_wildcard(self, store: Store, reference: str) -> None:
        with pytest.raises(SelectionError, match=f"^no run `{reference}` in "):
            store.load(reference)

    def test_an_unfinished_run_is_found_by_name_though_a_newer_one_is_finished(self, store: Store) -> None:
        found = store.unfinished("conv")
        assert found is not None
        assert found.id == "conv-1-aa"

    def test_there_is_no_unfinished_run_of_an_unknown_name(self, store: Store) -> None:
        assert store.unfinished("softmax") is None

    def test_a_finished_run_is_not_unfinished(self, store: Store) -> None:
        assert store.unfinished("conv-2-bb") is None

    def test_a_deleted_run_is_gone_with_all_it_measured(self, store: Store, tmp_path: Path) -> None:
        store.add_visit("conv-1-aa", A.key, steady(1e-3), 1.0)
        store.delete("conv-1-aa")
        assert [run.id for run in store.runs()] == ["conv-2-bb", "matmul-1-cc"]
        store.close()
        connection = sqlite3.connect(tmp_path / "runs.db")
        left = [
            connection.execute(f"SELECT count(*) FROM dlbench_{name}").fetchone()
            for name in ("cases", "visits")
        ]
        connection.close()
        assert left == [(4,), (0,)]

    def test_what_does_not_exist_cannot_be_deleted(self, store: Store) -> None:
        with pytest.raises(SelectionError, match=r"no run `conv`"):
            store.delete("conv")


def test_an_empty_store_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(SelectionError, match=r"is empty; `dlbench run quick` measures one$"):
        store.load("latest")


def test_runs_are_summed_up_the_newest_first(store: Store) -> None:
    gpu = replace(B, device="cuda:0", key="gpu")
    save(store, run_of([measured(A, 1e-3), failed(gpu)]))
    _begin(store, "z-1", "z", "2025-01-01T00:00:00+00:00")
    assert store.runs() == [
        RunSummary(
            id="conv-1",
            name="conv",
            started="2026-01-02T03:04:05+00:00",
            finished="2026-01-02T03:06:05+00:00",
            elapsed=120.0,
            cases=2,
            measured=2,
            devices=("cpu", "cuda:0"),
            hostname="bench",
            fingerprint="f00d",
        ),
        RunSummary(
            id="z-1",
            name="z",
            started="2025-01-01T00:00:00+00:00",
            finished="",
            elapsed=0.0,
            cases=2,
            measured=0,
            devices=("cpu",),
            hostname="",
            fingerprint="",
        ),
    ]


class TestMistakes:
    def test_an_id_is_given_once(self, store: Store) -> None:
        _begin(store)
        with pytest.raises(StoreError, match=r"there is a run a-1 already$"):
            _begin(store)

    def test_a_visit_of_a_run_that_was_deleted_meanwhile_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match=r"there is no run a-1; it may have been deleted meanwhile$"):
            store.add_visit("a-1", A.key, steady(1e-3), 1.0)

    def test_a_visit_of_an_unknown_case_is_refused(self, store: Store) -> None:
        _begin(store)
        with pytest.raises(StoreError, match=r"run a-1 has no case nonsense$"):
            store.add_visit("a-1", "nonsense", steady(1e-3), 1.0)

    def test_a_number_beyond_64_bits_is_refused_and_leaves_nothing_behind(self, store: Store) -> None:
        _begin(store)
        with pytest.raises(StoreError, match=r"int too large"):
            store.add_visit("a-1", A.key, steady(1e-3, peak_memory=2**64), 1.0)
        assert store.load("a-1").measurements[0].visits == ()


class TestAddresses:
    def test_the_environment_variable_names_the_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DLBENCH_STORE", "sqlite:////data/runs.db")
        assert default_url() == "sqlite:////data/runs.db"

    def test_without_it_the_store_is_in_the_users_data_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("DLBENCH_STORE")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        assert default_url() == str(user_data_path("dlbench") / "runs.db")
        with Store(default_url()) as store:
            assert store.runs() == []

    def test_a_data_folder_that_cannot_be_made_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.delenv("DLBENCH_STORE")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
        with pytest.raises(
            StoreError, match=r"cannot be made .*; name another store with --store or DLBENCH_STORE$"
        ):
            default_url()

    def test_a_path_and_a_url_name_the_same_store(self, tmp_path: Path) -> None:
        with Store(str(tmp_path / "runs.db")) as store:
            _begin(store)
        with Store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
            assert store.load("a-1").name == "a"

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("mysql://host/db", "^`mysql` is no database that dlbench knows; a store is a path, "),
            ("://", "^`://` is not a database URL; a store is a path, "),
            ("sqlite+nonsense:///x", r"^`sqlite\+nonsense` is no database that dlbench knows"),
            ("\0", "embedded null"),
        ],
    )
    def test_an_address_of_no_database_is_refused(self, address: str, message: str) -> None:
        with pytest.raises(StoreError, match=message):
            Store(address)

    def test_a_password_is_not_shown(self) -> None:
        with pytest.raises(StoreError) as caught:
            Store("postgresql://me:secret@127.0.0.1:1/db?connect_timeout=1")
        assert "secret" not in str(caught.value)

    def test_the_tables_can_be_made_on_postgresql(self) -> None:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        statements = [str(CreateTable(table).compile(dialect=dialect)) for table in (RUNS, CASES, VISITS)]
        assert "number BIGSERIAL NOT NULL" in statements[0]
        assert "run BIGINT NOT NULL" in statements[1]
        assert "samples BYTEA NOT NULL" in statements[2]


class TestFilesThatAreNoStore:
    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"is a folder; name a file in it, such as .*runs.db$"):
            Store(tmp_path)

    def test_a_path_whose_folder_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"the folder .*nowhere does not exist; make it first$"):
            Store(tmp_path / "nowhere" / "runs.db")

    def test_a_path_that_this_user_may_not_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.access", lambda *_: False)
        with pytest.raises(StoreError, match=r"cannot be read and written by this user"):
            Store(tmp_path / "runs.db")

    def test_a_file_that_is_not_sqlite(self, tmp_path: Path) -> None:
        (tmp_path / "runs.db").write_text("hello " * 1000)
        with pytest.raises(StoreError, match=r"is not a SQLite database; name another store with --store$"):
            Store(tmp_path / "runs.db")

    def test_a_database_of_something_else(self, tmp_path: Path) -> None:
        connection = sqlite3.connect(tmp_path / "runs.db")
        connection.execute("CREATE TABLE cookies (a)")
        connection.close()
        with pytest.raises(StoreError, match=r"is a database of something else \(tables cookies\)"):
            Store(tmp_path / "runs.db")

    @pytest.mark.parametrize(
        ("version", "advice"),
        [(VERSION + 1, "update dlbench"), (0, "export its runs with the dlbench")],
    )
    def test_a_store_of_another_version(self, tmp_path: Path, version: int, advice: str) -> None:
        Store(tmp_path / "runs.db").close()
        connection = sqlite3.connect(tmp_path / "runs.db")
        connection.execute("UPDATE dlbench_schema SET version = ?", [version])
        connection.commit()
        connection.close()
        with pytest.raises(
            StoreError, match=f"schema version {version}, this dlbench reads version {VERSION}; {advice}"
        ):
            Store(tmp_path / "runs.db")

    @pytest.mark.parametrize(
        ("version", "later"),
        [(1, ("flags", "parameters", "activations")), (2, ("parameters", "activations"))],
    )
    def test_an_older_store_is_brought_up_to_date_and_keeps_its_runs(
        self, tmp_path: Path, version: int, later: tuple[str, ...]
    ) -> None:
        run = run_of([measured(A, 1e-3)])
        with Store(tmp_path / "runs.db") as store:
            save(store, run)
        connection = sqlite3.connect(tmp_path / "runs.db")
        for column in later:
            connection.execute(f"ALTER TABLE dlbench_cases DROP COLUMN {column}")
        connection.execute("UPDATE dlbench_schema SET version = ?", [version])
        connection.commit()
        connection.close()
        with Store(tmp_path / "runs.db") as upgraded:
            assert upgraded.load("latest") == run
        with Store(tmp_path / "runs.db") as again:
            assert again.load("latest") == run

    def test_a_file_that_was_cut_off(self, store: Store, tmp_path: Path) -> None:
        save(store, run_of([measured(A, 1e-3)]))
        store.close()
        content = (tmp_path / "runs.db").read_bytes()
        (tmp_path / "runs.db").write_bytes(content[: len(content) // 2])
        with (
            pytest.raises(StoreError, match=r"the file is damaged \(.*malformed\)"),
            Store(tmp_path / "runs.db") as cut,
        ):
            cut.load("latest")

    def test_samples_that_were_cut_off(self, store: Store, tmp_path: Path) -> None:
        save(store, run_of([measured(A, 1e-3)]))
        connection = sqlite3.connect(tmp_path / "runs.db")
        connection.execute("UPDATE dlbench_visits SET samples = x'00'")
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match=r"buffer size must be a multiple"):
            store.load("latest")


PREAMBLE = """
    import os, sys
    from dlbench.results.store import Store
    from runs import record, steady
    case = record()
    path, name = sys.argv[1:]
"""


def _process(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    folders = f"import sys; sys.path[:0] = {sys.path!r}\n"
    code = folders + textwrap.dedent(PREAMBLE) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def test_what_was_committed_before_a_sudden_death_is_there_afterwards(tmp_path: Path) -> None:
    script = """
        store = Store(path)
        store.create_run(name, name, {}, {}, "2026")
        store.add_cases(name, [case])
        for number in range(1, 6):
            store.add_visit(name, case.key, steady(1e-3, number), float(number))
        with store._database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM dlbench_visits")
            os._exit(9)
    """
    assert _process(script, tmp_path / "runs.db", "a").wait(60) == 9
    with Store(tmp_path / "runs.db") as store:
        run = store.unfinished("a")
        assert run is not None
        assert run.measurements[0].visits == tuple(steady(1e-3, number) for number in range(1, 6))
        assert run.elapsed == 5.0


def test_two_processes_make_a_store_and_write_to_it_at_once(tmp_path: Path) -> None:
    script = """
        with Store(path) as store:
            store.create_run(name, name, {}, {}, "2026")
            store.add_cases(name, [case])
            for number in range(1, 101):
                store.add_visit(name, case.key, steady(1e-3, number), float(number))
    """
    processes = [_process(script, tmp_path / "runs.db", name) for name in ("a", "b")]
    assert [process.wait(120) for process in processes] == [0, 0]
    with Store(tmp_path / "runs.db") as store:
        assert [len(store.load(name).measurements[0].visits) for name in ("a", "b")] == [100, 100]


def test_a_reader_sees_the_last_committed_state_while_another_writes(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.db") as writer, Store(tmp_path / "runs.db") as reader:
        _begin(writer)
        with writer._database.writing() as connection:
            connection.execute(RUNS.delete())
            assert [run.id for run in reader.runs()] == ["a-1"]
        assert reader.runs() == []
