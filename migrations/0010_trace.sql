-- Which requests have a trace, under which id. What happened in it are the rows of `request` and `attempt`: a trace is these and the
-- moments between them. Kept for `trace.retentionHours`, which is shorter than the ledger.
CREATE TABLE trace (
  -- That of the request.
  id      INTEGER NOT NULL PRIMARY KEY,
  -- 16 bytes. Where the trace began here its first half is the request's id, so that it is found without an index.
  trace   BLOB    NOT NULL,
  -- The client's span, 8 bytes; NULL where the trace began here.
  parent  BLOB,
  -- 0: kept because something went wrong or took long.
  sampled INTEGER NOT NULL,
  -- From the arrival of the request until its body was read, and until it was decided whom to ask, in microseconds; NULL = not reached.
  body_us INTEGER,
  plan_us INTEGER
) STRICT;

CREATE INDEX trace_of_client ON trace (trace) WHERE parent IS NOT NULL;
