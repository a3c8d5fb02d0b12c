"""The tables, and how a database of an earlier version becomes one of this version.

A migration is a list of statements that is never edited once it was released; the number of
those that were applied stands in the database's ``user_version``.
"""

from __future__ import annotations

_FIRST = (
    "CREATE TABLE machines (id TEXT PRIMARY KEY, described TEXT NOT NULL)",
    """CREATE TABLE nights (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL,
        ended TEXT NOT NULL DEFAULT '',
        machine TEXT NOT NULL REFERENCES machines,
        process TEXT NOT NULL,
        state TEXT NOT NULL,
        options TEXT NOT NULL,
        summary TEXT NOT NULL DEFAULT '{}')""",
    "CREATE TABLE reports (digest TEXT PRIMARY KEY, content TEXT NOT NULL)",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        night INTEGER NOT NULL,
        recipe TEXT NOT NULL,
        file TEXT NOT NULL,
        digest TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        "commit" TEXT NOT NULL,
        source TEXT NOT NULL,
        machine TEXT NOT NULL REFERENCES machines,
        process TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        error TEXT NOT NULL DEFAULT '',
        report TEXT NOT NULL DEFAULT '',
        accepted TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX runs_of_recipe ON runs (recipe, id)",
    "CREATE INDEX runs_of_night ON runs (night, id)",
    """CREATE TABLE steps (
        run INTEGER NOT NULL REFERENCES runs,
        key TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL, outcome TEXT NOT NULL,
        seconds REAL NOT NULL, peak_memory INTEGER NOT NULL, exit INTEGER NOT NULL,
        error TEXT NOT NULL, log TEXT NOT NULL)""",
    "CREATE INDEX steps_of_run ON steps (run)",
    """CREATE TABLE files (
        run INTEGER NOT NULL REFERENCES runs,
        file TEXT NOT NULL, type TEXT NOT NULL, sha256 TEXT NOT NULL, status TEXT NOT NULL,
        size INTEGER NOT NULL, bits_per_weight REAL NOT NULL,
        step TEXT NOT NULL, artifact_file TEXT NOT NULL, asked TEXT NOT NULL,
        measure TEXT NOT NULL, fresh INTEGER NOT NULL,
        perplexity REAL, perplexity_error REAL, increase REAL, kld REAL, same_top REAL,
        prompt_per_second REAL, generation_per_second REAL, memory INTEGER,
        verdict TEXT NOT NULL, note TEXT NOT NULL, against INTEGER NOT NULL)""",
    "CREATE INDEX files_of_run ON files (run)",
    """CREATE TABLE alarms (
        run INTEGER NOT NULL REFERENCES runs,
        file TEXT NOT NULL, what TEXT NOT NULL, message TEXT NOT NULL,
        "before" TEXT NOT NULL, "after" TEXT NOT NULL, "limit" TEXT NOT NULL)""",
    "CREATE INDEX alarms_of_run ON alarms (run)",
)

# How the recipe measured; empty for files of before.
_SECOND = ("ALTER TABLE files ADD COLUMN measuring TEXT NOT NULL DEFAULT ''",)

# One row a number instead of one column. A value has no type here, so that bytes stay whole
# numbers. The columns are named as they were then, whatever measures there are today.
_COLUMNS = (
    ("size", "header", "size", "NULL"),
    ("bits_per_weight", "header", "bits_per_weight", "NULL"),
    ("perplexity", "perplexity", "value", "perplexity_error"),
    ("increase", "perplexity", "increase", "NULL"),
    ("kld", "kld", "mean", "NULL"),
    ("same_top", "kld", "same_top", "NULL"),
    ("prompt_per_second", "speed", "prompt_per_second", "NULL"),
    ("generation_per_second", "speed", "generation_per_second", "NULL"),
    ("memory", "memory", "peak", "NULL"),
)
_KEPT = "run, file, type, sha256, status, step, artifact_file, asked, measure, fresh"
_THIRD = (
    """CREATE TABLE numbers (
        run INTEGER NOT NULL REFERENCES runs,
        file TEXT NOT NULL, measure TEXT NOT NULL, number TEXT NOT NULL,
        value NOT NULL, error)""",
    *(
        f"INSERT INTO numbers SELECT run, file, '{measure}', '{number}', {column}, {error}"  # noqa: S608
        f" FROM files WHERE {column} IS NOT NULL ORDER BY rowid"
        for column, measure, number, error in _COLUMNS
    ),
    "CREATE INDEX numbers_of_run ON numbers (run)",
    # DROP COLUMN needs SQLite 3.35 of 2021.
    """CREATE TABLE kept (
        run INTEGER NOT NULL REFERENCES runs,
        file TEXT NOT NULL, type TEXT NOT NULL, sha256 TEXT NOT NULL, status TEXT NOT NULL,
        step TEXT NOT NULL, artifact_file TEXT NOT NULL, asked TEXT NOT NULL,
        measure TEXT NOT NULL, fresh INTEGER NOT NULL,
        verdict TEXT NOT NULL, note TEXT NOT NULL, against INTEGER NOT NULL,
        measuring TEXT NOT NULL DEFAULT '')""",
    f"INSERT INTO kept SELECT {_KEPT}, verdict, note, against, measuring FROM files ORDER BY rowid",  # noqa: S608
    "DROP TABLE files",
    "ALTER TABLE kept RENAME TO files",
    "CREATE INDEX files_of_run ON files (run)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD)
VERSION = len(MIGRATIONS)
