ALTER TABLE runs ADD COLUMN
  webhook TEXT /* JSON object: whom its client wants told of what happens to it */;
CREATE TABLE hooks (
  -- Deliveries to webhooks that have not been made.
  id TEXT PRIMARY KEY,         -- msg_<32 hex>, the same for all tries
  run INTEGER NOT NULL,
  origin TEXT NOT NULL,        -- scheme, host and port of the address
  due_at INTEGER NOT NULL,     -- when it is tried next
  tries INTEGER NOT NULL,      -- how many have failed
  event TEXT NOT NULL,
  url TEXT NOT NULL,
  body TEXT NOT NULL           -- JSON
);
CREATE INDEX hooks_due ON hooks (origin, due_at);
CREATE INDEX hooks_run ON hooks (run);
