"""One Spark for the whole suite, with the settings of docs/clients/spark.md, and what its tests share."""

import contextlib
import os
import re
import sys
import unittest
import uuid
from pathlib import Path

import pyspark
from lines import ENDPOINT, new_repo
from pyspark.sql import SparkSession

GUIDE = (Path(__file__).parents[2] / "docs/clients/spark.md").read_text()
BUILT_FOR = dict(re.findall(r"<(\w+)\.version>([^<]+)<", (Path(__file__).parent / "pom.xml").read_text()))


def guide_settings(name: str = "") -> dict:
    """The lines of the guide's block ```properties NAME."""
    found = re.search(rf"```properties{' ' + name if name else ''}\n(.*?)```", GUIDE, re.DOTALL)
    if not found:
        raise AssertionError(f"the guide has no settings {name}")
    return dict(line.split() for line in found[1].strip().split("\n"))


def guide_examples() -> list:
    return re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def open_spark() -> SparkSession:
    brought = [path.name for path in Path(pyspark.__path__[0], "jars").glob("hadoop-client-api-*.jar")]
    if pyspark.__version__ != BUILT_FOR["spark"] or brought != [f"hadoop-client-api-{BUILT_FOR['hadoop']}.jar"]:
        raise SystemExit(f"pom.xml is for {BUILT_FOR}, and this is PySpark {pyspark.__version__} with {brought}")
    settings = guide_settings()
    settings["spark.hadoop.fs.s3a.endpoint"] = ENDPOINT
    settings |= {
        "spark.jars": ",".join(str(jar) for jar in sorted(Path(os.environ["SUITE_SPARK_JARS"]).glob("*.jar"))),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": os.getcwd(),
        "spark.sql.warehouse.dir": f"{os.getcwd()}/warehouse",
        "spark.hadoop.hadoop.tmp.dir": f"{os.getcwd()}/hadoop",
    }
    builder = SparkSession.builder.master("local[4]").appName("conformance")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


# The workers run what this is run by.
os.environ["PYSPARK_PYTHON"] = sys.executable
spark = open_spark()
jvm = spark.sparkContext._jvm
hadoop = spark.sparkContext._jsc.hadoopConfiguration()

COMMITTERS = {
    **{
        f"classic {version}": guide_settings("classic")
        | {"spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": version}
        for version in ("1", "2")
    },
    "magic": guide_settings("magic"),
    "directory": guide_settings("directory"),
    "partitioned": guide_settings("partitioned"),
}


@contextlib.contextmanager
def using(settings: dict):
    """These settings for the jobs inside. S3A reads those of its committers for each job, so the session stays."""
    inner = {name.removeprefix("spark.hadoop."): value for name, value in settings.items() if name.startswith("spark.hadoop.")}
    own = {name: value for name, value in settings.items() if not name.startswith("spark.hadoop.")}
    before = {name: hadoop.get(name) for name in inner}
    own_before = {name: spark.conf.get(name, None) for name in own}
    for name, value in inner.items():
        hadoop.set(name, value)
    for name, value in own.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            hadoop.unset(name) if value is None else hadoop.set(name, value)
        for name, value in own_before.items():
            spark.conf.unset(name) if value is None else spark.conf.set(name, value)


def path_of(uri: str):
    return jvm.org.apache.hadoop.fs.Path(uri)


def filesystem(uri: str, **settings):
    """The file system that jobs use; with settings (`_` for `.`) one of its own."""
    if not settings:
        return path_of(uri).getFileSystem(hadoop)
    conf = jvm.org.apache.hadoop.conf.Configuration(hadoop)
    for name, value in settings.items():
        conf.set(name.replace("_", "."), value)
    return jvm.org.apache.hadoop.fs.FileSystem.newInstance(path_of(uri).toUri(), conf)


def files_below(uri: str) -> list:
    """The paths of all files below, relative to it, sorted."""
    found = filesystem(uri).listFiles(path_of(uri), True)
    paths = []
    while found.hasNext():
        paths.append(found.next().getPath().toString().removeprefix(uri).lstrip("/"))
    return sorted(paths)


def read_text(uri: str) -> str:
    stream = filesystem(uri).open(path_of(uri))
    try:
        return jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")
    finally:
        stream.close()


class Case(unittest.TestCase):
    def setUp(self):
        # A letter first, or S3A gets no host out of the name.
        self.repo = new_repo()
        self.bucket = f"s3a://master.{self.repo}"
        self.table = f"{self.bucket}/t-{uuid.uuid4().hex[:6]}"

    def assertRaisesJava(self, pattern: str):
        """Whatever wraps it in Python, the Java exception says this."""
        return self.assertRaisesRegex(Exception, pattern)
