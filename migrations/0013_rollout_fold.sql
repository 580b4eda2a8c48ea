-- What the rows of an attempt that runs add up to, folded once, so that a start reads only the rows since. Each row stands for the
-- requests with ids from where the one before it ended (or from the attempt's first) up to below `to_id`. `fold` is what
-- src/rollouts/rowFold.ts makes of them. They follow from the rows of request_rollout: without them a start reads these.
CREATE TABLE rollout_fold (
  rollout INTEGER NOT NULL REFERENCES rollout (id),
  attempt INTEGER NOT NULL,
  to_id   INTEGER NOT NULL,
  fold    BLOB    NOT NULL,
  PRIMARY KEY (rollout, attempt, to_id)
) STRICT;
