package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// maxFaults is how many faults, and how many notes, are named; the others are counted.
const maxFaults = 20

// faults is what is wrong with an audit log, and what it tells of something else that is.
type faults struct {
	named []string
	all   int

	notes    []string
	allNotes int
}

func (f *faults) note(format string, of ...any) {
	f.allNotes++
	if len(f.notes) < maxFaults {
		f.notes = append(f.notes, plain(fmt.Sprintf(format, of...)))
	}
}

func (f *faults) add(format string, of ...any) {
	f.all++
	if len(f.named) < maxFaults {
		f.named = append(f.named, plain(fmt.Sprintf(format, of...)))
	}
}

// An auditChain holds the lines of a log against one another, one by one: that their numbers have no hole,
// that each is what its hash says, and that each names the one before.
type auditChain struct {
	name   string // of the log, in front of what is wrong with it
	faults *faults

	entries  int        // that are there
	from, to time.Time  // of the first and the last
	last     auditPlace // the highest number so far; what its line says that its hash is

	// What the next line may name as the hash of the one before. Nil when that is not known.
	before []string
}

// startAuditChain begins with what comes after a place; nil when that is not known.
func startAuditChain(name string, after *auditPlace, faults *faults) *auditChain {
	chain := &auditChain{name: name, faults: faults, last: auditPlace{seq: -1}}
	if after != nil {
		chain.last, chain.before = *after, []string{after.hash}
	}
	return chain
}

func (c *auditChain) fault(format string, of ...any) {
	c.faults.add("%s: %s", c.name, fmt.Sprintf(format, of...))
}

func (c *auditChain) add(line auditLine) {
	switch {
	case c.last.seq < 0 && line.seq == 1:
		c.before = []string{noHash}
	case c.last.seq < 0:
	case line.seq <= c.last.seq:
		c.fault("entry %d stands after entry %d", line.seq, c.last.seq)
		return
	case line.seq > c.last.seq+1:
		c.missing(c.last.seq+1, line.seq-1)
		c.before = nil
	}
	previous := c.last.seq
	c.last = auditPlace{line.seq, line.hash}
	if line.fault != "" {
		c.before = nil
		switch {
		case line.fault == keystore.AuditFaultMissing:
			c.fault("entry %d is missing", line.seq)
		case line.fault != keystore.AuditFaultExpired || c.entries > 0: // the oldest ones expire
			c.fault("entry %d is not as it was written (%s)", line.seq, line.fault)
		}
		return
	}
	c.entries++
	c.to = line.time
	if c.from.IsZero() {
		c.from = line.time
	}
	if line.kind == keystore.AuditAltered || line.kind == keystore.AuditGap {
		c.faults.note("%s: entry %d is %s", c.name, line.seq, line.kind)
	}
	if line.computed != line.hash {
		c.fault("entry %d is not as it was written: its hash is of something else", line.seq)
	}
	if c.before != nil && !slices.Contains(c.before, line.previous) {
		c.fault("entry %d does not name entry %d as it is as the one before: one of them is not as it was written", line.seq, previous)
	}
	// Of an altered entry it is said once that it was, whichever of its two hashes the next one names.
	c.before = []string{line.hash, line.computed}
}

// wrong is a line that is none.
func (c *auditChain) wrong(err error) {
	c.fault("after entry %d: %v", max(c.last.seq, 0), err)
	c.before = nil
}

func (c *auditChain) missing(first, last int64) {
	if first == last {
		c.fault("entry %d is missing", first)
	} else {
		c.fault("entries %d to %d are missing", first, last)
	}
}

// end holds the last line against the newest entry that there is.
func (c *auditChain) end(head auditPlace) {
	switch {
	case c.last.seq < head.seq:
		c.missing(c.last.seq+1, head.seq)
	case c.last.seq > head.seq:
		c.fault("it goes on to entry %d, and its newest entry is %d", c.last.seq, head.seq)
	case c.last.hash != "" && c.last.hash != head.hash:
		c.fault("entry %d is not the one that is its newest: it was written anew", head.seq)
	}
}
