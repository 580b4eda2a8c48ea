-- Folds now tell of the run of hard faults that is under way, too. They follow from the rows, so all of them are made anew.

DELETE FROM rollout_fold;
