"""Asks a store and nfdump's files the same questions: ask.py FLOWLOG BENCHES STORE NFDUMP_FOLDER

Prints the milliseconds of every run as JSON, `[[name, [run, ...]], ...]`. Both sides deliver the rows
(of a ranking, the members and their bytes), which are compared; a difference ends it.

DuckDB runs within this process, with the views and macros of `flowlog duckdb`, and is asked by the
folders of the day or the hours, and once more by conditions on the view. `flowlog flows` is
started for each question, and asked once more within a process that keeps footers as DuckDB does
(`BENCHES questions STORE`, which measures itself). nfdump is started for each question, as it is made for. Where the instant is known, it is given only those files that
can have the answer.
"""

import calendar
import ipaddress
import json
import os
import subprocess
import sys
import time

import duckdb

FLOWLOG, BENCHES, STORE, NFDUMP = sys.argv[1:]
# The last of the ninety days.
DAY = "2026-03-02"
DAY_MS = 1_772_409_600_000
HOUR_MS = 3_600_000
FILE_MS = 300_000
SHORT_RUNS = 15
LONG_RUNS = 3
TOP = 10

ICMP = (1, 58)
COLUMNS = """epoch_ms(flow_start), epoch_ms(flow_end), member_ip, remote_ip, member_port, remote_port,
    protocol, packets_up, bytes_up, packets_down, bytes_down"""
FORMAT = "fmt:%ts|%te|%sa|%da|%sp|%dp|%pr|%ipkt|%ibyt|%opkt|%obyt"


class Flowlog:
    """A connection with the views of a store."""

    def __init__(self, sql):
        self.connection = duckdb.connect()
        self.connection.execute(sql)

    def ask(self, question):
        return self.connection.execute(question).fetchall()


def view_sql():
    command = [FLOWLOG, "duckdb", "--store", STORE]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Flows:
    """`flowlog flows`, as a process for each question and within one."""

    def __init__(self):
        self.within = subprocess.Popen(
            [BENCHES, "questions", STORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question):
        """Milliseconds within the process, and rows."""
        self.within.stdin.write(json.dumps(question) + "\n")
        self.within.stdin.flush()
        answer = json.loads(self.within.stdout.readline())
        return answer["ms"], answer["rows"]

    def close(self):
        self.within.stdin.close()
        if self.within.wait():
            raise SystemExit(f"questions: {self.within.returncode}")

    @staticmethod
    def command(question):
        """The answer of a process of its own, as CSV."""
        zulu = lambda ms: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03}Z"
        options = {"member": "--member", "remote": "--remote", "port": "--port"}
        command = [FLOWLOG, "flows", "--store", STORE, "--format", "csv"]
        for key, option in options.items():
            if key in question:
                command += [option, str(question[key])]
        if "at_ms" in question:
            command += ["--at", zulu(question["at_ms"])]
        if "within_ms" in question:
            first, last = question["within_ms"]
            command += ["--from", zulu(first), "--to", zulu(last)]
        if "top" in question:
            command += ["--top", "members", "--limit", str(question["top"])]
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if output.returncode not in (0, 1):
            raise SystemExit(f"{command}: {output.returncode}")
        return output.stdout


def rows_of_csv(text):
    """Rows as DuckDB gives them."""
    number = lambda text: int(text) if text else None
    header, *lines = text.splitlines()
    at = {name: place for place, name in enumerate(header.split(","))}
    if "flow_start" not in at:
        return [(f[at["member_ip"]], int(f[at["bytes"]])) for f in (line.split(",") for line in lines)]
    times = ("flow_start", "flow_end")
    texts = ("member_ip", "remote_ip")
    counts = ("member_port", "remote_port", "protocol", "packets_up", "bytes_up", "packets_down", "bytes_down")
    rows = []
    for fields in (line.split(",") for line in lines):
        start, end = (zulu_ms(fields[at[name]]) for name in times)
        rows.append((start, end, *(fields[at[name]] for name in texts), *(number(fields[at[name]]) for name in counts)))
    return rows


def zulu_ms(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(fraction.ljust(3, "0") or 0)


def timestamp(ms):
    return f"make_timestamptz({ms * 1000})"


def instant_sql(subject):
    # The windows of both ends of the second either way.
    at = {(subject["instant"] + d - DAY_MS) // HOUR_MS for d in (-1000, 1000)}
    hours = f"date = DATE '{DAY}' AND hour IN ({', '.join(map(str, sorted(at)))})"
    return f"""SELECT {COLUMNS} FROM flows WHERE {hours} AND remote_ip = '{subject["remote"]}'
        AND remote_port = {subject["port"]} AND flow_start <= {timestamp(subject["instant"] + 1000)}
        AND flow_end >= {timestamp(subject["instant"] - 1000)}"""


def instant_macro(subject):
    return f"""SELECT {COLUMNS} FROM at_instant('{subject["remote"]}', {subject["port"]},
        {timestamp(subject["instant"])})"""


def day_sql(column, address):
    return f"SELECT {COLUMNS} FROM flows WHERE date = DATE '{DAY}' AND {column} = '{address}'"


def day_macro(column, address):
    return f"SELECT {COLUMNS} FROM flows_in(folders_of('{DAY}')) WHERE {column} = '{address}'"


def top_sql(table):
    return f"""SELECT member_ip, sum(bytes_up + bytes_down)::UBIGINT AS bytes FROM {table}
        WHERE date = DATE '{DAY}' GROUP BY member_ip ORDER BY bytes DESC, member_ip LIMIT {TOP}"""


def nfdump(*arguments):
    command = ["nfdump", "-q", "-N", "-6", *arguments]
    # It writes times of the zone that it is in.
    environment = {**os.environ, "TZ": "UTC"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def files(subject):
    """Those with flows that ended from a second before the instant to a window after it."""
    name = lambda ms: time.strftime("nfcapd.%Y%m%d%H%M", time.gmtime(ms // FILE_MS * FILE_MS // 1000))
    last_of_day = DAY_MS + 24 * HOUR_MS - FILE_MS
    first, last = subject["instant"] - 1000, subject["instant"] + 1000 + FILE_MS
    return f"{NFDUMP}/{name(max(first, DAY_MS))}:{name(min(last, last_of_day))}"


def instant_nfdump(subject):
    question = f"dst ip {subject['remote']} and dst port {subject['port']}"
    return nfdump("-R", files(subject), "-o", FORMAT, question)


def day_nfdump(side, address):
    return nfdump("-R", NFDUMP, "-o", FORMAT, f"{side} ip {address}")


def top_nfdump():
    return nfdump("-R", NFDUMP, "-s", "srcip/bytes", "-n", str(TOP), "-o", "csv")


def flow(row):
    """One row of either side, for comparison; nfdump writes ICMP's type and code in its own way."""
    start, end, member, remote, member_port, remote_port, protocol, *counts = row
    ports = () if protocol in ICMP else (member_port, remote_port)
    return start, end, member, remote, ports, protocol, *counts


def milliseconds(text):
    date, fraction = text.split(".")
    return calendar.timegm(time.strptime(date, "%Y-%m-%d %H:%M:%S")) * 1000 + int(fraction)


def rows_of_nfdump(text):
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 11:
            continue
        start, end, member, remote, member_port, remote_port, protocol, *counts = fields
        protocol = int(protocol)
        ports = (0, 0) if protocol in ICMP else (int(member_port), int(remote_port))
        addresses = [str(ipaddress.ip_address(address)) for address in (member, remote)]
        yield flow((milliseconds(start), milliseconds(end), *addresses, *ports, protocol, *map(int, counts)))


def at_instant(subject):
    lasts = lambda row: row[0] <= subject["instant"] + 1000 and row[1] >= subject["instant"] - 1000
    return lambda text: [row for row in rows_of_nfdump(text) if lasts(row)]


def same(name, ours, theirs):
    ours, theirs = sorted(map(flow, ours)), sorted(theirs)
    if ours != theirs or not ours:
        differing = next((pair for pair in zip(ours, theirs) if pair[0] != pair[1]), "only the number")
        raise SystemExit(f"{name}: {len(ours)} rows and {len(theirs)}; first difference: {differing}")
    print(f"{name}: {len(ours)} rows on both sides", file=sys.stderr)


def same_answer(name, duckdb, flows):
    """Of a list the same rows in any order; of a ranking the same order."""
    order = sorted if name != "day_top" else list
    tuples = lambda rows: order(tuple(row) for row in rows)
    if tuples(duckdb) != tuples(flows):
        raise SystemExit(f"{name}: {len(duckdb)} rows of DuckDB, {len(flows)} others of flowlog flows")


def same_ranking(ours, text):
    lines = [line.split(",") for line in text.splitlines()]
    at = next(fields for fields in lines if "val" in fields)
    member, volume = at.index("val"), at.index("byt")
    ranked = [fields for fields in lines if len(fields) == len(at) and fields != at]
    theirs = [(fields[member], int(fields[volume])) for fields in ranked]
    if ours != theirs[: len(ours)]:
        raise SystemExit(f"top members: {ours} and {theirs}")
    print(f"top members: the same {len(ours)} on both sides", file=sys.stderr)


def timed(ask):
    began = time.perf_counter()
    answer = ask()
    return (time.perf_counter() - began) * 1000, answer


def subjects(flowlog):
    """Whom to ask about; the same at every run on the same rows."""
    one = lambda sql: flowlog.ask(sql)[0]
    day = f"FROM flows WHERE date = DATE '{DAY}'"
    (rare,) = one(
        f"""SELECT remote_ip {day} GROUP BY remote_ip HAVING count(*) = 3 AND count(remote_port) = 3
        ORDER BY hash(remote_ip) LIMIT 1"""
    )
    port, start, end = one(
        f"""SELECT remote_port, epoch_ms(flow_start), epoch_ms(flow_end) {day}
        AND remote_ip = '{rare}' ORDER BY flow_start LIMIT 1"""
    )
    (common,) = one(
        f"""SELECT remote_ip {day} AND hour = 12 AND remote_port = 443 GROUP BY remote_ip
        ORDER BY count(*) DESC, remote_ip LIMIT 1"""
    )
    (member,) = one(
        f"""WITH members AS (SELECT member_ip, count(*) AS flows {day} GROUP BY member_ip)
        SELECT member_ip FROM members ORDER BY flows, member_ip
        LIMIT 1 OFFSET (SELECT count(*) // 2 FROM members)"""
    )
    return {
        "instant_rare": {"remote": rare, "port": port, "instant": (start + end) // 2},
        "instant_common": {"remote": common, "port": 443, "instant": DAY_MS + 12 * HOUR_MS + 1_800_000},
        "day_rare": rare,
        "day_member": member,
    }


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def main():
    view = view_sql()
    flowlog = Flowlog(view)
    # What was just written is not to be written out meanwhile.
    os.sync()
    about = subjects(flowlog)
    rare, common = about["instant_rare"], about["instant_common"]
    flows = Flows()
    runs = {}

    def ask(name, by_macro, by_view, question, theirs, rows, number):
        """In turn, so that neighbours compare."""
        for _ in range(number + 1):
            took, answered = timed(lambda: Flows.command(question))
            answered = rows_of_csv(answered)
            runs.setdefault(f"flows_{name}", []).append(took)
            took, within = flows.ask(question)
            runs.setdefault(f"flows_{name}_within", []).append(took)
            for way, sql in [("", by_macro), ("_by_view", by_view)]:
                took, ours = timed(lambda: flowlog.ask(sql))
                runs.setdefault(f"flowlog_{name}{way}", []).append(took)
            took, text = timed(theirs)
            runs.setdefault(f"nfdump_{name}", []).append(took)
            rows(ours, text)
            for answer in (answered, within):
                same_answer(name, ours, answer)

    def asked(name, of_nfdump):
        return lambda ours, text: same(name, ours, of_nfdump(text))

    for name, subject in (("instant_rare", rare), ("instant_common", common)):
        theirs = lambda: instant_nfdump(subject)
        rows = asked(name, at_instant(subject))
        question = {"remote": subject["remote"], "port": subject["port"], "at_ms": subject["instant"]}
        ask(name, instant_macro(subject), instant_sql(subject), question, theirs, rows, SHORT_RUNS)
    for name, side, column in (("day_rare", "dst", "remote_ip"), ("day_member", "src", "member_ip")):
        address = about[name]
        theirs = lambda: day_nfdump(side, address)
        by_macro, by_view = day_macro(column, address), day_sql(column, address)
        question = {column.removesuffix("_ip"): address, "within_ms": [DAY_MS, DAY_MS + 24 * HOUR_MS]}
        ask(name, by_macro, by_view, question, theirs, asked(name, rows_of_nfdump), LONG_RUNS)
    by_macro, by_view = top_sql(f"flows_in(folders_of('{DAY}'))"), top_sql("flows")
    question = {"top": TOP, "within_ms": [DAY_MS, DAY_MS + 24 * HOUR_MS]}
    ask("day_top", by_macro, by_view, question, top_nfdump, same_ranking, LONG_RUNS)
    flows.close()
    # The first of each warmed the caches.
    runs = {name: of[1:] for name, of in runs.items()}

    if os.geteuid() == 0:
        for _ in range(SHORT_RUNS):
            drop_caches()
            opening, cold = timed(lambda: Flowlog(view))
            asking, _ = timed(lambda: cold.ask(instant_macro(rare)))
            runs.setdefault("flowlog_cold_open", []).append(opening)
            runs.setdefault("flowlog_cold_instant_rare", []).append(opening + asking)
            drop_caches()
            question = {"remote": rare["remote"], "port": rare["port"], "at_ms": rare["instant"]}
            runs.setdefault("flows_cold_instant_rare", []).append(timed(lambda: Flows.command(question))[0])
            drop_caches()
            runs.setdefault("nfdump_cold_instant_rare", []).append(timed(lambda: instant_nfdump(rare))[0])
    print(json.dumps(list(runs.items())))


main()
