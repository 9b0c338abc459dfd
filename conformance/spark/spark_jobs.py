"""Jobs of Spark: each is one commit, whole or not at all, by every committer and in every mode."""

import contextlib
import json
import threading
import time

from lines import commits_of, sluice
from pyspark.sql import functions as F
from pyspark.sql.types import LongType
from spark_session import COMMITTERS, Case, files_below, guide_settings, read_text, spark, using

# Longer than the idle time that the suite's server has been given: a batch would end in each of these pauses.
PAUSE_SECONDS = 2
ROUNDS = 6
SCRATCH = ("_temporary", "__magic", ".spark-staging", ".hive-staging")


def events(count: int, start: int = 0, parts: int = 2):
    return spark.range(start, start + count, 1, parts).selectExpr("id", "concat('g', id % 3) AS part", "concat('row ', id) AS text")


def pausing(frame, seconds: float = PAUSE_SECONDS):
    """The same rows from tasks that write, pause, and write."""

    def pause(number):
        if number % 30 == 16:
            time.sleep(seconds)
        return number

    return frame.withColumn("id", F.udf(pause, LongType())("id"))


def wait_for(condition, seconds: int = 60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to pass in time")
        time.sleep(0.1)


def scratch_below(uri: str) -> list:
    return [path for path in files_below(uri) if any(name in path for name in SCRATCH)]


def ids(uri: str) -> list:
    return sorted(row.id for row in spark.read.parquet(uri).select("id").collect())


class Jobs(Case):
    @contextlib.contextmanager
    def committer(self, name: str):
        """A repo of its own, and the jobs inside end by this committer."""
        with self.subTest(committer=name), using(COMMITTERS[name]):
            self.setUp()
            yield

    def assertNoScratch(self):
        self.assertEqual(scratch_below(self.bucket), [])

    def assertCommits(self, count: int):
        """So many, and nothing that a job keeps while it runs is left; the newest commit."""
        commits = commits_of(self.repo)
        self.assertEqual(len(commits), count, [sluice("diff", f"{self.repo}@{commit['id']}") for commit in commits])
        self.assertNoScratch()
        return commits[0]

    def test_writes_partitioned_parquet_as_one_commit_with_every_committer_although_its_tasks_pause(self):
        for name in COMMITTERS:
            with self.committer(name):
                pausing(events(60)).write.partitionBy("part").parquet(self.table)
                commit = self.assertCommits(1)
                self.assertEqual(commit["files"], 7, "two tasks with three partitions each, and _SUCCESS; no folder markers")
                self.assertEqual(len(files_below(self.table)), 7)
                self.assertEqual(ids(self.table), list(range(60)))
                found = spark.read.parquet(self.table).where("part = 'g1' AND id < 6").collect()
                self.assertEqual(sorted(row.id for row in found), [1, 4])
                said = read_text(f"{self.table}/_SUCCESS")
                self.assertEqual(json.loads(said)["committer"] if said else "classic", name.split()[0])

    def test_overwrites_as_one_commit_and_leaves_the_commit_before_as_it_was(self):
        for name in ("classic 1", "magic", "directory"):
            with self.committer(name):
                events(30).write.parquet(self.table)
                first = self.assertCommits(1)
                # The mode deletes what is there before its tasks start.
                pausing(events(20, start=100)).write.parquet(self.table, mode="overwrite")
                self.assertCommits(2)
                self.assertEqual(ids(self.table), list(range(100, 120)))
                self.assertEqual(ids(self.table.replace("master", first["id"])), list(range(30)))

    def test_appends_as_one_commit_each(self):
        for name in ("classic 2", "magic", "directory"):
            with self.committer(name):
                events(10).write.parquet(self.table)
                self.assertCommits(1)
                events(10, start=10).write.parquet(self.table, mode="append")
                self.assertCommits(2)
                self.assertEqual(ids(self.table), list(range(20)))

    def test_lets_a_flush_wait_for_the_job_that_is_running(self):
        for name in ("classic 1", "magic"):
            with self.committer(name):
                events(10).write.parquet(f"{self.bucket}/before")
                writer = threading.Thread(target=lambda: pausing(events(20), 4).write.parquet(self.table))
                writer.start()
                wait_for(lambda: scratch_below(self.bucket))
                commit = commits_of(self.repo)[0]
                writer.join()
                snapshot = self.table.replace("master", commit["id"])
                self.assertEqual(ids(snapshot), list(range(20)))
                self.assertIn("_SUCCESS", files_below(snapshot))

    def test_makes_the_commit_by_itself_soon_after_success(self):
        events(10).write.parquet(self.table)
        listed = lambda: json.loads(sluice("commit", "list", self.repo, "--json"))
        wait_for(lambda: [commit["state"] for commit in listed()] == ["finished"])

    def test_writes_csv_json_and_text_partitioned_and_compressed(self):
        events(30).write.partitionBy("part").csv(f"{self.table}/csv", header=True, compression="gzip")
        events(30).write.json(f"{self.table}/json")
        events(30).select("text").write.text(f"{self.table}/text")
        found = spark.read.csv(f"{self.table}/csv", header=True, inferSchema=True)
        self.assertEqual(sorted(row.id for row in found.collect()), list(range(30)))
        self.assertEqual(set(found.columns), {"id", "text", "part"})
        self.assertTrue(all(path.endswith(".csv.gz") for path in files_below(f"{self.table}/csv") if path != "_SUCCESS"))
        self.assertEqual(spark.read.json(f"{self.table}/json").count(), 30)
        self.assertEqual(spark.read.text(f"{self.table}/text").count(), 30)
        self.assertNoScratch()

    def test_replaces_only_the_partitions_it_writes_with_dynamic_overwrite(self):
        dynamic = COMMITTERS["classic 1"] | guide_settings("dynamic")
        for mode, settings in (("overwrite", dynamic), ("append", COMMITTERS["partitioned"])):
            with self.subTest(mode=mode):
                table = f"{self.table}-{mode}"
                events(30).write.partitionBy("part").parquet(table)
                before = len(commits_of(self.repo))
                with using(settings):
                    pausing(events(20, start=1000).where("part = 'g1'")).write.partitionBy("part").parquet(table, mode=mode)
                self.assertCommits(before + 1)
                kept = [n for n in range(30) if n % 3 != 1]
                self.assertEqual(ids(table), kept + [n for n in range(1000, 1020) if n % 3 == 1])

    def test_leaves_the_branch_as_it_was_when_a_job_fails(self):
        def fail(number):
            if number == 9:
                time.sleep(0.5)
                raise ValueError("on purpose")
            return number

        for name in ("classic 1", "magic"):
            with self.committer(name):
                events(10, start=100).write.parquet(self.table)
                self.assertCommits(1)
                broken = events(10).withColumn("id", F.udf(fail, LongType())("id"))
                with self.assertRaisesJava("on purpose"):
                    broken.write.parquet(self.table, mode="append")
                self.assertEqual(ids(self.table), list(range(100, 110)))
                self.assertNoScratch()

    def test_writes_one_large_file_in_parts(self):
        with using({"spark.hadoop.fs.s3a.multipart.size": "5M"}):
            # Noise, so that Parquet can't compress it.
            noise = spark.range(0, 250_000, 1, 1).select("id", F.sha2(F.col("id").cast("string"), 256).alias("noise"))
            for name in ("classic 1", "magic"):
                with self.committer(name):
                    noise.write.parquet(self.table)
                    self.assertCommits(1)
                    sums = spark.read.parquet(self.table).agg(F.count("*"), F.sum(F.crc32("noise"))).first()
                    self.assertEqual(sums, noise.agg(F.count("*"), F.sum(F.crc32("noise"))).first())

    def test_saves_tables_by_sql(self):
        name = f"events_{self.repo}"
        spark.sql(f"CREATE TABLE {name} (id BIGINT, part STRING) USING parquet PARTITIONED BY (part) LOCATION '{self.table}'")
        try:
            spark.sql(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")
            spark.sql(f"INSERT OVERWRITE {name} PARTITION (part = 'a') VALUES (3)")
            self.assertEqual(sorted(tuple(row) for row in spark.table(name).collect()), [(2, "b"), (3, "a")])
        finally:
            spark.sql(f"DROP TABLE {name}")
        self.assertNoScratch()

    def test_keeps_jobs_that_run_at_once_apart_in_transactions(self):
        failures = []

        def write(number: int):
            try:
                pausing(events(20, start=100 * number)).write.parquet(f"s3a://tx-job{number}.master.{self.repo}/t{number}")
                sluice("transaction", "finish", f"{self.repo}@master", f"job{number}")
            except Exception as error:
                failures.append(repr(error)[:2000])

        for number in range(2):
            sluice("transaction", "start", f"{self.repo}@master", f"job{number}")
        threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(failures, [])
        for number in range(2):
            self.assertEqual(ids(f"{self.bucket}/t{number}"), list(range(100 * number, 100 * number + 20)))
        self.assertEqual(len(commits_of(self.repo)), 2)


class Snapshots(Case):
    def test_reads_one_state_from_a_commit_while_the_branch_is_rewritten(self):
        events(300, parts=6).write.partitionBy("part").parquet(self.table)
        [first] = commits_of(self.repo)
        snapshot = self.table.replace("master", first["id"])
        planned = spark.read.parquet(snapshot)
        rewritten, failures = threading.Event(), []

        def rewrite():
            try:
                for round in range(ROUNDS):
                    events(100, start=1000 * (round + 1)).write.partitionBy("part").parquet(self.table, mode="overwrite")
                    sluice("flush", f"{self.repo}@master")
            except Exception as error:
                failures.append(repr(error)[:2000])
            finally:
                rewritten.set()

        writer = threading.Thread(target=rewrite)
        writer.start()
        seen = []
        while not rewritten.is_set():
            seen.append(ids(snapshot))
        writer.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(seen), 0)
        self.assertTrue(all(one == list(range(300)) for one in seen))
        # Listed before all of this, read after it.
        self.assertEqual(planned.count(), 300)
        self.assertEqual(ids(self.table), list(range(1000 * ROUNDS, 1000 * ROUNDS + 100)))
        self.assertEqual(len(commits_of(self.repo)), ROUNDS + 1)

    def test_refuses_a_job_that_writes_into_a_commit(self):
        events(10).write.parquet(self.table)
        [first] = commits_of(self.repo)
        with self.assertRaisesJava("AccessDenied"):
            events(10).write.parquet(f"s3a://{first['id']}.{self.repo}/other")

    def test_reads_a_commit_by_the_beginning_of_its_id(self):
        events(10).write.parquet(self.table)
        [first] = commits_of(self.repo)
        events(20).write.parquet(self.table, mode="overwrite")
        sluice("flush", f"{self.repo}@master")
        self.assertEqual(ids(self.table.replace("master", first["id"][:12])), list(range(10)))
