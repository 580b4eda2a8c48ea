-- What the response cache did stands with the request: a row of its own costs the writer more than three columns do.
-- NULL where the cache had no part in it; columns as in the table that they replace.
ALTER TABLE request ADD COLUMN cache INTEGER;
ALTER TABLE request ADD COLUMN cache_age INTEGER;
ALTER TABLE request ADD COLUMN cache_saved INTEGER;

UPDATE request SET (cache, cache_age, cache_saved) = (SELECT status, age, saved FROM request_cache c WHERE c.id = request.id)
WHERE id IN (SELECT id FROM request_cache);

DROP VIEW requests;
DROP TABLE request_cache;

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
  (SELECT text FROM name WHERE id = r.cache)            AS cache,
  r.cache_age                                           AS cache_age_s,
  r.cache_saved
FROM request r LEFT JOIN request_rollout x ON x.id = r.id;
