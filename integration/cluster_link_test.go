package integration

import (
	"net"
	"sync"
	"testing"
)

// link is the way from one gateway to its Redis, which a test can block: then nothing passes and nobody is told, as when
// packets are dropped. What was sent meanwhile arrives when the link heals, as TCP does it.
type link struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu     sync.Mutex
	gate   chan struct{} // closed: bytes pass
	conns  map[net.Conn]struct{}
	closed bool
}

// startLink makes a link to an address.
func startLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, gate: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(l.gate)
	l.running.Go(l.accept)
	t.Cleanup(func() {
		l.heal()
		l.listener.Close()
		l.mu.Lock()
		l.closed = true
		for conn := range l.conns {
			conn.Close()
		}
		l.mu.Unlock()
		l.running.Wait()
	})
	return l
}

// URL is that of the Redis by way of the link.
func (l *link) URL() string { return "redis://" + l.listener.Addr().String() }

// block lets nothing pass any more.
func (l *link) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
}

// cut is block, and ends all connections: what was on its way is lost, and new connections get nowhere.
func (l *link) cut() {
	l.block()
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}

// heal lets everything pass again.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.gate:
	default:
		close(l.gate)
	}
}

// wait returns when bytes may pass.
func (l *link) wait() {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	<-gate
}

func (l *link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.join(conn) })
	}
}

// keep notes a connection, which ends with the link.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.conns[conn] = struct{}{}
	}
	return !l.closed
}

// drop ends a connection.
func (l *link) drop(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// join passes on what comes from either side.
func (l *link) join(near net.Conn) {
	defer l.drop(near)
	if !l.keep(near) {
		return
	}
	l.wait()
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pass(near, far) })
	l.pass(far, near)
	back.Wait()
}

// pass copies until one side ends, and then ends both.
func (l *link) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	bytes := make([]byte, 32<<10)
	for {
		n, err := from.Read(bytes)
		l.wait()
		if n > 0 {
			if _, err := to.Write(bytes[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
