-- What was configured when, by whom; what operators changed beside the file; who did what; which targets were shut.
-- Documents are kept as they were written, before variables are replaced: no variable's value gets in here.

-- Many versions may have the same document.
CREATE TABLE config_document (
  hash TEXT NOT NULL PRIMARY KEY,
  text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `number` is what replies and ledger rows name as the version of their configuration.
CREATE TABLE config_version (
  number INTEGER NOT NULL PRIMARY KEY,
  at     INTEGER NOT NULL,
  hash   TEXT    NOT NULL REFERENCES config_document (hash),
  source TEXT    NOT NULL,
  actor  TEXT    NOT NULL,
  note   TEXT    NOT NULL
) STRICT;

CREATE INDEX config_version_hash ON config_version (hash);

-- The one overlay: admin writes that hold as long as the file is the one with `base_hash`.
CREATE TABLE config_overlay (
  id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  base_hash TEXT    NOT NULL,
  document  TEXT,
  primaries TEXT    NOT NULL,
  changes   TEXT    NOT NULL
) STRICT;

-- A row means that the switch is on.
CREATE TABLE operator_switch (
  name   TEXT    NOT NULL PRIMARY KEY,
  reason TEXT    NOT NULL,
  actor  TEXT    NOT NULL,
  at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id      INTEGER NOT NULL PRIMARY KEY,
  at      INTEGER NOT NULL,
  actor   TEXT    NOT NULL,
  role    TEXT    NOT NULL,
  verb    TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  before  TEXT    NOT NULL,
  after   TEXT    NOT NULL
) STRICT;

CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'audit rows are never deleted');
END;

-- REPLACE would delete without the trigger above.
CREATE TRIGGER audit_added BEFORE INSERT ON audit WHEN NEW.id IN (SELECT id FROM audit) BEGIN
  SELECT RAISE(ABORT, 'audit rows are never replaced');
END;

CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'audit rows are never changed');
END;

-- Targets whose breaker is not closed. `until` is NULL where there is no end to wait for.
CREATE TABLE target_health (
  target TEXT    NOT NULL PRIMARY KEY,
  state  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  until  INTEGER,
  at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
