-- Commands on rollouts that came with an `Idempotency-Key`: a repeated one is answered by its row and does nothing again. A row is written in
-- the transaction of the change itself; the newest thousand of the last day are kept.

CREATE TABLE rollout_command (
  -- SHA-256 of who asked and of the key; and of what was asked.
  id          TEXT    NOT NULL PRIMARY KEY,
  fingerprint TEXT    NOT NULL,
  rollout     INTEGER NOT NULL REFERENCES rollout (id),
  at          INTEGER NOT NULL,
  -- JSON. NULL until the answer is there: from then on a repeated command gets the same.
  reply       TEXT
) STRICT;

CREATE INDEX rollout_command_at ON rollout_command (at);
