-- Only for requests that the response cache had a part in: answered out of it (hit, stale), along with another's call (coalesced), or made
-- by itself to have a fresh answer (refresh).
CREATE TABLE request_cache (
  id     INTEGER NOT NULL PRIMARY KEY,
  status INTEGER NOT NULL,
  -- Seconds since the answer came from its target.
  age    INTEGER,
  -- What the answer cost when it was bought, in nano-USD: this request did not pay that. NULL = not known, or nothing was saved.
  saved  INTEGER
) STRICT;

DROP VIEW requests;

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
  (SELECT text FROM name WHERE id = x.rollout)          AS rollout,
  x.revision,
  (SELECT text FROM name WHERE id = x.arm)              AS arm,
  x.propensity_ppm,
  (SELECT text FROM name WHERE id = x.assignment)       AS assignment,
  x.unit,
  x.arrival_seq,
  (SELECT text FROM name WHERE id = x.first_attempt_class) AS first_attempt_class,
  x.bad_mask,
  x.clean_share_ppm,
  (SELECT text FROM name WHERE id = x.served_arm)       AS served_arm,
  x.shadow_of,
  (SELECT text FROM name WHERE id = c.status)           AS cache,
  c.age                                                 AS cache_age_s,
  c.saved                                               AS cache_saved
FROM request r LEFT JOIN request_rollout x ON x.id = r.id LEFT JOIN request_cache c ON c.id = r.id;
