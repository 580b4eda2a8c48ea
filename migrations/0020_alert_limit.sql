-- Of a budget: the limit when it was told, nano-USD. A restart has to see that it was raised since. NULL where that was told before this column.
ALTER TABLE alert ADD COLUMN budget_limit REAL;
