"""What pyarrow programs do: its file system, Parquet, CSV and Feather files, partitioned data sets, snapshots."""

import concurrent.futures
import os
import subprocess
import sys
import unittest

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
from lines import ENDPOINT, MIB, ODD_NAMES, commits_of, new_repo, noise, run, settings
from pyarrow import fs


def filesystem(**more):
    return fs.S3FileSystem(endpoint_override=ENDPOINT, scheme="http", region="us-east-1", **more)


def table(rows: int, start: int = 0) -> pa.Table:
    numbers = list(range(start, start + rows))
    return pa.table({"n": numbers, "group": [f"g{n % 4}" for n in numbers], "text": [f"row {n} äöü" for n in numbers]})


def sorted_rows(data: pa.Table) -> list:
    return data.select(["n", "text"]).sort_by("n").to_pylist()


class Case(unittest.TestCase):
    def setUp(self):
        self.s3 = filesystem()
        self.repo = new_repo()
        self.bucket = f"master.{self.repo}"

    def put(self, key: str, data: bytes):
        with self.s3.open_output_stream(f"{self.bucket}/{key}") as out:
            out.write(data)

    def get(self, key: str, bucket: str = "") -> bytes:
        with self.s3.open_input_stream(f"{bucket or self.bucket}/{key}") as stream:
            return stream.read()

    def names(self, folder: str = "", recursive: bool = True, bucket: str = "") -> list:
        selector = fs.FileSelector(f"{bucket or self.bucket}/{folder}".rstrip("/"), recursive=recursive)
        return sorted(info.path.split("/", 1)[1] for info in self.s3.get_file_info(selector))


class Files(Case):
    def test_works_with_the_file_system_of_its_guide(self):
        guided = settings("pyarrow")["s3"]
        self.put("a", b"there")
        with guided.open_input_stream(f"{self.bucket}/a") as stream:
            self.assertEqual(stream.read(), b"there")

    def test_writes_reads_overwrites_and_deletes(self):
        self.put("a/b", b"first")
        self.put("a/b", b"second")
        self.assertEqual(self.get("a/b"), b"second")
        info = self.s3.get_file_info(f"{self.bucket}/a/b")
        self.assertEqual((info.type, info.size), (fs.FileType.File, 6))
        self.assertEqual(self.s3.get_file_info(f"{self.bucket}/a").type, fs.FileType.Directory)
        self.s3.delete_file(f"{self.bucket}/a/b")
        self.assertEqual(self.s3.get_file_info(f"{self.bucket}/a/b").type, fs.FileType.NotFound)
        with self.assertRaises(FileNotFoundError):
            self.get("a/b")

    def test_writes_empty_and_large_files(self):
        self.put("empty", b"")
        self.assertEqual(self.get("empty"), b"")
        large = noise("pyarrow", 41 * MIB)
        self.put("large", large)
        self.assertEqual(self.get("large"), large)
        with self.s3.open_input_file(f"{self.bucket}/large") as opened:
            self.assertEqual(opened.size(), len(large))
            opened.seek(17 * MIB)
            self.assertEqual(opened.read(1000), large[17 * MIB : 17 * MIB + 1000])
            self.assertEqual(opened.read_at(100, len(large) - 50), large[-50:])

    def test_stays_whole_with_background_writes_off_and_in_many_threads(self):
        self.s3 = filesystem(background_writes=False)
        bodies = {f"t/{n}": noise(str(n), 200_000 + n) for n in range(16)}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self.put(*item), bodies.items()))
            self.assertEqual(list(pool.map(self.get, bodies)), list(bodies.values()))

    def test_shows_nothing_of_a_file_whose_writer_died(self):
        self.put("other", b"x")
        path = f"{self.bucket}/broken"
        died = subprocess.run([sys.executable, __file__, "die", path])
        self.assertEqual(died.returncode, 9)
        self.assertEqual(self.names(), ["other"])

    def test_keeps_metadata_and_content_type(self):
        metadata = {"Content-Type": "text/x-odd", "Content-Language": "de"}
        with self.s3.open_output_stream(f"{self.bucket}/typed", metadata=metadata) as out:
            out.write(b"x")
        with self.s3.open_input_stream(f"{self.bucket}/typed") as stream:
            shown = stream.metadata()
        self.assertEqual((shown["Content-Type"], shown["Content-Language"]), (b"text/x-odd", b"de"))

    def test_takes_odd_names_as_they_are(self):
        for name in ODD_NAMES:
            self.put(f"odd/{name}", name.encode())
        for name in ODD_NAMES:
            self.assertEqual(self.get(f"odd/{name}"), name.encode())
            self.s3.copy_file(f"{self.bucket}/odd/{name}", f"{self.bucket}/copy/{name}")
            self.assertEqual(self.get(f"copy/{name}"), name.encode())
        listed = [name for name in self.names("odd") if self.s3.get_file_info(f"{self.bucket}/{name}").is_file]
        self.assertEqual(listed, sorted(f"odd/{name}" for name in ODD_NAMES))

    def test_reads_by_a_uri(self):
        self.put("by/uri", b"here")
        host = ENDPOINT.removeprefix("http://")
        found, path = fs.FileSystem.from_uri(f"s3://{self.bucket}/by/uri?scheme=http&endpoint_override={host}&region=us-east-1")
        with found.open_input_stream(path) as stream:
            self.assertEqual(stream.read(), b"here")


class Folders(Case):
    def test_makes_lists_moves_and_deletes_folders(self):
        self.s3.create_dir(f"{self.bucket}/x/y", recursive=True)
        self.assertEqual(self.names(), ["x", "x/y"])
        self.put("x/y/one", b"1")
        self.put("x/two", b"2")
        self.assertEqual(self.names("x", recursive=False), ["x/two", "x/y"])
        self.s3.move(f"{self.bucket}/x/two", f"{self.bucket}/x/y/two")
        self.assertEqual(self.names("x"), ["x/y", "x/y/one", "x/y/two"])
        self.s3.delete_dir_contents(f"{self.bucket}/x/y")
        self.assertEqual(self.names(), ["x", "x/y"])
        self.s3.delete_dir(f"{self.bucket}/x")
        self.assertEqual(self.names(), [])

    def test_makes_and_deletes_buckets_where_it_is_told_to(self):
        own = filesystem(allow_bucket_creation=True, allow_bucket_deletion=True)
        own.create_dir(f"other.{self.repo}")
        listed = [info.path for info in own.get_file_info(fs.FileSelector(""))]
        self.assertIn(f"other.{self.repo}", listed)
        own.delete_dir(f"other.{self.repo}")
        self.assertEqual(own.get_file_info(f"other.{self.repo}").type, fs.FileType.NotFound)

    def test_lists_more_than_one_page(self):
        names = [f"many/{n:04}" for n in range(1100)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: self.put(name, b"x"), names))
        self.assertEqual(self.names("many"), names)
        self.s3.delete_dir(f"{self.bucket}/many")
        self.assertEqual(self.names(), [])
        self.assertEqual(len(commits_of(self.repo)), 1, "all of it went on without a pause")


class Data(Case):
    def test_round_trips_parquet_csv_and_feather(self):
        data = table(50_000)
        pq.write_table(data, f"{self.bucket}/t.parquet", filesystem=self.s3, row_group_size=5_000)
        self.assertTrue(pq.read_table(f"{self.bucket}/t.parquet", filesystem=self.s3).equals(data))
        some = pq.read_table(f"{self.bucket}/t.parquet", filesystem=self.s3, columns=["n"], filters=[("n", ">=", 49_990)])
        self.assertEqual(some.column("n").to_pylist(), list(range(49_990, 50_000)))
        with self.s3.open_output_stream(f"{self.bucket}/t.csv") as out:
            pyarrow.csv.write_csv(data, out)
        with self.s3.open_input_stream(f"{self.bucket}/t.csv") as stream:
            self.assertTrue(pyarrow.csv.read_csv(stream).equals(data))
        with self.s3.open_output_stream(f"{self.bucket}/t.csv.gz", compression="gzip") as out:
            pyarrow.csv.write_csv(data, out)
        with self.s3.open_input_stream(f"{self.bucket}/t.csv.gz", compression="gzip") as stream:
            self.assertTrue(pyarrow.csv.read_csv(stream).equals(data))
        with self.s3.open_output_stream(f"{self.bucket}/t.feather") as out:
            pyarrow.feather.write_feather(data, out)
        with self.s3.open_input_file(f"{self.bucket}/t.feather") as opened:
            self.assertTrue(pyarrow.feather.read_table(opened).equals(data))

    def write(self, data: pa.Table, **more):
        partitioning = ds.partitioning(pa.schema([("group", pa.string())]), flavor="hive")
        ds.write_dataset(data, f"{self.bucket}/set", format="parquet", filesystem=self.s3, partitioning=partitioning, **more)

    def read(self, bucket: str = "", **more) -> pa.Table:
        opened = ds.dataset(f"{bucket or self.bucket}/set", format="parquet", filesystem=self.s3, partitioning="hive")
        return opened.to_table(**more)

    def test_writes_a_partitioned_data_set_as_one_commit_and_reads_it_with_filters(self):
        self.write(table(20_000), max_rows_per_file=1_000, max_rows_per_group=1_000)
        commits = commits_of(self.repo)
        self.assertEqual((len(commits), commits[0]["files"]), (1, 20))
        self.assertEqual(sorted_rows(self.read()), sorted_rows(table(20_000)))
        found = self.read(filter=(ds.field("group") == "g1") & (ds.field("n") < 10))
        self.assertEqual(sorted(found.column("n").to_pylist()), [1, 5, 9])

    def test_replaces_partitions_and_still_reads_the_commit_before(self):
        self.write(table(100))
        [first] = commits_of(self.repo)
        newer = table(50, start=1_000).filter(pa.compute.equal(table(50, start=1_000)["group"], "g0"))
        self.write(newer, existing_data_behavior="delete_matching")
        self.assertEqual(self.read(filter=ds.field("group") == "g0").num_rows, newer.num_rows)
        self.assertEqual(self.read().num_rows, 75 + newer.num_rows)
        snapshot = f"{first['id']}.{self.repo}"
        self.assertEqual(sorted_rows(self.read(snapshot)), sorted_rows(table(100)))
        with self.assertRaisesRegex(OSError, "ACCESS_DENIED|AccessDenied"):
            self.s3.delete_file(f"{snapshot}/set/group=g0/part-0.parquet")
        self.assertEqual(len(commits_of(self.repo)), 2)


def die_while_writing(path: str):
    out = filesystem(background_writes=False).open_output_stream(path)
    out.write(noise("broken", 25 * MIB))
    os._exit(9)


if __name__ == "__main__":
    if sys.argv[1:2] == ["die"]:
        die_while_writing(sys.argv[2])
    run(f"pyarrow {pa.__version__}")
