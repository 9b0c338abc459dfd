"""A table in Parquet, written to S3 and loaded by what a manifest names, with DuckDB."""

import json
import os
import sys

import duckdb

try:
    # The extension as a Python package, for machines that can't reach DuckDB's own extension server.
    import duckdb_extension_httpfs

    PACKAGED = next(
        os.path.join(folder, name)
        for folder, _, names in os.walk(os.path.dirname(duckdb_extension_httpfs.__file__))
        for name in names
        if name == "httpfs.duckdb_extension" and f"v{duckdb.__version__}" in folder
    )
except (ImportError, StopIteration):
    PACKAGED = None


def connect() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    if PACKAGED:
        connection.load_extension(PACKAGED)
    else:
        connection.install_extension("httpfs")
        connection.load_extension("httpfs")
    return connection


def at_endpoint() -> duckdb.DuckDBPyConnection:
    connection = connect()
    endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')"
    )
    return connection


def write(place: str):
    """1,000 rows in two partitions."""
    rows = "SELECT range AS amount, CASE WHEN range < 400 THEN 'north' ELSE 'south' END AS region FROM range(1000)"
    at_endpoint().execute(f"COPY ({rows}) TO '{place}' (FORMAT parquet, PARTITION_BY (region))")


def load(manifest: str):
    """What COPY does: reads the files that are named, no others; each has the length that is said."""
    db = at_endpoint()
    [(text,)] = db.execute("SELECT content FROM read_text($1)", [manifest]).fetchall()
    entries = json.loads(text)["entries"]
    urls = [entry["url"] for entry in entries]
    lengths = dict(db.execute("SELECT filename, size FROM read_blob($1)", [urls]).fetchall())
    assert lengths == {entry["url"]: entry["meta"]["content_length"] for entry in entries}, lengths
    [(rows, total)] = db.execute("SELECT count(*), sum(amount) FROM read_parquet($1)", [urls]).fetchall()
    print(json.dumps({"files": len(urls), "rows": rows, "total": int(total)}))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"probe": lambda: connect().close(), "write": write, "load": load}[command](*arguments)
