-- Up to which revision the canary's answers are known to be out of the file of the response cache. A rollout that was taken back at a later
-- one has some in it perhaps: a process may end between an abort and the removal.

CREATE TABLE rollout_dropped (
  rollout  INTEGER NOT NULL PRIMARY KEY REFERENCES rollout (id),
  revision INTEGER NOT NULL
) STRICT;
