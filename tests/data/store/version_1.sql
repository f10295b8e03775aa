PRAGMA application_id = 1920298615;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE events (
  -- What runs said. A row is one event, or consecutive deltas of one kind.
  run INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  at INTEGER NOT NULL,         -- when the last of them happened
  event TEXT NOT NULL,         -- their name
  lines TEXT NOT NULL          -- the JSON of each as it was sent, each followed by a line end
);
INSERT INTO "events" VALUES(1,0,11,1795378315339481,'reasoning.delta','{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339455,"seq":0,"delta":"I "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339465,"seq":1,"delta":"am "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339466,"seq":2,"delta":"asked "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339468,"seq":3,"delta":"to "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339470,"seq":4,"delta":"read "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339471,"seq":5,"delta":"nothing. "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339473,"seq":6,"delta":"The "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339474,"seq":7,"delta":"tool "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339476,"seq":8,"delta":"read_file "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339478,"seq":9,"delta":"can "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339479,"seq":10,"delta":"do "}
{"event":"reasoning.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339481,"seq":11,"delta":"that."}
');
INSERT INTO "events" VALUES(1,12,12,1795378315339508,'reasoning.available','{"event":"reasoning.available","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339508,"seq":12,"text":"I am asked to read nothing. The tool read_file can do that."}
');
INSERT INTO "events" VALUES(1,13,13,1795378315339532,'tool.started','{"event":"tool.started","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339532,"seq":13,"tool":"read_file","preview":"nothing","tool_call_id":"step_1","args":{"path":"nothing"}}
');
INSERT INTO "events" VALUES(1,14,14,1795378315339572,'tool.completed','{"event":"tool.completed","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339572,"seq":14,"tool":"read_file","duration":0.0,"error":true,"preview":"`nothing` does not exist. Relative paths start at /srv/agents/workspace; list_files shows what is there.","tool_call_id":"step_1","result":"`nothing` does not exist. Relative paths start at /srv/agents/workspace; list_files shows what is there."}
');
INSERT INTO "events" VALUES(1,15,62,1795378315339685,'message.delta','{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339597,"seq":15,"delta":"I "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339599,"seq":16,"delta":"could "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339601,"seq":17,"delta":"not "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339603,"seq":18,"delta":"read "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339605,"seq":19,"delta":"nothing:\n"}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339606,"seq":20,"delta":"\n"}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339608,"seq":21,"delta":"`nothing` "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339610,"seq":22,"delta":"does "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339612,"seq":23,"delta":"not "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339613,"seq":24,"delta":"exist. "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339615,"seq":25,"delta":"Relative "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339617,"seq":26,"delta":"paths "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339619,"seq":27,"delta":"start "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339621,"seq":28,"delta":"at "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339624,"seq":29,"delta":"/srv/agents/workspace; "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339626,"seq":30,"delta":"list_files "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339628,"seq":31,"delta":"shows "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339629,"seq":32,"delta":"what "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339631,"seq":33,"delta":"is "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339633,"seq":34,"delta":"there.\n"}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339635,"seq":35,"delta":"\n"}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339636,"seq":36,"delta":"(This "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339638,"seq":37,"delta":"is "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339640,"seq":38,"delta":"`builtin`, "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339642,"seq":39,"delta":"which "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339647,"seq":40,"delta":"is "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339649,"seq":41,"delta":"no "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339650,"seq":42,"delta":"language "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339652,"seq":43,"delta":"model: "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339654,"seq":44,"delta":"it "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339656,"seq":45,"delta":"carries "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339657,"seq":46,"delta":"out "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339659,"seq":47,"delta":"a "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339661,"seq":48,"delta":"few "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339662,"seq":49,"delta":"plain "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339664,"seq":50,"delta":"requests. "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339666,"seq":51,"delta":"Say "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339668,"seq":52,"delta":"`help` "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339669,"seq":53,"delta":"to "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339671,"seq":54,"delta":"see "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339673,"seq":55,"delta":"them, "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339674,"seq":56,"delta":"or "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339676,"seq":57,"delta":"name "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339678,"seq":58,"delta":"a "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339679,"seq":59,"delta":"real "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339681,"seq":60,"delta":"model "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339683,"seq":61,"delta":"with "}
{"event":"message.delta","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339685,"seq":62,"delta":"--model.)"}
');
INSERT INTO "events" VALUES(1,63,63,1795378315339738,'run.completed','{"event":"run.completed","run_id":"run_32e0d091f05a417b1ba111878583a166","timestamp":1795378315.339738,"seq":63,"output":"I could not read nothing:\n\n`nothing` does not exist. Relative paths start at /srv/agents/workspace; list_files shows what is there.\n\n(This is `builtin`, which is no language model: it carries out a few plain requests. Say `help` to see them, or name a real model with --model.)","usage":{"input_tokens":152,"output_tokens":60,"total_tokens":212,"cache_read_tokens":0,"cache_write_tokens":0},"runtime":{"provider":"builtin","model":"builtin"}}
');
INSERT INTO "events" VALUES(2,0,12,1795378316851832,'reasoning.delta','{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851779,"seq":0,"delta":"I "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851810,"seq":1,"delta":"am "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851811,"seq":2,"delta":"asked "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851813,"seq":3,"delta":"to "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851815,"seq":4,"delta":"run "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851816,"seq":5,"delta":"`sleep "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851818,"seq":6,"delta":"60`. "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851819,"seq":7,"delta":"The "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851824,"seq":8,"delta":"tool "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851827,"seq":9,"delta":"terminal "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851829,"seq":10,"delta":"can "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851830,"seq":11,"delta":"do "}
{"event":"reasoning.delta","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851832,"seq":12,"delta":"that."}
');
INSERT INTO "events" VALUES(2,13,13,1795378316851860,'reasoning.available','{"event":"reasoning.available","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851860,"seq":13,"text":"I am asked to run `sleep 60`. The tool terminal can do that."}
');
INSERT INTO "events" VALUES(2,14,14,1795378316851897,'tool.started','{"event":"tool.started","run_id":"run_6752e8f3d1de553c9ee76523d474fb65","timestamp":1795378316.851897,"seq":14,"tool":"terminal","preview":"sleep 60","tool_call_id":"step_1","args":{"command":"sleep 60"}}
');
CREATE TABLE leftovers (
  -- Runs that are gone, of whose events some still have to go.
  run INTEGER PRIMARY KEY
);
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "numbers" VALUES('last_no',0);
INSERT INTO "numbers" VALUES('probes',0);
CREATE TABLE requests (
  -- What a run was asked. Apart from it, because it can be long and never changes.
  run INTEGER PRIMARY KEY,
  given INTEGER NOT NULL,      -- how many messages `history` has
  provider TEXT,
  model_options TEXT,          -- JSON object
  input TEXT NOT NULL,         -- JSON: a string or a list of parts
  history TEXT                 -- JSON: messages the client gave; told to runs without parent
);
INSERT INTO "requests" VALUES(1,0,NULL,NULL,'"read nothing"',NULL);
INSERT INTO "requests" VALUES(2,0,NULL,NULL,'"run sleep 60"',NULL);
INSERT INTO "requests" VALUES(3,1,NULL,'{"temperature":0.5}','"what did I say before?"','[{"content":"The sky is blue.","role":"user"}]');
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
INSERT INTO "runs" VALUES(1,'run_32e0d091f05a417b1ba111878583a166','default','run_32e0d091f05a417b1ba111878583a166','completed',1795378315337698,1795378315339738,1795378315339738,'given',NULL,64,4,NULL,NULL,NULL,'read nothing','{"input_tokens":152,"output_tokens":60,"total_tokens":212,"cache_read_tokens":0,"cache_write_tokens":0}',NULL,NULL,NULL,'I could not read nothing:

`nothing` does not exist. Relative paths start at /srv/agents/workspace; list_files shows what is there.

(This is `builtin`, which is no language model: it carries out a few plain requests. Say `help` to see them, or name a real model with --model.)');
INSERT INTO "runs" VALUES(2,'run_6752e8f3d1de553c9ee76523d474fb65','default','run_6752e8f3d1de553c9ee76523d474fb65','running',1795378316848511,1795378316848511,NULL,'given',NULL,0,0,NULL,NULL,NULL,'run sleep 60',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "runs" VALUES(3,'run_f007b5e3373e1e1a76200125b7b79763','default','run_f007b5e3373e1e1a76200125b7b79763','queued',1795378317859842,1795378317859842,NULL,'given',NULL,0,0,NULL,NULL,NULL,'what did I say before?',NULL,NULL,NULL,NULL,NULL);
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
CREATE INDEX events_seq ON events (run, first_seq);
CREATE INDEX events_said ON events (run, first_seq, event)
  WHERE event IN ('message.interim', 'tool.started', 'tool.completed', 'run.steered');
CREATE INDEX sessions_used ON sessions (owner, updated_at);
CREATE INDEX sessions_head ON sessions (head) WHERE head IS NOT NULL;
CREATE VIEW run_list AS -- For people: runs with readable times, the newest first.
SELECT no, id, owner, session_id, status,
       strftime('%Y-%m-%d %H:%M:%f', created_at / 1e6, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%f', finished_at / 1e6, 'unixepoch') AS finished,
       round((finished_at - created_at) / 1e6, 3) AS seconds,
       model, next_seq AS events, preview, output, error, usage
FROM runs ORDER BY no DESC;
CREATE VIEW event_list AS -- For people: one row for each event.
SELECT events.run AS no, runs.id AS run_id, events.first_seq + line.key AS seq, events.event,
       strftime('%Y-%m-%d %H:%M:%f', json_extract(line.value, '$.timestamp'), 'unixepoch') AS at,
       line.value AS json
FROM events JOIN runs ON runs.no = events.run,
     json_each('[' || replace(rtrim(events.lines, char(10)), char(10), ',') || ']') AS line
ORDER BY events.run, seq;
CREATE VIEW message_list AS -- For people: what was said in each run, step by step; before it, what its parent said.
SELECT no, run_id, session_id, parent, seq, role, text FROM (
  SELECT no, id AS run_id, session_id, parent, -1 AS seq, 'user' AS role,
         json_extract(input, '$') AS text
  FROM runs JOIN requests ON run = no
  UNION ALL
  SELECT runs.no, runs.id, session_id, parent, first_seq,
         CASE event WHEN 'run.steered' THEN 'user' WHEN 'tool.completed' THEN 'tool'
                    ELSE 'assistant' END,
         CASE event WHEN 'message.interim' THEN json_extract(lines, '$.text')
                    WHEN 'run.steered' THEN json_extract(lines, '$.text')
                    WHEN 'tool.completed' THEN json_extract(lines, '$.result')
                    ELSE json_extract(lines, '$.tool') || ' ' || json_extract(lines, '$.args') END
  FROM events JOIN runs ON runs.no = events.run
  WHERE event IN ('message.interim', 'tool.started', 'tool.completed', 'run.steered')
  UNION ALL
  SELECT no, id, session_id, parent, next_seq, 'assistant', output FROM runs WHERE output <> ''
) ORDER BY no, seq;
COMMIT;
