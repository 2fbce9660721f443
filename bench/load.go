package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	connections = 16 // that are open, with one request at a time on each
	turnTime    = 500 * time.Millisecond
)

// A load is requests of one kind, to one site of a gateway.
type load struct {
	name     string
	gateway  *gateway
	site     string
	answer   string   // the status and the body of every answer begin so
	requests []string // sent one after the other, and again from the first
	once     bool     // no request is sent twice: the load ends with the last

	taken, answered atomic.Int64
}

// cost sends requests for a turn, and returns the CPU time of the gateway's process for one of them, in microseconds.
func (l *load) cost() (float64, error) {
	conns := make([]conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", l.gateway.addresses[l.site])
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(turnTime + 10*time.Second)); err != nil {
			return 0, err
		}
		conns[i] = conn{c, bufio.NewReader(c)}
		// The first request of a connection, which opens one to the upstream too, is not measured.
		if _, err := l.send(conns[i]); err != nil {
			return 0, err
		}
	}
	pid, first := l.gateway.pid, l.answered.Load()
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	var over atomic.Bool
	defer time.AfterFunc(turnTime, func() { over.Store(true) }).Stop()
	var all errgroup.Group
	for _, c := range conns {
		all.Go(func() error {
			for !over.Load() {
				if more, err := l.send(c); err != nil || !more {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return 0, err
	}
	after, err := cpuTime(pid)
	return (after - before).Seconds() * 1e6 / float64(l.answered.Load()-first), err
}

// send sends the next request and checks the answer. It reports false when there is no next request.
func (l *load) send(c conn) (more bool, err error) {
	next := l.taken.Add(1) - 1
	if l.once && next >= int64(len(l.requests)) {
		return false, nil
	}
	answer, err := c.exchange(l.requests[next%int64(len(l.requests))])
	if err == nil && !strings.HasPrefix(answer, l.answer) {
		err = fmt.Errorf("the answer is %q, not %q", answer, l.answer)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", l.name, err)
	}
	l.answered.Add(1)
	return true, nil
}

// A conn is a connection of a client.
type conn struct {
	net.Conn
	answers *bufio.Reader
}

// exchange sends a request, and returns the status and the body of the answer.
func (c conn) exchange(request string) (string, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	return fmt.Sprintf("%d %s", answer.StatusCode, body), err
}
