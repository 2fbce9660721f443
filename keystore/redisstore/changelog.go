package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// How a follower notices that the log does not go on where it was.
//
// Each entry has the next number, a mark of its own (64 random bits, made by whoever makes the
// change), and the mark of the entry before it. The head has number, stream ID and mark of the
// newest one; the script writes it together with the entry. A position is the same three.
//
// XREAD goes by stream ID and passes over in silence whatever is gone. But every entry that it
// gives is checked against the one before it, the first of them against the position: the number
// is one more, and the mark before it is that one's mark. Marks are not made twice, so a chain of
// entries that begins with the position's mark is the history that the follower knows, without a
// hole, whatever was lost or trimmed in between. Neither numbers nor IDs would do. After a
// failover that lost writes, others get the same numbers, and with a clock that was set back the
// same IDs too, since Redis then counts on from the last ID it has.
//
// Where XREAD gives nothing, the head decides, which was read just before on the same connection:
// the position's own number and mark say that nothing had come since. All else is a gap. A lower
// number: writes were lost (also by FLUSHALL). The same number with another mark: they were lost
// and others made. A higher number: entries are gone, or have IDs that are lower than the
// position's, made by a server whose clock is behind.
//
// So an entry that is not in the follower's history can't be taken for one that is, and the end
// of another history can't be taken for the end of this one.

// maxBlock bounds one wait in Redis; a call may end early without entries. It leaves a call of
// [keystore.ChangeTimeout] room to end by itself.
const maxBlock = keystore.ChangeTimeout - time.Second

// noMark stands where there is no entry before.
const noMark = "0"

func newMark() string {
	var mark [8]byte
	_, _ = rand.Read(mark[:]) // never fails
	return hex.EncodeToString(mark[:])
}

// A point is a position taken apart.
type point struct {
	seq  uint64
	id   string // of the stream
	mark string
}

var beginning = point{id: "0-0", mark: noMark}

func (p point) position() keystore.Position {
	if p.seq == 0 {
		return keystore.Position{}
	}
	return keystore.Position{Seq: p.seq, ID: p.id + " " + p.mark}
}

func parsePosition(at keystore.Position) (point, bool) {
	if at == (keystore.Position{}) {
		return beginning, true
	}
	id, mark, ok := strings.Cut(at.ID, " ")
	return point{at.Seq, id, mark}, ok && at.Seq > 0
}

// parseHead reads what apply.lua writes.
func parseHead(text string) (point, error) {
	number, rest, _ := strings.Cut(text, " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	at, ok := parsePosition(keystore.Position{Seq: seq, ID: rest})
	if err != nil || !ok || seq == 0 {
		return point{}, errors.New("the head of the log is not what this program writes")
	}
	return at, nil
}

// Head implements [keystore.ChangeLog].
func (s *Store) Head(ctx context.Context) (keystore.Position, error) {
	ctx, end, err := s.begin(ctx, s.timeout)
	if err != nil {
		return keystore.Position{}, err
	}
	defer end()
	head := beginning
	err = s.master(ctx, func(c redis.Cmdable) (err error) {
		head, err = readHead(c.Get(ctx, s.head()))
		return err
	})
	if err != nil {
		return keystore.Position{}, s.unavailable(err)
	}
	return head.position(), nil
}

func readHead(reply *redis.StringCmd) (point, error) {
	text, err := reply.Result()
	switch {
	case err == redis.Nil:
		return beginning, nil
	case err != nil:
		return point{}, err
	}
	return parseHead(text)
}

// Next implements [keystore.ChangeLog]. It ends at once when ctx or the store does; what waits in
// Redis then waits on for the rest of its time, with a connection that no other call needs.
func (s *Store) Next(ctx context.Context, after keystore.Position, wait time.Duration) ([]keystore.LogEntry, keystore.Position, error) {
	from, ok := parsePosition(after)
	if !ok {
		return nil, after, s.gap("position %d is of another store", after.Seq)
	}
	ctx, end, err := s.begin(ctx, wait+s.timeout)
	if err != nil {
		return nil, after, err
	}
	defer end()
	select {
	case s.readers <- struct{}{}:
	case <-ctx.Done():
		return nil, after, s.unavailable(ctx.Err())
	case <-s.closing:
		return nil, after, s.unavailable(redis.ErrClosed)
	}
	type answer struct {
		entries []keystore.LogEntry
		to      point
		err     error
	}
	answered := make(chan answer, 1)
	s.reads.Add(1)
	go func() {
		defer s.reads.Done()
		defer func() { <-s.readers }()
		entries, to, err := s.next(ctx, from, wait)
		answered <- answer{entries, to, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, after, a.err
		}
		return a.entries, a.to.position(), nil
	case <-ctx.Done():
		return nil, after, s.unavailable(ctx.Err())
	case <-s.closing:
		return nil, after, s.unavailable(redis.ErrClosed)
	}
}

// next reads the head and the entries after a point.
func (s *Store) next(ctx context.Context, from point, wait time.Duration) ([]keystore.LogEntry, point, error) {
	read := &redis.XReadArgs{
		Streams: []string{s.log(), from.id}, Count: keystore.MaxNext, Block: min(wait, maxBlock),
	}
	if read.Block < time.Millisecond {
		read.Block = -1 // not at all; 0 is for ever
	}
	var head point
	var found []redis.XMessage
	err := s.master(ctx, func(c redis.Cmdable) error {
		var headReply *redis.StringCmd
		var entries *redis.XStreamSliceCmd
		_, _ = c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			headReply, entries = pipe.Get(ctx, s.head()), pipe.XRead(ctx, read)
			return nil
		})
		var err error
		if head, err = readHead(headReply); err != nil {
			return err
		}
		streams, err := entries.Result()
		if err != nil && err != redis.Nil {
			return err
		}
		found = nil
		if len(streams) > 0 {
			found = streams[0].Messages
		}
		return nil
	})
	if err != nil {
		return nil, from, s.unavailable(err)
	}
	switch {
	case head.seq < from.seq:
		return nil, from, s.gap("it goes back from %d to %d: writes were lost", from.seq, head.seq)
	case head.seq == from.seq && head.mark != from.mark:
		return nil, from, s.gap("entry %d is of another history: writes were lost", from.seq)
	case head.seq > from.seq && len(found) == 0:
		return nil, from, s.gap("it was trimmed: entries %d to %d are gone", from.seq+1, head.seq)
	}
	return s.follow(from, found)
}

// follow turns messages of the stream into entries, each of which must come right after the one
// before it.
func (s *Store) follow(from point, found []redis.XMessage) ([]keystore.LogEntry, point, error) {
	entries := make([]keystore.LogEntry, 0, len(found))
	at := from
	for _, message := range found {
		text := func(field string) string { value, _ := message.Values[field].(string); return value }
		seq, err := strconv.ParseUint(text("seq"), 10, 64)
		switch {
		case err != nil:
			return nil, from, s.unavailable(fmt.Errorf("an entry of the log has no number: %q", text("seq")))
		case seq > at.seq+1:
			return nil, from, s.gap("it was trimmed: entries %d to %d are gone", at.seq+1, seq-1)
		case seq <= at.seq, text("after") != at.mark:
			return nil, from, s.gap("entry %d is of another history: writes were lost", seq)
		}
		entries = append(entries, keystore.LogEntry{Seq: seq, Event: []byte(text("event"))})
		at = point{seq, message.ID, text("mark")}
	}
	return entries, at, nil
}

// gap is an error that says how the log does not go on.
func (s *Store) gap(format string, args ...any) error {
	return fmt.Errorf("%w: redis at %s: %s", keystore.ErrLogGap, s.host, fmt.Sprintf(format, args...))
}
