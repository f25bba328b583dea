"""Tables of pairs, as parquet, as a stream and as a saved data set."""

import json

import pytest

from tests.datamodules.tars import png

arrow = pytest.importorskip("pyarrow")


def image(value):
    return {"bytes": png(value), "path": None}


PAIRS = [{"image": image(i), "text": f"number {i}"} for i in range(1, 7)]


WORDS = [row["text"] for row in PAIRS]


def parquet(path, rows, **options):
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(arrow.Table.from_pylist(rows), path, **options)


def stream(path, rows, kind="new_stream"):
    import pyarrow.ipc

    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.Table.from_pylist(rows)
    with getattr(pyarrow.ipc, kind)(path, table.schema) as file:
        file.write_table(table, max_chunksize=2)


def saved(folder, names, **state):
    (folder / "dataset_info.json").write_text("{}")
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, **state}))
