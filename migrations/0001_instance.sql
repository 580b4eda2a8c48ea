-- One row per run of the program that had this file open for writing.
-- `stopped_at` stays NULL when the run was killed: its open intents are then settled by the next run.
CREATE TABLE instance (
  id           TEXT    NOT NULL PRIMARY KEY,
  pid          INTEGER NOT NULL,
  host         TEXT    NOT NULL,
  version      TEXT    NOT NULL,
  started_at   INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  stopped_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX instance_unstopped ON instance (started_at) WHERE stopped_at IS NULL;
