ALTER TABLE runs ADD COLUMN
  started_at INTEGER /* when it began to work; NULL until then, and for runs of earlier versions */;
