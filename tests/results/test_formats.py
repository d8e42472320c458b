from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_strategies import runs
from runs import failed, measured, record, run_of

from dlbench.analysis.table import frame
from dlbench.errors import StoreError, UserError
from dlbench.results import formats
from dlbench.results.formats import json as json_format
from dlbench.results.formats import parquet as parquet_format
from dlbench.results.measurement import COLUMNS, Run

NAMES = [column.name for column in COLUMNS]
RUN = run_of([measured(record(), 2e-3), failed(record("torch:library"))])
FRAME = frame(RUN)


def _written(tmp_path: Path, ending: str, run: Run = RUN) -> Path:
    path = tmp_path / f"table{ending}"
    formats.write(path, frame(run), run)
    return path


@cache
def _content(ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return _written(Path(folder), ending).read_bytes()


def _cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", formats.READABLE)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_every_run_comes_back_equal_from_a_file_that_keeps_samples(
    tmp_path: Path, ending: str, run: Run
) -> None:
    assert formats.read(_written(tmp_path, ending, run)) == run


@pytest.mark.parametrize("ending", formats.WRITABLE)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_every_run_can_be_written(tmp_path: Path, ending: str, run: Run) -> None:
    path = _written(tmp_path, ending, run)
    assert path.stat().st_size > 0
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()


def test_the_endings_are_the_contract() -> None:
    assert formats.WRITABLE == (".csv", ".json", ".parquet", ".md")
    assert formats.READABLE == (".json", ".parquet")


class TestCsv:
    def test_the_header_is_the_contract(self, tmp_path: Path) -> None:
        assert _written(tmp_path, ".csv").read_text().splitlines()[0] == ",".join(NAMES)

    def test_what_is_unknown_is_empty(self, tmp_path: Path) -> None:
        _, failure = _cells(_written(tmp_path, ".csv"))
        empty = {
            "time_us",
            "time_low_us",
            "median_us",
            "host_us",
            "gflops",
            "gbps",
            "peak_pct",
            "bound",
            "speedup",
        }
        assert {failure[name] for name in empty} == {""}
        assert failure["samples"] == "0"
        assert failure["reason"] == "no float32"

    def test_numbers_keep_full_precision(self, tmp_path: Path) -> None:
        good, _ = _cells(_written(tmp_path, ".csv"))
        assert float(good["time_low_us"]) == FRAME["time_low_us"][0]

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_a_text_that_a_spreadsheet_would_run_is_disarmed(self, tmp_path: Path, start: str) -> None:
        text = start + 'HYPERLINK("http://x")'
        run = run_of([failed(record(layer=text), reason=text)])
        (row,) = _cells(_written(tmp_path, ".csv", run))
        assert row["layer"] == row["reason"] == "'" + text

    def test_a_text_over_two_lines_stays_one_cell(self, tmp_path: Path) -> None:
        run = run_of([failed(record(), reason='first, "second"\nthird')])
        (row,) = _cells(_written(tmp_path, ".csv", run))
        assert row["reason"] == 'first, "second"\nthird'


class TestJson:
    def test_what_is_unknown_is_null(self, tmp_path: Path) -> None:
        content = json.loads(_written(tmp_path, ".json").read_text())
        failure = content["rows"][1]
        assert failure["time_us"] is None
        assert failure["speedup"] is None
        assert failure["bound"] is None
        assert failure["samples"] == 0

    def test_it_holds_the_run_the_columns_and_the_samples_by_round(self, tmp_path: Path) -> None:
        content = json.loads(_written(tmp_path, ".json").read_text())
        assert content["schema"] == "dlbench-run-1"
        assert content["run"]["environment"] == RUN.environment
        assert content["columns"] == [asdict(column) for column in COLUMNS]
        assert list(content["rows"][0])[: len(NAMES)] == NAMES
        visits = content["rows"][0]["measurement"]["visits"]
        assert [(visit["round"], visit["samples"]) for visit in visits] == [
            (n, [2e-3] * 20) for n in (1, 2, 3)
        ]

    def test_parameters_are_an_object(self, tmp_path: Path) -> None:
        content = json.loads(_written(tmp_path, ".json").read_text())
        assert content["rows"][0]["params"] == {"c": 8, "n": 1}


class TestParquet:
    def test_the_columns_are_the_contract_then_the_samples(self, tmp_path: Path) -> None:
        table = pq.read_table(_written(tmp_path, ".parquet"))
        assert table.schema.names == [*NAMES, "raw_samples", "measurement"]
        assert table.schema.field("raw_samples").type == pa.list_(pa.list_(pa.float64()))
        assert table["raw_samples"].to_pylist() == [[[2e-3] * 20] * 3, [[]]]

    def test_pandas_reads_the_table_back(self, tmp_path: Path) -> None:
        back = pd.read_parquet(_written(tmp_path, ".parquet"))[NAMES]
        for column in COLUMNS:
            expected = FRAME[column.name].astype(object).where(FRAME[column.name].notna(), None)
            actual = back[column.name].astype(object).where(back[column.name].notna(), None)
            assert actual.tolist() == expected.tolist()

    def test_the_metadata_explains_run_and_columns(self, tmp_path: Path) -> None:
        schema = pq.read_schema(_written(tmp_path, ".parquet"))
        assert json.loads(schema.metadata[b"dlbench"])["run"]["id"] == "conv-1"
        assert schema.field("time_us").metadata[b"unit"].decode() == "µs"


class TestMarkdown:
    def test_what_all_rows_share_is_told_once_and_what_is_unknown_not_at_all(self, tmp_path: Path) -> None:
        lines = _written(tmp_path, ".md").read_text().splitlines()
        assert lines[0] == "# conv-1"
        assert "- op: conv2d" in lines
        header = next(line for line in lines if line.startswith("|"))
        names = [name.strip() for name in header.strip("|").split("|")]
        assert not {"op", "params"} & set(names)
        assert "peak_pct" not in names
        assert names == [name for name in NAMES if name in names]

    def test_a_text_cannot_break_the_table_or_bring_html(self, tmp_path: Path) -> None:
        run = run_of(
            [measured(record(), 1e-3), failed(record("torch:library"), reason="a|b\n<script>[x](y)")]
        )
        text = _written(tmp_path, ".md", run).read_text()
        assert r"a\|b &lt;script>\[x](y)" in text


class TestPlaces:
    @pytest.mark.parametrize("name", ["table.xlsx", "table", "table.", ".csv"])
    def test_an_unknown_ending_is_refused_with_the_known_ones(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(
            UserError, match=r"unknown ending `.*`; the table can be \.csv, \.json, \.parquet, \.md$"
        ):
            formats.write(tmp_path / name, FRAME, RUN)

    def test_the_ending_may_be_in_capitals(self, tmp_path: Path) -> None:
        formats.write(tmp_path / "TABLE.CSV", FRAME, RUN)
        assert len(_cells(tmp_path / "TABLE.CSV")) == 2

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "table.csv").mkdir()
        with pytest.raises(UserError, match=r"is a folder; name a file, such as"):
            formats.write(tmp_path / "table.csv", FRAME, RUN)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the folder .*nowhere does not exist; make it first$"):
            formats.write(tmp_path / "nowhere" / "table.csv", FRAME, RUN)

    def test_a_folder_that_may_not_be_written_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.access", lambda *_: False)
        with pytest.raises(UserError, match=r"this user may not write in the folder"):
            formats.check([tmp_path / "table.csv"])

    def test_a_check_finds_the_bad_place_among_good_ones_and_writes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"table\.txt: unknown ending"):
            formats.check([tmp_path / "table.csv", str(tmp_path / "table.txt")])
        assert list(tmp_path.iterdir()) == []

    def test_a_write_that_fails_leaves_the_old_file_and_no_rest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "table.csv"
        path.write_text("old")
        monkeypatch.setattr("os.fsync", _disk_full)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)$"):
            formats.write(path, FRAME, RUN)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_existing_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_text("old")
        formats.write(path, FRAME, RUN)
        assert len(_cells(path)) == 2

    def test_a_link_keeps_pointing_to_what_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "link.csv").symlink_to(tmp_path / "table.csv")
        formats.write(tmp_path / "link.csv", FRAME, RUN)
        assert (tmp_path / "link.csv").is_symlink()
        assert len(_cells(tmp_path / "table.csv")) == 2


def _disk_full(_: int) -> None:
    raise OSError(28, "No space left on device")


def _without(*path: str) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> object:
        place: Any = content
        for name in path[:-1]:
            place = place[int(name)] if name.isdigit() else place[name]
        del place[path[-1]]
        return content

    return change


class TestReading:
    def test_a_table_without_samples_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            StoreError, match=r"\.csv keeps no raw samples; read a file in \.json or \.parquet$"
        ):
            formats.read(_written(tmp_path, ".csv"))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"gone\.json: cannot be read \(No such file or directory\)$"):
            formats.read(tmp_path / "gone.json")

    @pytest.mark.parametrize("ending", formats.READABLE)
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
    def test_a_file_that_was_cut_off_is_refused_in_one_line(
        self, tmp_path: Path, ending: str, share: float
    ) -> None:
        path = _written(tmp_path, ending)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(
            StoreError,
            match=rf"^[^\n]*table{ending}: (is empty|is cut off or damaged \([^\n]*\); export the run again)$",
        ):
            formats.read(path)

    @pytest.mark.parametrize("ending", formats.READABLE)
    @pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0", b"\xff\xfe\x00{"])
    def test_a_file_of_another_kind_is_no_run_whatever_its_ending(
        self, tmp_path: Path, ending: str, content: bytes
    ) -> None:
        path = tmp_path / f"x{ending}"
        path.write_bytes(content)
        with pytest.raises(
            StoreError, match=rf"^[^\n]*x{ending}: is no run that dlbench wrote: it is no [^\n]*$"
        ):
            formats.read(path)

    @pytest.mark.parametrize("ending", formats.READABLE)
    def test_a_file_of_another_schema_version_is_refused_with_both_versions(
        self, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (json_format, parquet_format):
            monkeypatch.setattr(module, "SCHEMA", "dlbench-run-2")
        path = _written(tmp_path, ending)
        monkeypatch.undo()
        with pytest.raises(
            StoreError,
            match=rf"table{ending}: has schema dlbench-run-2, this dlbench reads dlbench-run-1; "
            r"update dlbench, or export the run again$",
        ):
            formats.read(path)

    def test_a_json_file_of_another_tool_is_named_by_its_schema(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text('{"schema": "dlbench-comparison-1"}')
        with pytest.raises(
            StoreError,
            match=r'x\.json: is no run that dlbench wrote: its "schema" is "dlbench-comparison-1"$',
        ):
            formats.read(tmp_path / "x.json")

    @pytest.mark.parametrize("ending", formats.READABLE)
    @settings(max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_file_with_a_damaged_byte_is_read_or_refused_in_one_line(
        self, tmp_path: Path, ending: str, data: st.DataObject
    ) -> None:
        content = bytearray(_content(ending))
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path / f"x{ending}"
        path.write_bytes(content)
        try:
            formats.read(path)
        except StoreError as error:
            assert "\n" not in str(error)

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{}",
            "null",
            "NaN",
            '{"schema": "other"}',
            "[" * 100_000,
            "\ud7ff",
        ],
    )
    def test_a_foreign_json_file_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(StoreError, match=r"^[^\n]*is no run that dlbench wrote"):
            formats.read(tmp_path / "x.json")

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            (("run", "id"), "id: Field required"),
            (("run",), "Input should be"),
            (("rows",), "`rows` is no list of objects"),
            (("rows", "0", "measurement"), "Input should be"),
            (("rows", "0", "measurement", "case", "flops"), "case.flops: Field required"),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path: Path, path: tuple[str, ...], message: str) -> None:
        file = _written(tmp_path, ".json")
        file.write_text(json.dumps(_without(*path)(json.loads(file.read_text()))))
        with pytest.raises(StoreError, match=message):
            formats.read(file)

    @pytest.mark.parametrize("sample", [0.0, -1.0])
    def test_a_sample_that_is_no_time_is_refused(self, tmp_path: Path, sample: float) -> None:
        good = RUN.measurements[0]
        bad = replace(good, visits=(replace(good.visits[0], samples=(sample,)),))
        path = tmp_path / "x.json"
        formats.write(path, FRAME[:1], run_of([bad]))
        with pytest.raises(StoreError, match=r"a sample is not a positive number"):
            formats.read(path)

    def test_a_foreign_parquet_file_is_refused(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
        with pytest.raises(StoreError, match=r"is no run that dlbench wrote: it has no `dlbench` metadata$"):
            formats.read(tmp_path / "x.parquet")

    def test_a_parquet_file_without_its_samples_is_refused(self, tmp_path: Path) -> None:
        path = _written(tmp_path, ".parquet")
        pq.write_table(pq.read_table(path).drop_columns("raw_samples"), path)
        with pytest.raises(StoreError, match=r"is damaged or was changed: there is no column 'raw_samples'$"):
            formats.read(path)

    def test_a_parquet_file_whose_samples_were_edited_away_is_refused(self, tmp_path: Path) -> None:
        path = _written(tmp_path, ".parquet")
        table = pq.read_table(path)
        index = table.schema.get_field_index("raw_samples")
        emptied = pa.array([[], []], type=table.schema.field(index).type)
        pq.write_table(table.set_column(index, table.schema.field(index), emptied), path)
        with pytest.raises(StoreError, match=r"`measurement` and `raw_samples` do not belong together"):
            formats.read(path)
