package redisstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
)

// TestApplyIsNotRepeated has a connection that is cut after the script was sent, when nobody knows
// whether it ran: of a single server, of one that a Sentinel names, of a node of a Cluster. All of
// them are one server here.
func TestApplyIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, url string
		replicas  int
	}{
		{"single", "redis://%s?max_retries=5", 0},
		{"single with replicas", "redis://%s?max_retries=5", 1},
		{"Sentinel", "redis+sentinel://%s/name?max_retries=5", 0},
		{"Cluster", "redis+cluster://%s?max_retries=5", 0},
		{"Cluster with replicas", "redis+cluster://%s?max_retries=5", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var scripts atomic.Int64
			addr := listen(t, func(conn net.Conn) {
				if serveFake(conn, conn.LocalAddr().String()) {
					scripts.Add(1)
				}
			})
			store := open(t, redisstore.Options{URL: fmt.Sprintf(tt.url, addr), Timeout: 2 * time.Second, Replicas: tt.replicas})
			if err := store.Apply(t.Context(), change()); !errors.Is(err, keystore.ErrUnavailable) {
				t.Errorf("Apply: %v", err)
			}
			if n := scripts.Load(); n != 1 {
				t.Errorf("the script was sent %d times", n)
			}
		})
	}
}

// serveFake answers as a master, as a Sentinel and as a node of a Cluster that all name the server
// at addr, until it is sent a script: then it is true.
func serveFake(conn net.Conn, addr string) bool {
	host, port, _ := net.SplitHostPort(addr)
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return false
		}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "hello":
			_, _ = io.WriteString(conn, "-ERR unknown command\r\n")
		case "get-master-addr-by-name":
			_, _ = fmt.Fprintf(conn, "*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
		case "sentinels":
			_, _ = io.WriteString(conn, "*0\r\n")
		case "role":
			_, _ = io.WriteString(conn, "*1\r\n$6\r\nmaster\r\n")
		case "slots":
			_, _ = fmt.Fprintf(conn, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n", len(host), host, port)
		case "evalsha", "eval":
			return true
		}
	}
}
