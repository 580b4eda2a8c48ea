-- Virtual keys: what clients show. Only a keyed hash of the secret is kept; the secret itself is shown once, when it is made.
CREATE TABLE api_key (
  id            INTEGER NOT NULL PRIMARY KEY,
  digest        TEXT    NOT NULL UNIQUE,
  -- The secret before the last rotation, good until `old_until` (Unix milliseconds).
  old_digest    TEXT,
  old_until     INTEGER,
  -- The last four characters, so that people can tell keys apart.
  hint          TEXT    NOT NULL,
  name          TEXT    NOT NULL UNIQUE,
  team          TEXT,
  -- JSON: a flat object of strings; lists of names and patterns, or NULL for everything; settings as in the configuration.
  tags          TEXT,
  routes        TEXT,
  models        TEXT,
  limits        TEXT,
  budgets       TEXT,
  expires_at    INTEGER,
  disabled      INTEGER NOT NULL DEFAULT 0,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL
) STRICT;
