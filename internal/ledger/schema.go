package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks the file as a ledger of brainjar, "brjr" in the header.
const applicationID = 0x62726a72

// migrations lead from one schema version to the next; the version is how many
// of them a file has seen (PRAGMA user_version). What was released is never
// changed: a new version is a new element.
//
// Times are text, RFC 3339 in UTC with six digits of a second, which sorts; sizes
// are bytes. What is not known is NULL.
var migrations = []string{`
CREATE TABLE wanted (
	experiment   TEXT PRIMARY KEY,
	phase        TEXT NOT NULL,
	reason       TEXT NOT NULL,
	since        TEXT,
	run          INTEGER NOT NULL,
	attempt      INTEGER NOT NULL,
	requeues     INTEGER NOT NULL,
	invocation   TEXT NOT NULL,
	unit         TEXT NOT NULL,
	cause        TEXT NOT NULL,
	last_result  TEXT NOT NULL,
	queued_at    TEXT,
	scarce_since TEXT,
	due_at       TEXT,
	hold         TEXT NOT NULL,
	enabled      INTEGER,
	definition   TEXT NOT NULL,
	overrides    TEXT NOT NULL,
	submitted    TEXT NOT NULL,
	boot         TEXT NOT NULL
);
CREATE TABLE runs (
	id                INTEGER PRIMARY KEY,
	experiment        TEXT NOT NULL,
	run               INTEGER NOT NULL,
	attempt           INTEGER NOT NULL,
	invocation        TEXT,
	unit              TEXT,
	command           TEXT,
	limits            TEXT,
	queued_at         TEXT,
	started_at        TEXT,
	ended_at          TEXT,
	result            TEXT,
	reason            TEXT,
	exit_code         INTEGER,
	signal            TEXT,
	oom_kills         INTEGER,
	memory_max        INTEGER,
	memory_peak       INTEGER,
	gpu_memory_peak   INTEGER,
	cpu_seconds       REAL,
	max_temperature   REAL,
	energy_joules     REAL,
	throttled_seconds REAL,
	tainted           TEXT,
	boot              TEXT,
	UNIQUE (experiment, run)
);
CREATE INDEX runs_by_invocation ON runs (invocation);
CREATE INDEX runs_open ON runs (id) WHERE ended_at IS NULL;
CREATE TABLE events (
	id         INTEGER PRIMARY KEY,
	at         TEXT NOT NULL,
	kind       TEXT NOT NULL,
	experiment TEXT,
	run        INTEGER,
	from_phase TEXT,
	to_phase   TEXT,
	reason     TEXT
);
CREATE INDEX events_by_experiment ON events (experiment, id);
CREATE TABLE samples (
	at    TEXT NOT NULL,
	name  TEXT NOT NULL,
	value REAL NOT NULL
);
CREATE INDEX samples_by_time ON samples (at);
`, `
ALTER TABLE runs ADD COLUMN max_temperature_zone TEXT;
ALTER TABLE runs ADD COLUMN energy_seconds REAL;
ALTER TABLE runs ADD COLUMN energy_shared INTEGER;
ALTER TABLE runs ADD COLUMN throttled_hardware REAL;
ALTER TABLE runs ADD COLUMN throttled_brainjar REAL;
ALTER TABLE runs ADD COLUMN over_current_events INTEGER;
ALTER TABLE runs ADD COLUMN swap_peak INTEGER;
ALTER TABLE runs ADD COLUMN watched_seconds REAL;
UPDATE runs SET throttled_seconds = NULL;
`, `
ALTER TABLE wanted ADD COLUMN ran_at TEXT;
`}

// migrate brings a file to the present schema. errNewer: it has a later one.
func migrate(ctx context.Context, db *sql.DB) error {
	var id, version, tables int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := countTables(ctx, db, &tables); err != nil {
		return err
	}
	switch {
	case id != applicationID && tables > 0:
		return errNotOurs
	case version > len(migrations):
		return fmt.Errorf("%w: version %d, this brainjar knows %d", errNewer, version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if err := step(ctx, db, version); err != nil {
			return fmt.Errorf("cannot bring it to schema version %d: %w", version+1, err)
		}
	}
	return nil
}

// countTables counts what a database has of tables, and of their indexes.
func countTables(ctx context.Context, db *sql.DB, tables *int) error {
	return db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(tables)
}

func step(ctx context.Context, db *sql.DB, version int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{
		migrations[version],
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version+1),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
