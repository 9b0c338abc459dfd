"""What users of delta-rs do: append, overwrite, merge, delete, optimise, vacuum; and writers that race for the next version."""

import os
import subprocess
import sys
import threading
import unittest

import deltalake
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from lines import commits_of, new_repo, run, settings, sluice

# No lock table and no unsafe rename: the log is written by PUT with If-None-Match.
OPTIONS = settings("delta-rs")["options"]


def rows(count: int, start: int = 0) -> pa.Table:
    numbers = list(range(start, start + count))
    return pa.table({"n": pa.array(numbers, pa.int64()), "group": pa.array([f"g{n % 3}" for n in numbers], pa.string())})


class Case(unittest.TestCase):
    def setUp(self):
        self.repo = new_repo()
        self.path = f"s3://master.{self.repo}/table"

    def write(self, data: pa.Table, **more):
        write_deltalake(self.path, data, storage_options=OPTIONS, **more)

    def open(self, path: str = "", **more) -> DeltaTable:
        return DeltaTable(path or self.path, storage_options=OPTIONS, **more)

    def numbers(self, path: str = "", **more) -> list:
        return sorted(self.open(path, **more).to_pyarrow_table().column("n").to_pylist())


class Tables(Case):
    def test_creates_appends_overwrites_and_travels_back(self):
        with self.assertRaises(TableNotFoundError):
            self.open()
        self.write(rows(100))
        self.write(rows(50, start=100), mode="append")
        self.assertEqual(self.numbers(), list(range(150)))
        self.write(rows(3), mode="overwrite")
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assertEqual([len(self.numbers(version=version)) for version in range(3)], [100, 150, 3])
        self.assertEqual([entry["version"] for entry in self.open().history()], [2, 1, 0])
        self.assertEqual(len(commits_of(self.repo)), 1, "without a pause all of it is one commit")

    def test_refuses_to_create_what_is_there(self):
        self.write(rows(1))
        with self.assertRaises(DeltaError):
            self.write(rows(1), mode="error")
        self.assertEqual(self.numbers(), [0])

    def test_partitions_deletes_updates_and_merges(self):
        self.write(rows(30), partition_by=["group"])
        table = self.open()
        table.delete("n >= 20")
        table.update(updates={"n": "n + 1000"}, predicate="group = 'g0'")
        merge = table.merge(rows(3, start=1), "target.n = source.n", source_alias="source", target_alias="target")
        merge.when_matched_delete().when_not_matched_insert_all().execute()
        expected = [n + 1000 if n % 3 == 0 else n for n in range(20) if n not in (1, 2)] + [3]
        self.assertEqual(self.numbers(), sorted(expected))
        found = self.open().to_pyarrow_dataset(partitions=[("group", "=", "g0")]).to_table()
        self.assertEqual(set(found.column("group").to_pylist()), {"g0"})

    def test_optimises_checkpoints_vacuums_and_restores(self):
        for n in range(12):
            self.write(rows(10, start=n * 10), mode="append")
        table = self.open()
        self.assertEqual(table.optimize.compact()["numFilesRemoved"], 12)
        table.create_checkpoint()
        self.assertEqual(len(table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)), 12)
        self.assertEqual(self.numbers(), list(range(120)))
        table = self.open()
        table.delete("n < 100")
        table.restore(table.version() - 1)
        self.assertEqual(self.numbers(), list(range(120)))
        self.assertEqual(len(self.open().file_uris()), 1)

    def test_reads_a_commit_of_the_repo_as_the_table_was_then(self):
        self.write(rows(10))
        [first] = commits_of(self.repo)
        self.write(rows(5, start=10), mode="append")
        self.open().optimize.compact()
        self.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        snapshot = f"s3://{first['id']}.{self.repo}/table"
        self.assertEqual(self.numbers(snapshot), list(range(10)))
        self.assertEqual(self.open(snapshot).version(), 0)
        with self.assertRaisesRegex(Exception, "(?i)access ?denied|permission|403"):
            write_deltalake(snapshot, rows(1), mode="append", storage_options=OPTIONS)
        self.assertEqual(self.numbers(), list(range(15)))

    def test_a_restored_branch_is_the_table_before(self):
        self.write(rows(10))
        [first] = commits_of(self.repo)
        self.write(rows(5, start=10), mode="append")
        sluice("flush", f"{self.repo}@master")
        sluice("restore", f"{self.repo}@{first['id']}")
        self.assertEqual(self.numbers(), list(range(10)))
        self.write(rows(2, start=50), mode="append")
        self.assertEqual(self.numbers(), [*range(10), 50, 51])


class Races(Case):
    WRITERS = 4
    EACH = 5

    def test_loses_no_append_of_writers_that_race_in_one_process(self):
        self.write(rows(0))
        failures = []

        def append(writer: int):
            try:
                for n in range(self.EACH):
                    self.append_until_done(1_000 * writer + n)
            except Exception as error:
                failures.append(repr(error))

        threads = [threading.Thread(target=append, args=(writer,)) for writer in range(self.WRITERS)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(failures, [])
        self.assertAllThere()

    def test_loses_no_append_of_processes_that_race(self):
        self.write(rows(0))
        command = [sys.executable, __file__, "append", self.path, str(self.EACH)]
        writers = [subprocess.Popen([*command, str(1_000 * n)], stderr=subprocess.PIPE) for n in range(self.WRITERS)]
        said = [writer.communicate()[1] for writer in writers]
        self.assertEqual([writer.returncode for writer in writers], [0] * self.WRITERS, said)
        self.assertAllThere()

    def test_gives_each_of_many_that_create_the_table_a_version_of_its_own_or_none(self):
        outcomes, barrier = [], threading.Barrier(6)

        def create(writer: int):
            barrier.wait()
            try:
                self.write(rows(1, start=writer), mode="error")
                outcomes.append(writer)
            except (DeltaError, CommitFailedError):
                pass

        threads = [threading.Thread(target=create, args=(writer,)) for writer in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        # delta-rs appends as the next version when it has lost the first one; what counts is that no two got the same.
        self.assertEqual(self.numbers(), sorted(outcomes))
        self.assertEqual([entry["version"] for entry in self.open().history()], list(reversed(range(len(outcomes)))))

    def test_lets_one_of_two_conflicting_changes_through(self):
        self.write(rows(10))
        first, second = self.open(), self.open()
        first.update(updates={"n": "n + 100"})
        with self.assertRaises(CommitFailedError):
            second.update(updates={"n": "n + 200"})
        self.assertEqual(self.numbers(), list(range(100, 110)))

    def append_until_done(self, number: int):
        append_until_done(self.path, number)

    def assertAllThere(self):
        expected = sorted(1_000 * writer + n for writer in range(self.WRITERS) for n in range(self.EACH))
        self.assertEqual(self.numbers(), expected)
        self.assertEqual(self.open().version(), self.WRITERS * self.EACH)


def append_until_done(path: str, number: int):
    """delta-rs itself tries the next versions; only when all of those are taken it gives up."""
    for _ in range(20):
        try:
            return write_deltalake(path, rows(1, start=number), mode="append", storage_options=OPTIONS)
        except CommitFailedError:
            continue
    raise AssertionError(f"{number} was never appended")


if __name__ == "__main__":
    if sys.argv[1:2] == ["append"]:
        _, _, path, count, start = sys.argv
        for number in range(int(start), int(start) + int(count)):
            append_until_done(path, number)
        # Its threads may abort a regular exit.
        os._exit(0)
    else:
        run(f"deltalake {deltalake.__version__}")
