"""DuckDB with httpfs, which it reaches S3 by."""

import os

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


def connection_with_httpfs() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    if PACKAGED:
        connection.load_extension(PACKAGED)
    else:
        connection.install_extension("httpfs")
        connection.load_extension("httpfs")
    return connection
