-- What was told of alerts last, so that a restart neither repeats one nor forgets to take one back. Amounts are nano-USD, or percent.
CREATE TABLE alert (
  rule      TEXT    NOT NULL,
  entity    TEXT    NOT NULL,
  firing    INTEGER NOT NULL,
  since     INTEGER NOT NULL,
  told_at   INTEGER NOT NULL,
  value     REAL    NOT NULL,
  threshold REAL    NOT NULL,
  level     INTEGER,
  reset     INTEGER,
  PRIMARY KEY (rule, entity)
) STRICT, WITHOUT ROWID;
