package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/deploymentkeys/gateway/internal/cputime"
)

// The bench has two cores: servers that are measured run on the one; the load, what the servers ask, and the bench itself
// on the other.
const (
	serverCore = 0
	loadCore   = 1
)

// A process is a program that the bench has started, and ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string // a file
	exited chan struct{}
	err    error // of the exit; after exited is closed
}

// cpu is the CPU time that the process has used so far.
func (p *process) cpu() (time.Duration, error) {
	used, err := cputime.OfProcess(p.cmd.Process.Pid)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", p.name, err, p.lastWords())
	}
	return used, nil
}

// lastWords is the end of the process's log.
func (p *process) lastWords() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-2000):])
}

// end asks the process to end, and insists after some seconds.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// processes are those that run. They end with the bench, however that ends, but by a signal that cannot be caught; then
// the system ends them.
type processes struct {
	dir     string
	mu      sync.Mutex
	running []*process
}

// start starts a program on a core, in a directory of its own, which is its HOME too.
func (ps *processes) start(name string, core int, environment []string, program string, arguments ...string) (*process, error) {
	dir := filepath.Join(ps.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("taskset", append([]string{"--cpu-list", strconv.Itoa(core), program}, arguments...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(environment, "PATH="+os.Getenv("PATH"), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{name: name, cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	ps.mu.Lock()
	ps.running = append(ps.running, p)
	ps.mu.Unlock()
	return p, nil
}

// end ends a process, and forgets it.
func (ps *processes) end(p *process) {
	p.end()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for i, other := range ps.running {
		if other == p {
			ps.running = append(ps.running[:i], ps.running[i+1:]...)
			return
		}
	}
}

// endAll ends what still runs, the last first.
func (ps *processes) endAll() {
	for len(ps.running) > 0 {
		ps.end(ps.running[len(ps.running)-1])
	}
}

// cpu is what the bench and all that it has started have used so far.
func (ps *processes) cpu() (time.Duration, error) {
	total, err := cputime.OfSelf()
	if err != nil {
		return 0, err
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.running {
		used, err := p.cpu()
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// run runs a program to its end, on the core of the bench, and returns what it printed.
func (b *bench) run(ctx context.Context, program string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", program, err, errs.String(), out.String())
	}
	return out.String(), nil
}

// freePorts are ports of the loopback interface that nobody listens on now, below those that the system gives to clients.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 20_000 + rand.IntN(12_000)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		defer l.Close() // all at the end, so that none is found twice
		if ports = append(ports, port); len(ports) == count {
			return ports, nil
		}
	}
	return nil, errors.New("no free ports between 20000 and 32000")
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// patience is how long a server may take to come up.
const patience = 30 * time.Second

// waitFor asks until something is so, or the process has ended, or patience has.
func (p *process) waitFor(ctx context.Context, what string, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for !ready() {
		select {
		case <-p.exited:
			return fmt.Errorf("%s: ended before %s: %w: %s", p.name, what, errors.Join(p.err), p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s: %s: not within %s: %s", p.name, what, patience, p.lastWords())
		case <-pause.C:
		}
	}
	return nil
}

// connects says whether something listens at an address.
func connects(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// answers waits until a server answers HTTP at an address.
func (p *process) answers(ctx context.Context, address string) error {
	return p.waitFor(ctx, "it answers at "+address, func() bool {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return false
		}
		answer, err := client.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
}
