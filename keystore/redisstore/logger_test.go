package redisstore_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// Other modules of the same Caddy use go-redis too, and their operators its log. Of an outage this package adds a
// bounded number of lines to it, and no password. The test runs itself again, since there is one log for the process.
func TestOtherClientsOfRedisKeepTheirLog(t *testing.T) {
	t.Parallel()
	const inside = "REDISSTORE_TEST_LOG"
	if os.Getenv(inside) != "" {
		store := open(t, redisstore.Options{URL: "redis://:hunter2@127.0.0.1:1?pool_size=4"})
		for range 20 {
			storetest.WantUnavailable(t, t.Context(), store, slack)
		}
		repeats := listen(t, func(conn net.Conn) {
			for scanner := bufio.NewScanner(conn); scanner.Scan(); {
				if scanner.Text() == "hunter2" {
					_, _ = io.WriteString(conn, "-ERR unknown command, with args beginning with: 'hunter2'\r\n")
				}
			}
		})
		store = open(t, redisstore.Options{URL: "redis+sentinel://:hunter2@" + repeats + "/name?sentinel_password=hunter2"})
		storetest.WantUnavailable(t, t.Context(), store, slack)
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:2", DialerRetries: 1, MaxRetries: -1})
		defer client.Close()
		if err := client.Ping(t.Context()).Err(); err == nil {
			t.Error("there is a Redis on port 2")
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOtherClientsOfRedisKeepTheirLog$")
	cmd.Env = append(os.Environ(), inside+"=1")
	output, err := cmd.CombinedOutput()
	log := string(output)
	storetest.FailIf(t, err != nil || !strings.Contains(log, "failed to dial after 1 attempts: dial tcp 127.0.0.1:2:") || strings.Contains(log, "hunter2") || !strings.Contains(log, "beginning with: '(password)'"), "%v: the log is\n%s", err, log)
	const pool = 4 + 16 // and those that wait for entries of the change log
	if lines := strings.Count(log, "dial tcp 127.0.0.1:1:"); lines > pool+1 {
		t.Errorf("an outage is %d lines", lines)
	}
}
