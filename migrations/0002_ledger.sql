-- The ledger: what was about to be asked of an upstream (intent), what came of each upstream call (attempt) and of each client
-- request (request), and daily sums of both (rollup). No content of prompts or answers.
--
-- Ids are integers that hold their time: ((milliseconds since 2025-01-01 UTC) * 64 + counter) * 64 + n, where n is 0 for a request
-- and 1..63 for its attempts. So rows of one request are neighbours, ranges of time are ranges of ids, and neither needs an index.
--
-- Names (routes, models, ...) are numbers into `name`; 0 is "none". A row is then a few dozen bytes, which is what a commit costs.
CREATE TABLE name (
  id   INTEGER NOT NULL PRIMARY KEY,
  text TEXT    NOT NULL UNIQUE
) STRICT;

INSERT INTO name (id, text) VALUES (0, '');

-- Written and committed before any byte goes to an upstream; deleted some time after its attempt is written. What is left in it
-- when the program starts and has no attempt row belongs to a run that died.
CREATE TABLE intent (
  id            INTEGER NOT NULL PRIMARY KEY,
  route         INTEGER NOT NULL,
  key           INTEGER NOT NULL,
  team          INTEGER NOT NULL,
  user          TEXT,
  dialect       INTEGER NOT NULL,
  stream        INTEGER NOT NULL,
  config        INTEGER NOT NULL,
  target        INTEGER NOT NULL,
  provider      INTEGER NOT NULL,
  model         INTEGER NOT NULL,
  lane          INTEGER NOT NULL,
  reason        INTEGER NOT NULL,
  input         INTEGER NOT NULL,
  output        INTEGER NOT NULL,
  cost          INTEGER,
  price_source  INTEGER NOT NULL,
  price_version INTEGER NOT NULL
) STRICT;

CREATE TABLE request (
  id          INTEGER NOT NULL PRIMARY KEY,
  route       INTEGER NOT NULL,
  key         INTEGER NOT NULL,
  team        INTEGER NOT NULL,
  user        TEXT,
  tags        TEXT,
  dialect     INTEGER NOT NULL,
  stream      INTEGER NOT NULL,
  config      INTEGER NOT NULL,
  status      INTEGER NOT NULL,
  outcome     INTEGER NOT NULL,
  error       INTEGER NOT NULL,
  latency_us  INTEGER,
  first_us    INTEGER,
  overhead_us INTEGER,
  attempts    INTEGER NOT NULL,
  tokens_in   INTEGER NOT NULL,
  tokens_out  INTEGER NOT NULL,
  cost        INTEGER,
  estimated   INTEGER NOT NULL
) STRICT;

-- The one index: erasure and export by user need it. Rows without a user are not in it.
CREATE INDEX request_user ON request (user) WHERE user IS NOT NULL;

-- Only for requests that a rollout assigned.
CREATE TABLE request_rollout (
  id                  INTEGER NOT NULL PRIMARY KEY,
  rollout             INTEGER NOT NULL,
  revision            INTEGER NOT NULL,
  arm                 INTEGER NOT NULL,
  propensity_ppm      INTEGER NOT NULL,
  assignment          INTEGER NOT NULL,
  unit                TEXT,
  arrival_seq         INTEGER,
  first_attempt_class INTEGER NOT NULL,
  bad_mask            INTEGER NOT NULL,
  clean_share_ppm     INTEGER,
  served_arm          INTEGER NOT NULL,
  shadow_of           INTEGER
) STRICT;

CREATE TABLE attempt (
  id             INTEGER NOT NULL PRIMARY KEY,
  target         INTEGER NOT NULL,
  provider       INTEGER NOT NULL,
  model          INTEGER NOT NULL,
  served         INTEGER NOT NULL,
  lane           INTEGER NOT NULL,
  reason         INTEGER NOT NULL,
  status         INTEGER NOT NULL,
  fault          INTEGER NOT NULL,
  finish         INTEGER NOT NULL,
  started_us     INTEGER,
  latency_us     INTEGER,
  first_us       INTEGER,
  input          INTEGER NOT NULL,
  cache_read     INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  output         INTEGER NOT NULL,
  reasoning      INTEGER NOT NULL,
  audio_in       INTEGER NOT NULL,
  audio_out      INTEGER NOT NULL,
  estimated      INTEGER NOT NULL,
  price_source   INTEGER NOT NULL,
  price_version  INTEGER NOT NULL,
  cost           INTEGER,
  losses         TEXT
) STRICT;

-- Daily sums, kept in the transaction that writes the rows. `day` is YYYYMMDD in UTC, of the request's id. An attempt counts for its own
-- model and provider, a request for those of its last attempt. `cost` sums the known costs; `unpriced` counts the attempts without one.
CREATE TABLE rollup (
  day            INTEGER NOT NULL,
  route          INTEGER NOT NULL,
  key            INTEGER NOT NULL,
  team           INTEGER NOT NULL,
  model          INTEGER NOT NULL,
  provider       INTEGER NOT NULL,
  requests       INTEGER NOT NULL,
  failed         INTEGER NOT NULL,
  attempts       INTEGER NOT NULL,
  input          INTEGER NOT NULL,
  cache_read     INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL,
  cache_write_1h INTEGER NOT NULL,
  output         INTEGER NOT NULL,
  reasoning      INTEGER NOT NULL,
  audio_in       INTEGER NOT NULL,
  audio_out      INTEGER NOT NULL,
  cost           INTEGER NOT NULL,
  unpriced       INTEGER NOT NULL,
  estimated      INTEGER NOT NULL,
  PRIMARY KEY (day, route, key, team, model, provider)
) STRICT, WITHOUT ROWID;

-- Single facts: `rows_from_id` = rows below it were deleted by retention; `checkpoint_at` = last checkpoint.
CREATE TABLE ledger_mark (
  mark  TEXT    NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
  x.shadow_of
FROM request r LEFT JOIN request_rollout x ON x.id = r.id;

CREATE VIEW attempts AS
SELECT
  a.id,
  a.id - a.id % 64                                      AS request,
  a.id % 64                                             AS n,
  (SELECT text FROM name WHERE id = a.target)           AS target,
  (SELECT text FROM name WHERE id = a.provider)         AS provider,
  (SELECT text FROM name WHERE id = a.model)            AS model,
  (SELECT text FROM name WHERE id = a.served)           AS served,
  (SELECT text FROM name WHERE id = a.lane)             AS lane,
  (SELECT text FROM name WHERE id = a.reason)           AS reason,
  a.status,
  (SELECT text FROM name WHERE id = a.fault)            AS fault,
  (SELECT text FROM name WHERE id = a.finish)           AS finish,
  a.started_us,
  a.latency_us,
  a.first_us,
  a.input,
  a.cache_read,
  a.cache_write_5m,
  a.cache_write_1h,
  a.output,
  a.reasoning,
  a.audio_in,
  a.audio_out,
  a.estimated,
  (SELECT text FROM name WHERE id = a.price_source)     AS price_source,
  (SELECT text FROM name WHERE id = a.price_version)    AS price_version,
  a.cost,
  a.losses
FROM attempt a;
