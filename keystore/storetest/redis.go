package storetest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTimeout is how long a Redis may take to answer, on a busy machine.
const startTimeout = 20 * time.Second

// A Redis is a redis-server of a test's own: on a port of 127.0.0.1 that no other has, with a
// directory of its own, and gone when the test is over. Its methods may be used from one
// goroutine at a time.
type Redis struct {
	t        testing.TB
	dir      string
	port     int
	certs    *Certificates // nil: no TLS
	sentinel bool
	settings []string

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended and was waited for
}

// Durable are the settings of a Redis that has each write on the disk before it answers.
var Durable = []string{"appendonly yes", "appendfsync always"}

// StartRedis starts a redis-server (Debian package redis-server), and returns when it answers.
// Settings are lines of its configuration, such as "requirepass secret" or those of [Durable]; it
// keeps nothing on the disk without one that says so.
func StartRedis(t testing.TB, settings ...string) *Redis {
	t.Helper()
	return startRedis(t, &Redis{settings: settings})
}

// StartTLSRedis is [StartRedis] with a server that speaks TLS only, and wants a certificate of
// each client.
func StartTLSRedis(t testing.TB, certs *Certificates, settings ...string) *Redis {
	t.Helper()
	return startRedis(t, &Redis{certs: certs, settings: settings})
}

// StartReplica starts a replica of a server, and returns when it has the server's data.
func StartReplica(t testing.TB, master *Redis, settings ...string) *Redis {
	t.Helper()
	r := StartRedis(t, append([]string{fmt.Sprintf("replicaof 127.0.0.1 %d", master.port)}, settings...)...)
	poll(t, "the replica has the data of its master", r.synced)
	return r
}

// startRedis gives a server a place and starts it.
func startRedis(t testing.TB, r *Redis) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("this test needs redis-server, which is in the Debian package redis-server: %v", err)
	}
	// Not t.TempDir: the path of a socket has little room, and that one has the test's name in it.
	dir := Must(os.MkdirTemp("", "redis"))
	r.t, r.dir = t, dir
	t.Cleanup(func() {
		r.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	})
	var err error
	for range 50 {
		// Below the ports that the system gives to outgoing connections and to listeners on port
		// 0, so that nobody takes this one while the server is stopped. The 10,000 above these are
		// for what the nodes of a Cluster say to each other.
		r.port = 10_000 + rand.IntN(10_000)
		if err = r.start(); err == nil {
			return r
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	t.Fatal(err)
	return nil
}

// Addr is the host and port.
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// URL is the address as a URL, without user and password.
func (r *Redis) URL() string {
	if r.certs != nil {
		return "rediss://" + r.Addr()
	}
	return "redis://" + r.Addr()
}

// SocketURL is a URL of the same server by way of its Unix socket.
func (r *Redis) SocketURL() string { return "unix://" + r.socket() }

// Client is a client of a test's own, as the default user, to look behind a store.
func (r *Redis) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket(), DisableIdentity: true})
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

// info is one line of what the server says of itself; "" where it says nothing.
func (r *Redis) info(section, name string) string {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket(), MaxRetries: -1})
	defer client.Close()
	for line := range strings.Lines(client.Info(r.t.Context(), section).Val()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// synced says whether a replica has the data of its master.
func (r *Redis) synced() bool { return r.info("replication", "master_link_status") == "up" }

func (r *Redis) socket() string { return filepath.Join(r.dir, "redis.sock") }

// Stop ends the server as an operator does, so that it writes what its settings say.
func (r *Redis) Stop() {
	r.t.Helper()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.exited:
	case <-time.After(startTimeout):
		r.t.Errorf("redis-server does not stop:\n%s", r.output())
	}
	r.Kill()
}

// Kill ends the server at once, as kill -9 does.
func (r *Redis) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	<-r.exited
	r.cmd = nil
}

// Pause stops the server without ending it: its connections stay, and nothing answers. Resume,
// Kill and the end of the test end that.
func (r *Redis) Pause() {
	r.t.Helper()
	OK(r.t, r.cmd.Process.Signal(syscall.SIGSTOP))
}

// Resume is the end of a Pause.
func (r *Redis) Resume() {
	r.t.Helper()
	OK(r.t, r.cmd.Process.Signal(syscall.SIGCONT))
}

// Restart starts the server again after Stop or Kill, on the same port and with the same
// directory, and returns when it answers.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	OK(r.t, r.start())
}

// start starts the server and waits until it answers. That is asked over its socket: where the
// port is taken, whoever has it would answer too.
func (r *Redis) start() error {
	_ = os.Remove(r.socket())
	config := []string{
		"bind 127.0.0.1",
		fmt.Sprintf("unixsocket %q", r.socket()),
		fmt.Sprintf("dir %q", r.dir),
		`logfile "redis.log"`,
		"daemonize no",
	}
	if r.certs != nil {
		config = append(config, "port 0", fmt.Sprintf("tls-port %d", r.port), fmt.Sprintf("tls-ca-cert-file %q", r.certs.CA),
			fmt.Sprintf("tls-cert-file %q", r.certs.Cert), fmt.Sprintf("tls-key-file %q", r.certs.Key))
	} else {
		config = append(config, fmt.Sprintf("port %d", r.port))
	}
	if !r.sentinel {
		config = append(config, `save ""`, "appendonly no", "repl-diskless-sync-delay 0")
	}
	config = append(config, r.settings...)
	path := filepath.Join(r.dir, "redis.conf")
	if err := os.WriteFile(path, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.dir, "redis.log")); err != nil && !os.IsNotExist(err) {
		return err
	}
	cmd := exec.Command("redis-server", path)
	if r.sentinel {
		cmd.Args = append(cmd.Args, "--sentinel")
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	r.cmd, r.exited = cmd, exited
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for {
		if answers(r.socket()) {
			return nil
		}
		select {
		case <-exited:
			r.cmd = nil
			return fmt.Errorf("redis-server ended:\n%s", r.output())
		case <-deadline:
			r.Kill()
			return fmt.Errorf("redis-server does not answer:\n%s", r.output())
		case <-tick.C:
		}
	}
}

// output is what the server logged.
func (r *Redis) output() string {
	log, err := os.ReadFile(filepath.Join(r.dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// answers says whether a server is there and has read its data. One that wants a password first
// is there too.
func answers(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH"))
}
