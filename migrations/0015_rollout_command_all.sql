-- A command may be about all rollouts at once, also where there is none: `rollout` is NULL for those.

CREATE TABLE rollout_command_new (
  -- SHA-256 of who asked and of the key; and of what was asked.
  id          TEXT    NOT NULL PRIMARY KEY,
  fingerprint TEXT    NOT NULL,
  rollout     INTEGER REFERENCES rollout (id),
  at          INTEGER NOT NULL,
  -- JSON. NULL until the answer is there: from then on a repeated command gets the same.
  reply       TEXT
) STRICT;

INSERT INTO rollout_command_new (id, fingerprint, rollout, at, reply)
  SELECT id, fingerprint, rollout, at, reply FROM rollout_command ORDER BY at, rowid;
DROP TABLE rollout_command;
ALTER TABLE rollout_command_new RENAME TO rollout_command;
CREATE INDEX rollout_command_at ON rollout_command (at);
