"""What polars programs do: scan, sink, write and read in its formats, partitions, snapshots."""

import os
import unittest

import polars as pl
from lines import ODD_NAMES, commits_of, new_repo, run, settings

OPTIONS = settings("polars")["options"]


def frame(rows: int, start: int = 0) -> pl.DataFrame:
    numbers = range(start, start + rows)
    return pl.DataFrame({"n": numbers, "group": [f"g{n % 4}" for n in numbers], "text": [f"row {n} äöü" for n in numbers]})


class Case(unittest.TestCase):
    def setUp(self):
        self.repo = new_repo()
        self.root = f"s3://master.{self.repo}"

    def assertSame(self, found: pl.DataFrame, expected: pl.DataFrame):
        self.assertTrue(found.sort("n").equals(expected.sort("n")), f"{found}\n{expected}")


class Formats(Case):
    def test_writes_and_reads_parquet_csv_ipc_and_ndjson(self):
        data = frame(10_000)
        data.write_parquet(f"{self.root}/t.parquet", storage_options=OPTIONS)
        self.assertSame(pl.read_parquet(f"{self.root}/t.parquet", storage_options=OPTIONS), data)
        data.write_csv(f"{self.root}/t.csv", storage_options=OPTIONS)
        self.assertSame(pl.read_csv(f"{self.root}/t.csv", storage_options=OPTIONS), data)
        data.write_ipc(f"{self.root}/t.arrow", storage_options=OPTIONS)
        self.assertSame(pl.scan_ipc(f"{self.root}/t.arrow", storage_options=OPTIONS).collect(), data)
        data.lazy().sink_ndjson(f"{self.root}/t.ndjson", storage_options=OPTIONS)
        self.assertSame(pl.scan_ndjson(f"{self.root}/t.ndjson", storage_options=OPTIONS).collect(), data)

    def test_overwrites(self):
        for rows in (10, 20):
            frame(rows).write_parquet(f"{self.root}/t.parquet", storage_options=OPTIONS)
        self.assertSame(pl.read_parquet(f"{self.root}/t.parquet", storage_options=OPTIONS), frame(20))

    def test_sends_a_large_file_in_parts_and_reads_some_of_it_by_ranges(self):
        data = frame(600_000).with_columns(noise=pl.col("n").hash())
        data.lazy().sink_parquet(f"{self.root}/large.parquet", storage_options=OPTIONS, compression="uncompressed", row_group_size=50_000)
        scan = pl.scan_parquet(f"{self.root}/large.parquet", storage_options=OPTIONS)
        self.assertSame(scan.filter(pl.col("n") >= 599_995).collect(), data.tail(5))
        self.assertEqual(scan.select(pl.col("n").sum()).collect().item(), 600_000 * 599_999 // 2)
        self.assertSame(scan.collect(), data)

    def test_says_that_a_file_is_not_there(self):
        with self.assertRaises((FileNotFoundError, OSError)):
            pl.read_parquet(f"{self.root}/none.parquet", storage_options=OPTIONS)


class Folders(Case):
    def write_parts(self, count: int = 12, rows: int = 100):
        for n in range(count):
            frame(rows, start=n * rows).write_parquet(f"{self.root}/parts/{n:02}.parquet", storage_options=OPTIONS)

    def test_scans_globs_and_folders_of_files_that_became_one_commit(self):
        self.write_parts()
        commits = commits_of(self.repo)
        self.assertEqual((len(commits), commits[0]["files"]), (1, 12))
        for source in ("parts/*.parquet", "parts/", "**/*.parquet"):
            self.assertSame(pl.scan_parquet(f"{self.root}/{source}", storage_options=OPTIONS).collect(), frame(1200))
        self.assertSame(pl.scan_parquet(f"{self.root}/parts/0[12].parquet", storage_options=OPTIONS).collect(), frame(200, 100))

    def test_writes_partitions_and_reads_them_with_filters(self):
        data = frame(4_000)
        target = pl.PartitionBy(f"{self.root}/set/", key="group")
        data.lazy().sink_parquet(target, storage_options=OPTIONS, mkdir=True)
        scan = pl.scan_parquet(f"{self.root}/set/", storage_options=OPTIONS, hive_partitioning=True)
        self.assertSame(scan.collect().select(data.columns), data)
        found = scan.filter((pl.col("group") == "g1") & (pl.col("n") < 10)).collect()
        self.assertEqual(sorted(found["n"].to_list()), [1, 5, 9])
        self.assertEqual(len(commits_of(self.repo)), 1)

    def test_takes_odd_names_as_they_are(self):
        # What polars itself reads as a pattern or as an escape in a path is not among them.
        names = [name for name in ODD_NAMES if not set(name) & set("*?[]{}%#")]
        for n, name in enumerate(names):
            frame(3, start=n).write_csv(f"{self.root}/odd/{name}", storage_options=OPTIONS)
        for n, name in enumerate(names):
            found = pl.scan_csv(f"{self.root}/odd/{name}", storage_options=OPTIONS, glob=False).collect()
            self.assertSame(found, frame(3, start=n))

    def test_reads_a_commit_after_the_branch_moved_on(self):
        self.write_parts(3)
        [first] = commits_of(self.repo)
        frame(1, start=-1).write_parquet(f"{self.root}/parts/00.parquet", storage_options=OPTIONS)
        frame(1, start=9_999).write_parquet(f"{self.root}/parts/99.parquet", storage_options=OPTIONS)
        snapshot = f"s3://{first['id']}.{self.repo}"
        self.assertSame(pl.scan_parquet(f"{snapshot}/parts/", storage_options=OPTIONS).collect(), frame(300))
        self.assertEqual(pl.scan_parquet(f"{self.root}/parts/", storage_options=OPTIONS).collect().height, 202)
        with self.assertRaises(Exception) as caught:
            frame(1).write_parquet(f"{snapshot}/parts/no.parquet", storage_options=OPTIONS)
        self.assertRegex(str(caught.exception), "(?i)access ?denied|permission|403")


class Settings(Case):
    def test_takes_everything_from_the_environment(self):
        os.environ["AWS_ALLOW_HTTP"] = "true"
        frame(3).write_parquet(f"{self.root}/t.parquet")
        self.assertSame(pl.scan_parquet(f"{self.root}/t.parquet").collect(), frame(3))

    def test_is_refused_with_a_wrong_secret(self):
        wrong = {**OPTIONS, "aws_secret_access_key": "x" * 40}
        with self.assertRaises(Exception) as caught:
            frame(3).write_parquet(f"{self.root}/t.parquet", storage_options=wrong)
        self.assertRegex(str(caught.exception), "SignatureDoesNotMatch|403")


if __name__ == "__main__":
    run(f"polars {pl.__version__}")
