// Package redisstore keeps a [keystore.Store] in Redis (7.0 or newer), for a gateway of one or
// many nodes: a single server, one that Sentinels watch, or a Cluster. It knows Redis' commands; it
// must not know what the names and bytes mean.
//
// Each change is one script that Redis runs as a whole, with the log entry in it. The layout, all
// under one hash tag so that a script may touch all of it on a Cluster too:
//
//	{deployment_keys}:r:NAME   a record: a string
//	{deployment_keys}:i:NAME   an index: a sorted set, all scores 0, so that it is in byte order
//	{deployment_keys}:log      the change log: a stream, fields "seq", "mark", "after" and "event"
//	{deployment_keys}:head     number, stream ID and mark of the newest entry of the log: a string
//
// # Rights
//
// The user of the gateway needs these and no others:
//
//	ACL SETUSER gateway on >PASSWORD resetkeys ~{deployment_keys}:* resetchannels -@all
//	  +get +mget +set +unlink +exists +type +zadd +zrem +zscore +zcard +zrange
//	  +xadd +xread +xrange +xrevrange +time +eval +evalsha
//
// and besides
//
//	+wait            when changes wait for replicas
//	+select          when the database is not number 0
//	+role            where Sentinels watch the server
//	+cluster|slots   on a Cluster; +asking lets it work on while its slot is moved
//
// The user on the Sentinels themselves, where they have users:
//
//	ACL SETUSER gateway on >PASSWORD resetkeys resetchannels &+switch-master &+replica-reconf-done
//	  -@all +sentinel|get-master-addr-by-name +sentinel|sentinels +subscribe +ping +role
//
// # Failures
//
// Nothing is asked of a replica. Nothing that may have been done is done again: a call whose
// answer was lost is an error, and its caller decides. After a failover the store works again as
// soon as a new master is there and the Sentinels, or a node of the Cluster, say so.
//
// While a Cluster moves the slot of the keys to another node, most changes are refused as a whole:
// Redis runs no script on keys that may be on either side.
//
// A master that was cut off from its Sentinels goes on answering whoever can reach it. Writes to
// it end with min-replicas-to-write and min-replicas-max-lag in its configuration, which every
// Redis with Sentinels should have; on a Cluster it stops by itself after cluster-node-timeout.
package redisstore
