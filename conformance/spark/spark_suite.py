"""What Spark does by S3A: jobs (spark_jobs.py), the calls of the file system (spark_files.py), and the guide's own examples."""

import json

from lines import commits_of, run, sluice
from spark_files import Connections, Files, Folders  # noqa: F401 (found by their names)
from spark_jobs import Jobs, Snapshots  # noqa: F401
from spark_session import BUILT_FOR, Case, guide_examples, read_text, spark


class Guide(Case):
    def test_shows_examples_that_run(self):
        sluice("repo", "create", "events")
        write, read = guide_examples()
        exec(write, {"spark": spark})
        first = commits_of("events")[0]
        self.assertEqual(json.loads(read_text("s3a://events/all/_SUCCESS"))["committer"], "magic", "the guide says so")
        exec(read.replace("0123456789abcdef0123456789abcdef", first["id"]), {"spark": spark})


if __name__ == "__main__":
    run(f"PySpark {BUILT_FOR['spark']}, Hadoop {BUILT_FOR['hadoop']}, AWS SDK for Java {BUILT_FOR['aws']}")
