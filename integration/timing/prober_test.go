//go:build linux

package timing

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// A prober sends requests on one connection that is kept alive, and takes the time from before the first byte is written
// until the first of the answer has come. It makes system calls by itself, in a thread of its own: Go's network poller and
// its scheduler would add more to the times than what is looked for, and nothing of a client of net/http is of interest.
type prober struct {
	file   *os.File // keeps the connection open
	socket int
	answer [4096]byte
}

// newProber connects to a port. A read that waits for longer than [gatewaytest.Patience] fails.
func newProber(t *testing.T, port int) *prober {
	t.Helper()
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	file, err := connection.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	p := &prober{file: file, socket: int(file.Fd())} // Fd makes the socket one that blocks
	patience := syscall.NsecToTimeval(gatewaytest.Patience.Nanoseconds())
	if err := syscall.SetsockoptTimeval(p.socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience); err != nil {
		t.Fatal(err)
	}
	return p
}

// probe sends a request, and returns how long the answer took to begin, and the answer, which is valid until the next one.
func (p *prober) probe(request []byte) (time.Duration, []byte, error) {
	start := time.Now()
	if n, err := syscall.Write(p.socket, request); err != nil || n != len(request) {
		return 0, nil, fmt.Errorf("writing a request: %d of %d bytes, error %w", n, len(request), err)
	}
	n, err := p.read(p.answer[:])
	took := time.Since(start)
	for err == nil && !isWhole(p.answer[:n]) {
		var more int
		more, err = p.read(p.answer[n:])
		n += more
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading an answer, of which %d bytes have come: %w", n, err)
	}
	return took, p.answer[:n], nil
}

// read reads what is there. The runtime interrupts system calls by signals.
func (p *prober) read(to []byte) (int, error) {
	for {
		n, err := syscall.Read(p.socket, to)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n <= 0:
			return 0, fmt.Errorf("the gateway has closed the connection, or its answer is longer than %d bytes", len(p.answer))
		default:
			return n, nil
		}
	}
}

// isWhole reports whether an answer is there with the body that it announces.
func isWhole(answer []byte) bool {
	head, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	const field = "\r\nContent-Length: "
	_, rest, ok := bytes.Cut(head, []byte(field))
	if !ok {
		return false
	}
	length, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(length))
	return err == nil && len(body) >= n
}

// withoutDate removes the value of the Date of an answer, which is the one part of it that is another each second.
func withoutDate(answer []byte) []byte {
	const field = "\r\nDate: "
	if at := bytes.Index(answer, []byte(field)); at >= 0 {
		value := answer[at+len(field):]
		copy(value, strings.Repeat("_", min(len(value), len(http.TimeFormat))))
	}
	return answer
}

// alone gives the calling goroutine a thread of its own, which ends with it, and that thread a processor that it does not
// share with the gateway. It returns what was done, for the record. Where there is one processor, or no taskset, there is
// more noise.
func alone(s *site) string {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	self, err := os.Readlink("/proc/thread-self")
	if err != nil || runtime.NumCPU() < 2 {
		return "client and gateway on the same processors"
	}
	client, server := "0", fmt.Sprintf("1-%d", runtime.NumCPU()-1)
	for _, arguments := range [][]string{
		{"-cp", client, filepath.Base(self)},
		{"-acp", server, strconv.Itoa(s.PID())},
	} {
		if out, err := exec.Command("taskset", arguments...).CombinedOutput(); err != nil {
			return fmt.Sprintf("client and gateway on the same processors (taskset: %v %s)", err, bytes.TrimSpace(out))
		}
	}
	return fmt.Sprintf("client on processor %s, gateway on %s", client, server)
}
