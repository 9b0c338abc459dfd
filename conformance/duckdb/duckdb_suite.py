"""What DuckDB users do through httpfs: COPY out, query files, globs and partitions, views over snapshots."""

import os
import re
import sys
import unittest

import duckdb
from duckdb_httpfs import PACKAGED, connection_with_httpfs
from lines import ENDPOINT, ODD_NAMES, commits_of, new_repo, run

with open(f"{os.environ['SUITE_GUIDES']}/duckdb.md", encoding="utf-8") as page:
    GUIDE = page.read()


def connect(secret: str = os.environ["AWS_SECRET_ACCESS_KEY"]) -> duckdb.DuckDBPyConnection:
    """With the secret that the guide shows."""
    connection = connection_with_httpfs()
    [statement] = re.findall(r"^CREATE SECRET .*;$", GUIDE, re.MULTILINE)
    filled = statement.replace("YOUR_ACCESS_KEY", os.environ["AWS_ACCESS_KEY_ID"]).replace("YOUR_SECRET_KEY", secret)
    connection.execute(filled.replace("127.0.0.1:30600", ENDPOINT.removeprefix("http://")))
    return connection


try:
    connect().close()
    MISSING = None
except (duckdb.Error, OSError) as error:
    MISSING = f"httpfs can not be had: {str(error).splitlines()[0]}"


@unittest.skipIf(MISSING, MISSING)
class Case(unittest.TestCase):
    def setUp(self):
        self.repo = new_repo()
        self.root = f"s3://master.{self.repo}"
        self.db = connect()
        self.addCleanup(self.db.close)

    def rows(self, sql: str) -> list:
        return self.db.execute(sql).fetchall()

    def write(self, name: str, rows: int, options: str = "", start: int = 0):
        source = f"SELECT range + {start} AS n, 'g' || (range % 4) AS \"group\", 'row ' || range AS text FROM range({rows})"
        self.db.execute(f"COPY ({source}) TO '{self.root}/{name}' {options}")


class Files(Case):
    def test_writes_and_reads_parquet_csv_and_json(self):
        for kind in ("parquet", "csv", "json"):
            self.write(f"t.{kind}", 5_000)
            self.assertEqual(self.rows(f"SELECT count(*), sum(n), max(text) FROM '{self.root}/t.{kind}'"), [(5_000, 12_497_500, "row 999")])

    def test_overwrites_and_reads_anew(self):
        for rows in (10, 20, 30):
            self.write("t.parquet", rows)
            self.assertEqual(self.rows(f"SELECT count(*) FROM '{self.root}/t.parquet'"), [(rows,)])

    def test_sends_a_large_file_in_parts_and_reads_some_of_it_by_ranges(self):
        self.db.execute(f"COPY (SELECT range AS n, md5(range::VARCHAR) AS text FROM range(800000)) TO '{self.root}/large.parquet' (ROW_GROUP_SIZE 50000)")
        size = self.rows(f"SELECT size FROM read_blob('{self.root}/large.parquet')")[0][0]
        self.assertGreater(size, 20_000_000)
        self.assertEqual(self.rows(f"SELECT text FROM '{self.root}/large.parquet' WHERE n = 777777"), self.rows("SELECT md5('777777')"))
        self.assertEqual(self.rows(f"SELECT count(*), sum(n) FROM '{self.root}/large.parquet'"), [(800_000, 799_999 * 400_000)])

    def test_takes_odd_names_as_they_are(self):
        # What DuckDB itself reads as a pattern or as the end of a literal is not among them.
        names = [name for name in ODD_NAMES if not set(name) & set("*?[]'")]
        for n, name in enumerate(names):
            self.write(f"odd/{name}", 1, "(FORMAT csv)", start=n)
        for n, name in enumerate(names):
            self.assertEqual(self.rows(f"SELECT n FROM read_csv('{self.root}/odd/{name}')"), [(n,)], name)
        listed = [file.removeprefix(f"{self.root}/odd/") for (file,) in self.rows(f"SELECT file FROM glob('{self.root}/odd/**')")]
        self.assertEqual(sorted(listed), sorted(names))

    def test_says_that_a_file_is_not_there(self):
        with self.assertRaisesRegex(duckdb.Error, "404|No files found"):
            self.rows(f"SELECT * FROM '{self.root}/none.parquet'")

    def test_is_refused_with_a_wrong_secret(self):
        self.write("t.csv", 1)
        with connect("x" * 40) as intruder, self.assertRaisesRegex(duckdb.Error, "403|SignatureDoesNotMatch"):
            intruder.execute(f"SELECT * FROM read_csv('{self.root}/t.csv')").fetchall()


class Folders(Case):
    def test_queries_globs_of_files_that_became_one_commit(self):
        for n in range(12):
            self.write(f"parts/{n:02}.parquet", 100, start=100 * n)
        commits = commits_of(self.repo)
        self.assertEqual((len(commits), commits[0]["files"]), (1, 12))
        for pattern, expected in (("parts/*.parquet", 1200), ("**/*.parquet", 1200), ("parts/0[12].parquet", 200)):
            self.assertEqual(self.rows(f"SELECT count(DISTINCT n) FROM read_parquet('{self.root}/{pattern}')"), [(expected,)])

    def test_writes_partitions_and_reads_them_with_filters(self):
        self.write("set", 4_000, '(FORMAT parquet, PARTITION_BY ("group"))')
        found = self.rows(f"SELECT n FROM read_parquet('{self.root}/set/**/*.parquet', hive_partitioning = true) WHERE \"group\" = 'g1' AND n < 10 ORDER BY n")
        self.assertEqual(found, [(1,), (5,), (9,)])
        self.write("set", 40, '(FORMAT parquet, PARTITION_BY ("group"), OVERWRITE_OR_IGNORE)', start=10_000)
        self.assertEqual(self.rows(f"SELECT count(*) FROM read_parquet('{self.root}/set/**/*.parquet')"), [(40,)])
        self.assertEqual(len(commits_of(self.repo)), 1)

    def test_reads_a_commit_after_the_branch_moved_on(self):
        self.write("t.parquet", 10)
        [first] = commits_of(self.repo)
        self.write("t.parquet", 20)
        self.write("u.parquet", 1)
        snapshot = f"s3://{first['id']}.{self.repo}"
        self.assertEqual(self.rows(f"SELECT count(*) FROM read_parquet('{snapshot}/*.parquet')"), [(10,)])
        joined = f"SELECT count(*) FROM '{self.root}/t.parquet' ANTI JOIN '{snapshot}/t.parquet' USING (n)"
        self.assertEqual(self.rows(joined), [(10,)], "what was added since")
        with self.assertRaisesRegex(duckdb.Error, "403|AccessDenied"):
            self.db.execute(f"COPY (SELECT 1) TO '{snapshot}/no.parquet'")

    def test_attaches_a_database_file_read_only(self):
        path = os.path.join(os.getcwd(), "small.duckdb")
        with duckdb.connect(path) as local:
            local.execute("CREATE TABLE t AS SELECT range AS n FROM range(1000)")
        self.db.execute(f"COPY (SELECT content FROM read_blob('{path}')) TO '{self.root}/small.duckdb' (FORMAT blob)")
        self.db.execute(f"ATTACH '{self.root}/small.duckdb' AS remote (READ_ONLY)")
        self.assertEqual(self.rows("SELECT sum(n) FROM remote.t"), [(499_500,)])


def follow(page: str):
    """Runs the statements that the guide shows."""
    with connect() as db:
        for statement in page.split(";\n"):
            if statement.strip() and "CREATE SECRET" not in statement:
                db.execute(statement).fetchall()


if __name__ == "__main__":
    if sys.argv[1:2] == ["sql"]:
        follow(sys.stdin.read())
    else:
        run(f"duckdb {duckdb.__version__}, httpfs {'from its package' if PACKAGED else MISSING or 'from its server'}")
