-- What each request adds to the evidence of a rollout, written with its row: the evidence after a restart is that of the rows.
-- `rollout_id` and `attempt` name the attempt (names may come again); `epoch` counts `policy.epoch` from 1970; `seen` and `bad_mask` have a
-- bit per guard, in the order of the policy; `shares` is JSON where a bad event was judged by another chance than `propensity_ppm`.
ALTER TABLE request_rollout ADD COLUMN rollout_id INTEGER;
ALTER TABLE request_rollout ADD COLUMN attempt INTEGER;
ALTER TABLE request_rollout ADD COLUMN epoch INTEGER;
ALTER TABLE request_rollout ADD COLUMN seen INTEGER;
ALTER TABLE request_rollout ADD COLUMN shares TEXT;
