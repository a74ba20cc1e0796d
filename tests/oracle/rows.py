"""The rows of stores, as DuckDB and pyarrow read them: for each path on standard input a line of JSON,
{"duckdb": digest or error, "pyarrow": digest or error}. Readers of Parquet that know nothing of flowlog."""

import glob
import hashlib
import json
import sys

import duckdb
import pyarrow.parquet


def digest(rows):
    lines = sorted(repr(row) for row in rows)
    return f"{len(lines)} rows, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def by_duckdb(files):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows = []
    for file in files:
        # As text: for times with a zone, Python would need another module.
        question = "SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?, hive_partitioning = false)"
        rows += connection.execute(question, [file]).fetchall()
    return digest(rows)


def by_pyarrow(files):
    rows = []
    for file in files:
        table = pyarrow.parquet.read_table(file, partitioning=None)
        rows += [tuple(row.values()) for row in table.to_pylist()]
    return digest(rows)


def answer(read, store):
    try:
        return read(sorted(glob.glob(f"{store}/*/*/*/*/*.parquet")))
    except Exception as error:  # Whatever it is: the file is not read.
        return f"error: {type(error).__name__}"


for line in sys.stdin:
    store = line.strip()
    answers = {"duckdb": answer(by_duckdb, store), "pyarrow": answer(by_pyarrow, store)}
    print(json.dumps(answers), flush=True)
