CREATE TABLE grants (
  -- Leave that is remembered: for the same call nobody is asked again.
  no INTEGER PRIMARY KEY,      -- the order in which they were given
  id TEXT NOT NULL UNIQUE,     -- grant_<32 hex>
  owner TEXT NOT NULL,         -- the name of the key for whose runs it holds
  session_id TEXT,             -- the session for whose runs; NULL means all
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,     -- JSON, exactly as the call must have them
  created_at INTEGER NOT NULL
);
