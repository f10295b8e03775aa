-- As ALTER TABLE would add the column; SQLite is built without it.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = rtrim(sql, ')')
  || ', budget TEXT /* JSON object: the limits its client set */)' WHERE name = 'requests';
PRAGMA writable_schema = RESET;
