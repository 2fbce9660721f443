package storetest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A Cluster is a Redis Cluster of three masters with one replica each. A replica takes the place
// of a master that does not answer for some 1.5 seconds.
type Cluster struct {
	t     testing.TB
	nodes []*Redis
}

const clusterMasters = 3

// StartCluster starts a Cluster, and returns when it works and the replicas have the data. The
// settings are those of each node.
func StartCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	ids := make([]string, 2*clusterMasters)
	clients := make([]*redis.Client, 2*clusterMasters)
	for i := range ids {
		node := StartRedis(t, append([]string{
			"cluster-enabled yes", "cluster-node-timeout 1500", "cluster-allow-replica-migration no",
		}, settings...)...)
		c.nodes = append(c.nodes, node)
		clients[i] = node.Client()
		ids[i] = clients[i].ClusterMyID(t.Context()).Val()
	}
	do := func(i int, args ...any) {
		t.Helper()
		if err := clients[i].Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	for i := range clusterMasters {
		do(i, "cluster", "addslotsrange", i*16384/clusterMasters, (i+1)*16384/clusterMasters-1)
	}
	for i := range ids {
		do(i, "cluster", "set-config-epoch", i+1)
		if i > 0 {
			do(0, "cluster", "meet", "127.0.0.1", c.nodes[i].port)
		}
	}
	for i, node := range c.nodes {
		poll(t, "all nodes know each other", func() bool {
			list := clients[i].ClusterNodes(t.Context()).Val()
			return strings.Count(list, "\n") == len(ids) && !strings.Contains(list, "handshake")
		})
		if i >= clusterMasters {
			do(i, "cluster", "replicate", ids[i-clusterMasters])
			poll(t, "the replica has the data of its master", node.synced)
		}
	}
	for i := range c.nodes {
		poll(t, "the Cluster works", func() bool {
			return strings.Contains(clients[i].ClusterInfo(t.Context()).Val(), "cluster_state:ok") &&
				strings.Count(clients[i].ClusterNodes(t.Context()).Val(), " slave ")+
					strings.Count(clients[i].ClusterNodes(t.Context()).Val(), "myself,slave ") == clusterMasters
		})
	}
	return c
}

// URL names all nodes, without user and password.
func (c *Cluster) URL() string {
	var hosts []string
	for _, node := range c.nodes {
		hosts = append(hosts, node.Addr())
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}

// Nodes are the masters and then the replicas, as they were at first.
func (c *Cluster) Nodes() []*Redis { return c.nodes }

// Master is the node that is the master of a key, or of all keys with its hash tag.
func (c *Cluster) Master(key string) *Redis {
	c.t.Helper()
	var found *Redis
	poll(c.t, "a node is the master of "+key, func() bool {
		for _, node := range c.nodes {
			if node.cmd != nil && node.owns(key) {
				found = node
			}
		}
		return found != nil
	})
	return found
}

// KillMaster ends the master of a key at once, as kill -9 does, and gives it back.
func (c *Cluster) KillMaster(key string) *Redis {
	master := c.Master(key)
	master.Kill()
	return master
}

// owns says whether a node of a Cluster is the master of a key.
func (r *Redis) owns(key string) bool {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket(), MaxRetries: -1})
	defer client.Close()
	slot, err := client.ClusterKeySlot(r.t.Context(), key).Result()
	if err != nil {
		return false
	}
	for line := range strings.Lines(client.ClusterNodes(r.t.Context()).Val()) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") || !strings.Contains(fields[2], "master") {
			continue
		}
		for _, field := range fields[8:] {
			low, high, isRange := strings.Cut(field, "-")
			if !isRange {
				high = low
			}
			from, lowErr := strconv.ParseInt(low, 10, 64)
			to, highErr := strconv.ParseInt(high, 10, 64)
			if lowErr == nil && highErr == nil && from <= slot && slot <= to {
				return true
			}
		}
	}
	return false
}
