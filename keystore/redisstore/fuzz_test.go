package redisstore

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// FuzzFollow takes any messages for the stream of the change log, as somebody has them who can write Redis. What comes of
// them is a chain: numbers without a hole, each entry linked to the one before and the first to where the follower was. Of
// any other messages nothing at all is taken, and the follower stays where it was.
//
// A line of the text is a message: ID, number, mark of the entry before, mark and event, with | between; a field that is
// not there is one that the message has not.
func FuzzFollow(f *testing.F) {
	f.Add(uint64(0), "0-0", "0", "1-0|1|0|aa|x\n2-0|2|aa|bb|y")
	f.Add(uint64(7), "5-0", "aa", "6-0|8|aa|bb|x\n6-1|9|bb|cc|")
	f.Add(uint64(7), "5-0", "aa", "6-0|9|aa|bb|x")
	f.Add(uint64(7), "5-0", "aa", "6-0|8|ab|bb|x")
	f.Add(uint64(7), "5-0", "aa", "6-0|8|aa|bb|x\n6-1|8|bb|cc|y")
	f.Add(uint64(7), "5-0", "aa", "6-0|+8|aa|bb|x")
	f.Add(uint64(7), "5-0", "aa", "6-0|0x8|aa|bb|x")
	f.Add(uint64(7), "5-0", "aa", "6-0|8")
	f.Add(uint64(7), "5-0", "", "6-0|8||")
	f.Add(uint64(math.MaxUint64), "5-0", "aa", "6-0|0|aa|bb|x")
	f.Add(uint64(math.MaxUint64-1), "5-0", "aa", "6-0|18446744073709551615|aa|bb|x\n6-1|18446744073709551616|bb|cc|y")
	f.Add(uint64(1), "5-0", "aa", "")
	number := regexp.MustCompile(`^[0-9]+$`)
	f.Fuzz(func(t *testing.T, seq uint64, id, mark, stream string) {
		s := new(Store)
		from := point{seq, id, mark}
		var messages []redis.XMessage
		var lines [][]string
		for line := range strings.SplitSeq(stream, "\n") {
			if line == "" {
				continue
			}
			parts := strings.SplitN(line, "|", 5)
			message := redis.XMessage{ID: parts[0], Values: make(map[string]any)}
			for i, field := range []string{"seq", "after", "mark", "event"} {
				if i+1 < len(parts) {
					message.Values[field] = parts[i+1]
				}
			}
			messages, lines = append(messages, message), append(lines, append(parts, "", "", "", "")[:5])
		}
		good, before, last := true, mark, seq
		for i, parts := range lines {
			want := seq + uint64(i) + 1
			got := strings.TrimLeft(parts[1], "0")
			good = good && want > seq && number.MatchString(parts[1]) && got == strconv.FormatUint(want, 10) && parts[2] == before
			before, last = parts[3], want
		}

		entries, to, err := s.follow(from, messages)
		if good != (err == nil) {
			t.Fatalf("error %v; it is a chain: %t", err, good)
		}
		if err != nil {
			if entries != nil || to != from {
				t.Fatalf("%v, and yet %v at %v", err, entries, to)
			}
			if !errors.Is(err, keystore.ErrLogGap) && !errors.Is(err, keystore.ErrUnavailable) {
				t.Fatalf("the error is none of this package: %v", err)
			}
			return
		}
		if len(entries) != len(lines) || to.seq != last || to.mark != before {
			t.Fatalf("%d entries and %v of %d messages to %d", len(entries), to, len(lines), last)
		}
		for i, entry := range entries {
			if entry.Seq != seq+uint64(i)+1 || string(entry.Event) != lines[i][4] {
				t.Fatalf("entry %d is %d %q", i, entry.Seq, entry.Event)
			}
		}
	})
}

// FuzzHead holds that the head of the log is read only where it is a number from 1, an ID and a mark, and that a position
// that is made of it says the same.
func FuzzHead(f *testing.F) {
	for _, text := range []string{"1 1-0 aa", "1 1-0", "0 1-0 aa", "", "1", "1  aa", "1 1-0 ", "01 1-0 aa", "+1 1-0 aa", "18446744073709551616 1-0 aa", "1 1-0 aa bb", "0"} {
		f.Add(text)
	}
	form := regexp.MustCompile(`(?s)^0*([0-9]+) ([^ ]*) (.*)$`)
	f.Fuzz(func(t *testing.T, text string) {
		head, err := parseHead(text)
		parts := form.FindStringSubmatch(text)
		ok := false
		if parts != nil {
			value, err := strconv.ParseUint(parts[1], 10, 64)
			ok = err == nil && value > 0
		}
		if ok != (err == nil) {
			t.Fatalf("%q: error %v, want it read: %t", text, err, ok)
		}
		if err != nil {
			return
		}
		if said := fmt.Sprintf("%d %s %s", head.seq, head.id, head.mark); said != parts[1]+" "+parts[2]+" "+parts[3] && strings.TrimLeft(parts[1], "0") == parts[1] {
			t.Fatalf("%q is read as %q", text, said)
		}
		if again, ok := parsePosition(head.position()); !ok || again != head {
			t.Fatalf("%v has the position %v, which is %v", head, head.position(), again)
		}
	})
}
