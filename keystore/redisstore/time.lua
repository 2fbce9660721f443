#!lua flags=no-writes
-- The clock of the server that has the keys.
--
-- KEYS  any of the keys: a server of a Cluster that does not have it redirects, where the command
--       TIME alone is answered by whichever server is asked
--
-- Returns seconds and microseconds.
return redis.call('TIME')
