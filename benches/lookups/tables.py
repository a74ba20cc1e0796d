"""Makes tables of flows, and keeps them: tables.py FLOWS.PY FOLDER HOUR ROWS [HOUR ROWS ...]

FLOWS.PY makes one hour of a synthetic VPN: flows.py HOUR OUT.arrow ROWS. Each hour becomes a file
`HOUR-ROWS.rows` in FOLDER of records of a fixed size, in the order in which flows ended, which the
benchmark reads without a library (`Row` in `src/lookups/rows.rs`). What is there is not made again.
"""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa

HOUR_MS = 3_600_000
# Hour 0 of the tables.
EPOCH_MS = 1_772_409_600_000

ROW = np.dtype(
    [
        ("member", "S16"),
        ("remote", "S16"),
        ("start_ms", "<i8"),
        ("end_ms", "<i8"),
        ("packets_up", "<u8"),
        ("bytes_up", "<u8"),
        ("packets_down", "<u8"),
        ("bytes_down", "<u8"),
        ("member_port", "<u2"),
        ("remote_port", "<u2"),
        ("protocol", "u1"),
        ("tcp_flags_up", "u1"),
        ("tcp_flags_down", "u1"),
        ("initiator", "u1"),
    ]
)


def addresses(column):
    """16 bytes each; padding would end a text at its zeros, so they are copied as they are."""
    width = column.type.byte_width
    data = column.buffers()[1]
    offset = column.offset * width
    return np.frombuffer(data, np.uint8)[offset : offset + len(column) * width].view("S16")


def records(batch, hour):
    """The rows of a batch: milliseconds, and none beyond its hour, as a window cuts them."""
    rows = np.empty(batch.num_rows, ROW)
    last = EPOCH_MS + (hour + 1) * HOUR_MS - 1
    for name, source in (("start_ms", "start"), ("end_ms", "end")):
        micros = batch.column(source).cast(pa.int64()).to_numpy()
        rows[name] = np.minimum(micros // 1000, last)
    for name in ("member", "remote"):
        rows[name] = addresses(batch.column(f"{name}_ip"))
    renamed = {"proto": "protocol", "flags_up": "tcp_flags_up", "flags_down": "tcp_flags_down"}
    for source in batch.schema.names[4:]:
        rows[renamed.get(source, source)] = batch.column(source).to_numpy()
    return rows


def make(flows, folder, hour, target):
    path = os.path.join(folder, f"{hour}-{target}.rows")
    if os.path.exists(path):
        return
    table = f"{path}.arrow"
    subprocess.run(
        [sys.executable, flows, str(hour), table, str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # Whole or not at all, so that what is kept can be trusted.
    with pa.OSFile(table) as file, open(f"{path}.part", "wb") as out:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            records(reader.get_batch(number), hour).tofile(out)
    os.rename(f"{path}.part", path)
    os.remove(table)


def main():
    flows, folder, *wanted = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for hour, target in zip(wanted[::2], wanted[1::2]):
        make(flows, folder, int(hour), int(target))


main()
