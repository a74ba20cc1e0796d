"""Asks a DuckDB that has no command line, by the arguments that one would take: FOLDER -json -c SQL ..."""

import json
import sys

sys.path.insert(0, sys.argv[1])
import duckdb

connection = duckdb.connect()
rows = []
try:
    for sql in (after for word, after in zip(sys.argv, sys.argv[1:]) if word == "-c"):
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description or []]
        rows = [dict(zip(names, row)) for row in answer.fetchall()]
except duckdb.Error as error:
    sys.exit(str(error))
print(json.dumps(rows, default=str, ensure_ascii=False))
