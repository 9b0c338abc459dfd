"""A table in Parquet, written to S3 and loaded by what a manifest names, with DuckDB."""

import json
import os
import sys

import duckdb

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "shared"))
from duckdb_httpfs import connection_with_httpfs  # noqa: E402


def at_endpoint() -> duckdb.DuckDBPyConnection:
    connection = connection_with_httpfs()
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
    {"probe": lambda: connection_with_httpfs().close(), "write": write, "load": load}[command](*arguments)
