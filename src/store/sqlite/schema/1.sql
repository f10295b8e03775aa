CREATE TABLE runs (
  -- A run. `finished_at` is NULL exactly while it waits or works; until then `updated_at` and
  -- `next_seq` are behind: its events tell. What may be long stands last.
  no INTEGER PRIMARY KEY,      -- the order in which runs were asked for; never used twice
  id TEXT NOT NULL UNIQUE,     -- run_<32 hex>
  owner TEXT NOT NULL,         -- the name of the key that asked for it
  session_id TEXT NOT NULL,    -- its own id if it was given none
  status TEXT NOT NULL,        -- queued, running, completed, failed, cancelled, interrupted
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  finished_at INTEGER,
  lineage TEXT NOT NULL,       -- where its history comes from: given, after, session
  parent INTEGER,              -- the run it goes on from
  next_seq INTEGER NOT NULL,   -- how many events it has
  messages INTEGER NOT NULL,   -- how many messages it adds to its conversation
  idempotency_key TEXT,
  fingerprint TEXT,            -- of the request with that key, 32 hex
  model TEXT,                  -- asked for; NULL means the configured one
  preview TEXT NOT NULL,       -- the beginning of its input
  usage TEXT,                  -- JSON
  error TEXT,
  pending_steer TEXT,          -- what was said to it too late
  instructions TEXT,
  output TEXT
);
CREATE INDEX runs_owner ON runs (owner);
CREATE INDEX runs_status ON runs (owner, status);
CREATE INDEX runs_session ON runs (owner, session_id);
CREATE INDEX runs_idempotency ON runs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (no) WHERE finished_at IS NULL;
CREATE INDEX runs_done ON runs (finished_at)
  WHERE finished_at IS NOT NULL AND idempotency_key IS NULL;
CREATE INDEX runs_done_keyed ON runs (created_at)
  WHERE finished_at IS NOT NULL AND idempotency_key IS NOT NULL;

CREATE TABLE requests (
  -- What a run was asked. Apart from it, because it can be long and never changes.
  run INTEGER PRIMARY KEY,
  given INTEGER NOT NULL,      -- how many messages `history` has
  provider TEXT,
  model_options TEXT,          -- JSON object
  input TEXT NOT NULL,         -- JSON: a string or a list of parts
  history TEXT                 -- JSON: messages the client gave; told to runs without parent
);

CREATE TABLE events (
  -- What runs said. A row is one event, or consecutive deltas of one kind.
  run INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  at INTEGER NOT NULL,         -- when the last of them happened
  event TEXT NOT NULL,         -- their name
  lines TEXT NOT NULL          -- the JSON of each as it was sent, each followed by a line end
);
CREATE INDEX events_seq ON events (run, first_seq);
CREATE INDEX events_said ON events (run, first_seq, event)
  WHERE event IN ('message.interim', 'tool.started', 'tool.completed', 'run.steered');

CREATE TABLE sessions (
  -- A conversation with a name. A run that was given none is one by itself, and has a row here once
  -- another run has gone on with it.
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  head INTEGER,                -- the run its next one goes on from
  PRIMARY KEY (owner, id)
) WITHOUT ROWID;
CREATE INDEX sessions_used ON sessions (owner, updated_at);
CREATE INDEX sessions_head ON sessions (head) WHERE head IS NOT NULL;

CREATE TABLE leftovers (
  -- Runs that are gone, of whose events some still have to go.
  run INTEGER PRIMARY KEY
);

CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO numbers VALUES
  ('last_no', 0),              -- the highest number of a run that is gone
  ('probes', 0);               -- how often it was tried whether the file can be written
