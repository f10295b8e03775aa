ALTER TABLE requests ADD COLUMN
  budget TEXT /* JSON object: the limits its client set */;
