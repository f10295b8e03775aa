
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
