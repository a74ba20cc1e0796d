#!/usr/bin/env python3
"""Asks a flowlog store with Spark, the same questions as `flowlog duckdb` has macros for.

    spark-submit flows.py --store s3://bucket/prefix "top_talkers 10" "volume_per_hour"

Several questions share one start of Spark, which takes seconds. See README.md beside this file.
"""

import argparse
import ipaddress
import logging
import os
import shlex
import sys

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, expr, struct, to_json
from pyspark.sql.types import DecimalType

# The parameters of each question, and its SQL. Every parameter arrives as text.
QUESTIONS = {
    # Members by volume. Two gateways may have the same address: a member is an address behind an
    # interface of a gateway.
    "top_talkers": (
        ["n"],
        """
        SELECT gateway, interface, member_ip, sum(bytes_up + bytes_down) AS bytes,
            sum(packets_up + packets_down) AS packets, count(*) AS flows
        FROM flows GROUP BY gateway, interface, member_ip
        ORDER BY bytes DESC, gateway, interface, member_ip LIMIT int(:n)
        """,
    ),
    # Who talked to an address.
    "who_talked_to": (
        ["address"],
        """
        SELECT gateway, interface, member_ip, protocol, remote_port,
            min(flow_start) AS first_seen, max(flow_end) AS last_seen,
            sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down
        FROM flows WHERE remote_ip = :address
        GROUP BY gateway, interface, member_ip, protocol, remote_port
        ORDER BY first_seen, last_seen, gateway, interface, member_ip, protocol, remote_port NULLS LAST
        """,
    ),
    # Who used a remote address and port at an instant, a second either way. Only the folders of the
    # instant's hour and of the next one are read. After an outage of more than an hour say how many
    # hours it was: what was counted meanwhile is in the hour in which the gateway came back.
    "at_instant": (
        ["address", "port", "instant", "outage_hours"],
        """
        SELECT * FROM flows WHERE remote_ip = :address AND remote_port = int(:port)
            AND flow_start <= timestamp(:instant) + INTERVAL 1 SECOND
            AND flow_end >= timestamp(:instant) - INTERVAL 1 SECOND
            AND timestamp(date) + make_dt_interval(0, hour)
                BETWEEN date_trunc('HOUR', timestamp(:instant) - INTERVAL 1 SECOND)
                AND timestamp(:instant) + make_dt_interval(0, int(:outage_hours), 0, 1)
        ORDER BY flow_start, member_ip, member_port, protocol, gateway, interface
        """,
    ),
    # Volume by hour of UTC.
    "volume_per_hour": (
        [],
        """
        SELECT gateway, date, hour,
            sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down, count(*) AS flows
        FROM flows GROUP BY gateway, date, hour ORDER BY gateway, date, hour
        """,
    ),
    # What was seen and not kept.
    "losses": (
        [],
        """
        SELECT gateway, window_start, interface, direction, packets_overflow, packets_remainder,
            packets_not_ip, packets_malformed, packets_excluded
        FROM ledger WHERE packets_seen <> packets_flows
        ORDER BY gateway, window_start, interface, direction
        """,
    ),
    # When nothing was counted, and why, on interfaces that were counted within a day before or at any
    # time after.
    "gaps": (
        [],
        """
        SELECT gateway, interface, gap_start, gap_end, gap_reason
        FROM (SELECT DISTINCT gateway, interface, gap_start, gap_end, gap_reason FROM ledger
            WHERE gap_start IS NOT NULL)
        JOIN (SELECT gateway, interface, max(observed_end) AS last_observed FROM ledger
            WHERE observed_start < observed_end GROUP BY gateway, interface)
        USING (gateway, interface)
        WHERE last_observed >= gap_start - INTERVAL 1 DAY
        ORDER BY gateway, interface, gap_start, gap_end, gap_reason
        """,
    ),
}
DEFAULTS = {"outage_hours": "1"}
TABLES = ["flows", "ledger"]
# Those of sessions, which a store has or not.
DAILY_TABLES = ["sessions", "coverage"]
# Columns of `flows` that no file has, as in DuckDB.
PROTOCOL_NAME = """
    CASE protocol WHEN 1 THEN 'icmp' WHEN 2 THEN 'igmp' WHEN 4 THEN 'ipip' WHEN 6 THEN 'tcp' WHEN 17 THEN 'udp'
        WHEN 41 THEN 'ipv6' WHEN 47 THEN 'gre' WHEN 50 THEN 'esp' WHEN 51 THEN 'ah' WHEN 58 THEN 'icmpv6'
        WHEN 89 THEN 'ospf' WHEN 103 THEN 'pim' WHEN 112 THEN 'vrrp' WHEN 115 THEN 'l2tp' WHEN 132 THEN 'sctp'
        WHEN 136 THEN 'udplite' ELSE string(protocol) END
"""
FAMILY = "IF(contains(member_ip, ':'), 6, 4)"


def main() -> None:
    # Spark tells of an error by an exception, and besides in a page of its own.
    logging.disable()
    arguments = parse_arguments()
    questions = [parse_question(question) for question in arguments.questions]
    try:
        spark = open_store(arguments.store)
        for sql, parameters in questions:
            refresh(spark)
            show(spark.sql(sql, args=parameters), arguments.format)
    except PySparkException as error:
        give_up(str(error))
    except Py4JJavaError as error:
        give_up(error.java_exception.getMessage())


def give_up(why: str) -> None:
    """Says the first line: those after it are Spark's own."""
    sys.exit(f"flows.py: {why.splitlines()[0]}")


def parse_arguments() -> argparse.Namespace:
    usages = "\n".join(f"  {usage(name)}" for name in QUESTIONS)
    parser = argparse.ArgumentParser(
        description="Asks a flowlog store with Spark.",
        epilog=f"questions, each in quotes:\n{usages}\n  SELECT … FROM flows …",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", required=True, help="a directory, or a URL (s3://bucket/prefix)")
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="text is for people, json one array a question, on a line of its own",
    )
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    return parser.parse_args()


def usage(name: str) -> str:
    words = [f"[{word}]" if word in DEFAULTS else word for word in QUESTIONS[name][0]]
    return " ".join([name, *map(str.upper, words)])


def parse_question(question: str) -> tuple[str, dict[str, str]]:
    """The SQL of a question, and its parameters by name."""
    if question.upper().startswith("SELECT "):
        return question, {}
    name, *words = shlex.split(question) or [""]
    if name not in QUESTIONS:
        sys.exit(f"flows.py: no such question: {name!r}; there are {', '.join(QUESTIONS)}")
    names, sql = QUESTIONS[name]
    parameters = DEFAULTS | dict(zip(names, words))
    if "address" in parameters:
        parameters["address"] = canonical(parameters["address"])
    if len(words) > len(names) or any(name not in parameters for name in names):
        sys.exit(f"flows.py: ask it as {usage(name)!r}")
    return sql, {name: parameters[name] for name in names}


def canonical(address: str) -> str:
    """An address as the tables have it, from any other notation of it."""
    try:
        known = ipaddress.ip_address(address.strip())
    except ValueError:
        sys.exit(f"flows.py: {address!r} is no IP address")
    return str(getattr(known, "ipv4_mapped", None) or known)


def open_store(store: str) -> SparkSession:
    """A session that has the tables `flows` and `ledger`, and `sessions` and `coverage` where the store has them."""
    spark = SparkSession.builder.appName("flowlog").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    # The store knows UTC only.
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # A port that is not a number is an error, rather than null, which no row has.
    spark.conf.set("spark.sql.ansi.enabled", "true")
    # Or else a store whose gateways are all named like numbers has numbers as their names.
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    for table in TABLES + DAILY_TABLES:
        # The ledger has files of two versions: the second has columns that the first lacks.
        reader = spark.read.option("mergeSchema", str(table == "ledger").lower())
        try:
            files = reader.parquet(f"{location(store)}/{table}")
        except AnalysisException as error:
            if table in DAILY_TABLES and error.getCondition() == "PATH_NOT_FOUND":
                continue
            raise
        files = files.withColumn("date", col("date").cast("date"))
        if table in TABLES:
            files = files.withColumn("hour", col("hour").cast("tinyint"))
        # A counter can be subtracted from another one; one that does not fit is an error.
        counters = [f.name for f in files.schema.fields if isinstance(f.dataType, DecimalType)]
        files = files.withColumns({name: col(name).cast("bigint") for name in counters})
        if table == "flows":
            files = files.withColumns({"protocol_name": expr(PROTOCOL_NAME), "family": expr(FAMILY)})
        files.createOrReplaceTempView(table)
    return spark


def refresh(spark: SparkSession) -> None:
    """Lists the files anew: of one that has grown since, Spark would read a part and not say so."""
    for table in TABLES + DAILY_TABLES:
        if spark.catalog.tableExists(table):
            spark.catalog.refreshTable(table)


def location(store: str) -> str:
    """The store as Spark wants it: flowlog says s3:// to what Hadoop calls s3a://."""
    if "://" not in store:
        return f"file://{os.path.abspath(store)}"
    return store.rstrip("/").replace("s3://", "s3a://", 1)


def show(answer: DataFrame, format: str) -> None:
    if format == "text":
        answer.show(1000, truncate=False)
        return
    rows = answer.select(to_json(struct(answer.columns), {"ignoreNullFields": "false"}))
    print(f"[{','.join(row[0] for row in rows.collect())}]", flush=True)


if __name__ == "__main__":
    main()
