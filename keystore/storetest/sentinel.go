package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// sentinelMaster is the name that the Sentinels give to their master.
const sentinelMaster = "gateway"

// A Sentinel is a master with replicas, and three Sentinels that watch them and put a replica in
// the place of a master that does not answer for a second.
type Sentinel struct {
	t         testing.TB
	servers   []*Redis
	sentinels []*Redis
}

// StartSentinel starts a master, as many replicas and three Sentinels, and returns when they know
// each other. The settings are those of master and replicas.
func StartSentinel(t testing.TB, replicas int, settings ...string) *Sentinel {
	t.Helper()
	s := &Sentinel{t: t, servers: []*Redis{StartRedis(t, settings...)}}
	for range replicas {
		s.servers = append(s.servers, StartReplica(t, s.servers[0], settings...))
	}
	for range 3 {
		s.sentinels = append(s.sentinels, startRedis(t, &Redis{sentinel: true, settings: []string{
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", sentinelMaster, s.servers[0].port),
			"sentinel down-after-milliseconds " + sentinelMaster + " 1000",
			"sentinel failover-timeout " + sentinelMaster + " 4000",
		}}))
	}
	for _, sentinel := range s.sentinels {
		client := sentinel.Client()
		// They speak to each other more often than they otherwise do, so that no test waits for
		// them to get acquainted.
		OK(t, client.Do(t.Context(), "sentinel", "debug", "publish-period", 100, "info-period", 300,
			"ping-period", 200, "ask-period", 200).Err())
		poll(t, "the Sentinels know each other and the replicas", func() bool {
			found, err := client.Do(t.Context(), "sentinel", "master", sentinelMaster).Result()
			master, ok := found.(map[any]any)
			return err == nil && ok && master["num-other-sentinels"] == "2" &&
				master["num-slaves"] == fmt.Sprint(replicas) && master["flags"] == "master" &&
				client.Do(t.Context(), "sentinel", "ckquorum", sentinelMaster).Err() == nil
		})
	}
	return s
}

// URL is that of the Sentinels, without user and password.
func (s *Sentinel) URL() string {
	var hosts []string
	for _, sentinel := range s.sentinels {
		hosts = append(hosts, sentinel.Addr())
	}
	return "redis+sentinel://" + strings.Join(hosts, ",") + "/" + sentinelMaster
}

// Master is the server that is the master, as the Sentinels say.
func (s *Sentinel) Master() *Redis {
	s.t.Helper()
	var found *Redis
	poll(s.t, "the Sentinels say who is the master", func() bool {
		client := redis.NewSentinelClient(&redis.Options{Network: "unix", Addr: s.sentinels[0].socket()})
		defer client.Close()
		addr, err := client.GetMasterAddrByName(s.t.Context(), sentinelMaster).Result()
		if err != nil || len(addr) != 2 {
			return false
		}
		for _, server := range s.servers {
			if server.Addr() == addr[0]+":"+addr[1] {
				found = server
			}
		}
		return found != nil
	})
	return found
}

// Servers are the master and the replicas, the first master first.
func (s *Sentinel) Servers() []*Redis { return s.servers }

// Sentinels are the three that watch.
func (s *Sentinel) Sentinels() []*Redis { return s.sentinels }

// Subscribers counts the connections of a user to the Sentinels that wait to hear of a new master.
func (s *Sentinel) Subscribers(user string) int {
	s.t.Helper()
	n := 0
	for _, sentinel := range s.sentinels {
		list, err := sentinel.Client().Do(s.t.Context(), "client", "list", "type", "pubsub").Text()
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(list) {
			if strings.Contains(line, " user="+user+" ") && strings.Contains(line, " sub=2 ") {
				n++
			}
		}
	}
	return n
}

// KillMaster ends the master at once, as kill -9 does, and gives it back.
func (s *Sentinel) KillMaster() *Redis {
	master := s.Master()
	master.Kill()
	return master
}
