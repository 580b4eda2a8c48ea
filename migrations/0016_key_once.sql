-- Numbers of keys are given once: without AUTOINCREMENT the key made after the last one was taken away had its number.
CREATE TABLE api_key_once (
  id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  digest        TEXT    NOT NULL UNIQUE,
  old_digest    TEXT,
  old_until     INTEGER,
  hint          TEXT    NOT NULL,
  name          TEXT    NOT NULL UNIQUE,
  team          TEXT,
  tags          TEXT,
  routes        TEXT,
  models        TEXT,
  limits        TEXT,
  budgets       TEXT,
  expires_at    INTEGER,
  disabled      INTEGER NOT NULL DEFAULT 0,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  role          TEXT    NOT NULL DEFAULT 'app' CHECK (role IN ('app', 'viewer', 'responder', 'operator', 'admin'))
) STRICT;
INSERT INTO api_key_once SELECT
  id, digest, old_digest, old_until, hint, name, team, tags, routes, models, limits, budgets, expires_at, disabled, created_at, updated_at, role
FROM api_key;
DROP TABLE api_key;
ALTER TABLE api_key_once RENAME TO api_key;
