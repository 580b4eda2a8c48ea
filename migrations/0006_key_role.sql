-- What a virtual key may do: call models alone, or operate Turnout as well. Those that were made before call models.
ALTER TABLE api_key ADD COLUMN role TEXT NOT NULL DEFAULT 'app'
  CHECK (role IN ('app', 'viewer', 'responder', 'operator', 'admin'));
