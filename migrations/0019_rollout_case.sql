-- What is alike for very many requests of a rollout stands once, as a case, and a request's row names it: rows are half as long (25 bytes, were
-- 48), so is their line in the journal, and sums of rows are counts by case. `seen` is NULL where a request is no evidence. Cases are few
-- (arms, revisions, how a first attempt ended, which guards found what), and stay when their rows are deleted.
CREATE TABLE rollout_case (
  id                  INTEGER NOT NULL PRIMARY KEY,
  rollout             INTEGER NOT NULL,
  rollout_id          INTEGER,
  attempt             INTEGER,
  revision            INTEGER NOT NULL,
  arm                 INTEGER NOT NULL,
  propensity_ppm      INTEGER NOT NULL,
  assignment          INTEGER NOT NULL,
  first_attempt_class INTEGER NOT NULL,
  served_arm          INTEGER NOT NULL,
  seen                INTEGER,
  bad_mask            INTEGER NOT NULL
) STRICT;

CREATE INDEX rollout_case_of ON rollout_case (rollout_id, attempt, revision, bad_mask, seen);

INSERT INTO rollout_case (rollout, rollout_id, attempt, revision, arm, propensity_ppm, assignment, first_attempt_class, served_arm, seen, bad_mask)
SELECT DISTINCT rollout, rollout_id, attempt, revision, arm, propensity_ppm, assignment, first_attempt_class, served_arm, seen, bad_mask
FROM request_rollout;

DROP VIEW requests;
ALTER TABLE request_rollout RENAME TO request_rollout_before;

CREATE TABLE request_rollout (
  id          INTEGER NOT NULL PRIMARY KEY,
  case_id     INTEGER NOT NULL,
  arrival_seq INTEGER,
  epoch       INTEGER,
  unit        TEXT,
  shares      TEXT,
  shadow_of   INTEGER
) STRICT;

INSERT INTO request_rollout
SELECT x.id,
  (SELECT c.id FROM rollout_case c WHERE c.rollout_id IS x.rollout_id AND c.attempt IS x.attempt AND c.revision = x.revision
     AND c.bad_mask = x.bad_mask AND c.seen IS x.seen AND c.rollout = x.rollout AND c.arm = x.arm
     AND c.propensity_ppm = x.propensity_ppm AND c.assignment = x.assignment
     AND c.first_attempt_class = x.first_attempt_class AND c.served_arm = x.served_arm),
  x.arrival_seq, x.epoch, x.unit, x.shares, x.shadow_of
FROM request_rollout_before x ORDER BY x.id;

DROP TABLE request_rollout_before;

-- As before; `clean_share_ppm` is the first of the shares, as it always was.
CREATE VIEW requests AS
SELECT
  r.id,
  r.id / 4096 + 1735689600000                           AS at,
  (SELECT text FROM name WHERE id = r.route)            AS route,
  (SELECT text FROM name WHERE id = r.key)              AS key,
  (SELECT text FROM name WHERE id = r.team)             AS team,
  r.user,
  r.tags,
  (SELECT text FROM name WHERE id = r.dialect)          AS dialect,
  r.stream,
  r.config,
  r.status,
  (SELECT text FROM name WHERE id = r.outcome)          AS outcome,
  (SELECT text FROM name WHERE id = r.error)            AS error,
  r.latency_us,
  r.first_us,
  r.overhead_us,
  r.attempts,
  r.tokens_in,
  r.tokens_out,
  r.cost,
  r.estimated,
  (SELECT text FROM name WHERE id = c.rollout)          AS rollout,
  c.revision,
  (SELECT text FROM name WHERE id = c.arm)              AS arm,
  c.propensity_ppm,
  (SELECT text FROM name WHERE id = c.assignment)       AS assignment,
  x.unit,
  x.arrival_seq,
  (SELECT text FROM name WHERE id = c.first_attempt_class) AS first_attempt_class,
  c.bad_mask,
  (SELECT value FROM json_each(x.shares) LIMIT 1)       AS clean_share_ppm,
  (SELECT text FROM name WHERE id = c.served_arm)       AS served_arm,
  x.shadow_of,
  (SELECT text FROM name WHERE id = r.cache)            AS cache,
  r.cache_age                                           AS cache_age_s,
  r.cache_saved
FROM request r LEFT JOIN request_rollout x ON x.id = r.id LEFT JOIN rollout_case c ON c.id = x.case_id;
