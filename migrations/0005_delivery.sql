-- Events of note, and the webhooks that are told of them: written before anything is sent, so that a death of the program loses none.

-- `body` is what is posted, byte for byte, at each attempt. `uid` is the `webhook-id`, by which receivers know what they have seen.
CREATE TABLE event (
  id   INTEGER NOT NULL PRIMARY KEY,
  uid  TEXT    NOT NULL UNIQUE,
  at   INTEGER NOT NULL,
  type TEXT    NOT NULL,
  body TEXT    NOT NULL
) STRICT;

-- `state`: `waiting` (for `next_at`, Unix milliseconds), `delivered`, or `dead`: given up, kept to be looked at and sent again.
CREATE TABLE delivery (
  id       INTEGER NOT NULL PRIMARY KEY,
  event    INTEGER NOT NULL REFERENCES event (id),
  webhook  TEXT    NOT NULL,
  state    TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at  INTEGER NOT NULL,
  last_at  INTEGER,
  status   INTEGER,
  error    TEXT
) STRICT;

CREATE INDEX delivery_waiting ON delivery (webhook, next_at) WHERE state = 'waiting';
CREATE INDEX delivery_state ON delivery (state, webhook);
CREATE INDEX delivery_event ON delivery (event);
