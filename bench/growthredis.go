package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// What a Redis says of itself. The bench speaks to it by itself: nobody but redisstore knows a client of Redis.

// askRedis reads a section of INFO.
func askRedis(ctx context.Context, address, section string) (string, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	return readBulk(bufio.NewReader(c))
}

// mostInfo is how long an answer of INFO may be.
const mostInfo = 1 << 20

// readBulk reads a bulk string of Redis' protocol: its length, and so many bytes.
func readBulk(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "$"))
	if err != nil || line[0] != '$' || length < 0 || length > mostInfo {
		return "", fmt.Errorf("reading what Redis answers: %q, want $ and a length", strings.TrimSpace(line))
	}
	text := make([]byte, length)
	_, err = io.ReadFull(from, text)
	return string(text), err
}

// infoLine is the value of a line of INFO; "" where there is none.
func infoLine(text, name string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return value
		}
	}
	return ""
}

// parseCommandStats counts the commands that a Redis has run, those of scripts too, but not the question itself.
func parseCommandStats(text string) (int64, error) {
	var total int64
	for line := range strings.Lines(text) {
		command, rest, found := strings.Cut(strings.TrimSpace(line), ":calls=")
		if !found || !strings.HasPrefix(command, "cmdstat_") || command == "cmdstat_info" {
			continue
		}
		calls, _, _ := strings.Cut(rest, ",")
		count, err := strconv.ParseInt(calls, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("statistics of Redis: %s: %w", line, err)
		}
		total += count
	}
	return total, nil
}

// redisUse is what a Redis has done so far.
type redisUse struct {
	at       time.Time
	commands int64
	cpu      time.Duration
}

// use asks how much a keyspace's Redis has done.
func (s *keyspace) use(ctx context.Context) (u redisUse, err error) {
	text, err := askRedis(ctx, s.address, "commandstats")
	if err != nil {
		return u, err
	}
	if u.commands, err = parseCommandStats(text); err != nil {
		return u, err
	}
	u.at = time.Now()
	u.cpu, err = s.server.cpu()
	return u, err
}
