-- Rollouts: what is moved where (rollout), where it stands (rollout_state), and how it came there (rollout_event, a chain of hashes).

CREATE TABLE rollout (
  id         INTEGER NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL,
  route      TEXT    NOT NULL,
  -- SHA-256 of the route and the arms: arms that were aborted are known by it.
  spec_hash  TEXT    NOT NULL,
  seed       TEXT    NOT NULL,
  -- JSON.
  definition TEXT    NOT NULL,
  origin     TEXT    NOT NULL,
  created_by TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX rollout_name ON rollout (name);
CREATE INDEX rollout_spec ON rollout (spec_hash);

-- One row each, changed only where `revision` is the one that the change was made from.
CREATE TABLE rollout_state (
  id               INTEGER NOT NULL PRIMARY KEY REFERENCES rollout (id),
  revision         INTEGER NOT NULL,
  phase            TEXT    NOT NULL,
  step             INTEGER NOT NULL,
  weight_ppm       INTEGER NOT NULL,
  attempt          INTEGER NOT NULL,
  -- The revision and the moment (Unix milliseconds) with which the attempt, and the step, began.
  attempt_revision INTEGER NOT NULL,
  step_revision    INTEGER NOT NULL,
  attempt_at       INTEGER NOT NULL,
  since            INTEGER NOT NULL,
  cause            TEXT    NOT NULL,
  reason           TEXT    NOT NULL,
  updated_at       INTEGER NOT NULL,
  -- JSON: the route's own targets when it was completed; it holds as long as they are the same.
  base             TEXT
) STRICT;

CREATE TABLE rollout_event (
  rollout    INTEGER NOT NULL REFERENCES rollout (id),
  seq        INTEGER NOT NULL,
  revision   INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  verb       TEXT    NOT NULL,
  from_phase TEXT    NOT NULL,
  to_phase   TEXT    NOT NULL,
  step       INTEGER NOT NULL,
  weight_ppm INTEGER NOT NULL,
  attempt    INTEGER NOT NULL,
  cause      TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  -- JSON: what was known when it happened.
  evidence   TEXT    NOT NULL,
  prev_hash  TEXT    NOT NULL,
  hash       TEXT    NOT NULL,
  PRIMARY KEY (rollout, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER rollout_event_kept BEFORE DELETE ON rollout_event BEGIN
  SELECT RAISE(ABORT, 'events of rollouts are never deleted');
END;

-- REPLACE would delete without the trigger above.
CREATE TRIGGER rollout_event_added BEFORE INSERT ON rollout_event
WHEN EXISTS (SELECT 1 FROM rollout_event WHERE rollout = NEW.rollout AND seq = NEW.seq) BEGIN
  SELECT RAISE(ABORT, 'events of rollouts are never replaced');
END;

CREATE TRIGGER rollout_event_unchanged BEFORE UPDATE ON rollout_event BEGIN
  SELECT RAISE(ABORT, 'events of rollouts are never changed');
END;
